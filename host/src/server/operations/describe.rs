//! What operators are shown of a tenant and of a session.
//!
//! Owns: which of it. Must never: show a secret, a tenant's settings (they may be private), or anything of a call.

use std::time::Duration;

use jackfield_plugin_api::Link;
use serde_json::{Value, json};

use crate::{
    config::{Auth, TenantLimits},
    session::SessionDetails,
    tenant::{HostedTenant, TenantState},
};

/// A tenant in the list of all.
pub(super) fn tenant(tenant: &HostedTenant) -> Value {
    let (state, link) = tenant.status();
    let reason = match (&state, &link) {
        (
            TenantState::Waiting { reason } | TenantState::Quarantined { reason } | TenantState::Refused { reason },
            _,
        )
        | (_, Some(Link::Down { reason })) => Some(reason),
        _ => None,
    };
    let (serving, (change, last_change)) = (tenant.version(), tenant.change());
    json!({
        "id": tenant.id(),
        "adapter": serving.adapter,
        "adapterVersion": serving.version,
        "state": tenant.state_word(),
        "link": if link == Some(Link::Up) { "up" } else { "down" },
        "reason": reason,
        "draining": tenant.drained_within().map(|left| json!({"suspendedIn": seconds(left)})),
        "sessions": tenant.sessions().list().len(),
        "sessionsLimit": tenant.config().limits.sessions,
        "file": tenant.config().file,
        "change": change,
        "lastChange": last_change,
    })
}

/// A tenant by itself.
pub(super) fn tenant_in_full(of: &HostedTenant) -> Value {
    let (mut about, config, serving) = (tenant(of), of.config(), of.version());
    about["connections"] = of.connections().into();
    about["queuedBytes"] = of.sessions().queued_bytes().into();
    about["isolation"] = serving.isolation.as_str().into();
    about["worker"] = json!({"process": serving.worker, "responsive": serving.responsive});
    about["library"] = json!({
        "file": serving.file,
        "digest": serving.digest,
        "api": serving.api,
        "vendor": serving.vendor,
        "platform": serving.platform,
    });
    about["auth"] = auth(&config.auth);
    about["limits"] = limits(&config.limits);
    let listed = of.sessions().list();
    let count = |which: &dyn Fn(&crate::session::SessionStatus) -> bool| listed.iter().filter(|it| which(it)).count();
    about["sessionsBy"] = json!({
        "connected": count(&|session| session.connected),
        "disconnected": count(&|session| !session.connected),
        "started": count(&|session| session.state == "started"),
        "withCalls": count(&|session| session.interactions > 0),
    });
    about
}

/// A session by itself.
pub(super) fn session(tenant: &HostedTenant, details: &SessionDetails) -> Value {
    let mut about = json!(details);
    about["tenant"] = tenant.id().into();
    about["seconds"] = seconds(details.age).into();
    about
}

/// Who may come in, by name; what lets them in is not shown.
fn auth(auth: &Auth) -> Value {
    match auth {
        Auth::None => json!({"kind": "none"}),
        Auth::Tokens(tokens) => {
            let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
            json!({"kind": "token", "names": names})
        }
        Auth::Jwt(rules) => {
            json!({"kind": "jwt", "issuer": rules.issuer, "audience": rules.audience, "keys": rules.keys.to_string()})
        }
    }
}

/// The limits by their keys.
fn limits(limits: &TenantLimits) -> Value {
    let TenantLimits {
        sessions,
        connections,
        logins_per_second,
        commands,
        connection_commands,
        resume_grace,
        token_grace,
        prepared_grace,
        start_within,
        command_deadline,
        conference_deadline,
        connect_deadline,
        commands_in_flight,
        journal_events,
        outbox_messages,
        queued_bytes,
        message_bytes,
    } = limits;
    let span = |span: &Duration| format!("{span:?}");
    json!({
        "sessions": sessions,
        "connections": connections,
        "logins_per_second": logins_per_second,
        "commands_per_second": commands.per_second,
        "commands_burst": commands.burst,
        "connection_commands_per_second": connection_commands.per_second,
        "resume_grace": span(resume_grace),
        "token_grace": span(token_grace),
        "prepared_grace": span(prepared_grace),
        "start_within": span(start_within),
        "command_deadline": span(command_deadline),
        "conference_deadline": span(conference_deadline),
        "connect_deadline": span(connect_deadline),
        "commands_in_flight": commands_in_flight,
        "journal_events": journal_events,
        "outbox_messages": outbox_messages,
        "queued_bytes": queued_bytes,
        "message_bytes": message_bytes,
    })
}

fn seconds(span: Duration) -> u64 {
    span.as_secs()
}
