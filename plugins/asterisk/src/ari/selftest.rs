//! The self-test at connect: whether this Asterisk can do what the adapter asks of it.
//!
//! Owns: what is needed and the line that says what is missing. Must never: leave anything behind. It runs on a fresh
//! connection before anybody else uses it; events that come meanwhile are not missed, because everything is listed
//! afterwards.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::{
    Message, Request, Response,
    connection::{Address, Refused, Socket},
};

/// How long Asterisk may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers to nobody's request: the switch's own begin with 1.
const ID: u64 = 0;

/// Modules without which something does not work, and what.
const MODULES: &[(&str, &str)] = &[
    ("res_ari_endpoints.so", "extensions cannot be checked and phones are not watched"),
    ("res_ari_applications.so", "phones are not watched"),
    ("res_ari_recordings.so", "recordings cannot be stopped"),
    ("res_ari_device_states.so", "lamps and app_queue do not see how agents are"),
    ("res_stasis_recording.so", "calls cannot be recorded"),
    ("res_musiconhold.so", "callers on hold and in queues hear nothing"),
    ("bridge_softmix.so", "conferences are silent"),
    ("bridge_simple.so", "calls of two are silent"),
    ("func_callerid.so", "called numbers do not see the caller id"),
    ("res_pjsip_refer.so", "the phones' transfer key does nothing"),
];

/// What was found.
pub(crate) struct Report {
    /// Asterisk's version.
    pub(crate) version: String,
    /// One line for each thing that is missing.
    pub(crate) missing: Vec<String>,
}

/// Tries what matters. An error: nothing would work.
pub(super) async fn check(socket: &mut Socket, address: &Address) -> Result<Report, Refused> {
    let info = ask(socket, Request::get("asterisk/info")).await?.ok_or_else(|| {
        Refused::Unreachable(
            "Asterisk does not answer requests on its WebSocket: it is too old; 22.4, 21.9 or 20.14 is needed"
                .to_owned(),
        )
    })?;
    if info.status == 404 {
        return Err(Refused::Settings("Asterisk's module res_ari_asterisk.so is not loaded".to_owned()));
    }
    let version = info.body.pointer("/system/version").and_then(serde_json::Value::as_str).unwrap_or("unknown");
    let mut missing = Vec::new();
    may_write(socket, address).await?;
    if is_missing(socket, Request::get("channels")).await? {
        return Err(Refused::Settings("Asterisk's module res_ari_channels.so is not loaded".to_owned()));
    }
    for (module, what) in MODULES {
        if is_missing(socket, Request::get(format!("asterisk/modules/{module}"))).await? {
            missing.push(format!("Asterisk's module {module} is not loaded: {what}"));
        }
    }
    Ok(Report { version: version.to_owned(), missing })
}

/// A bridge is made and unmade: that needs the right to write, and the module.
async fn may_write(socket: &mut Socket, address: &Address) -> Result<(), Refused> {
    let bridge = format!("jackfield:{}:self-test", address.application);
    let made = ask(socket, Request::post("bridges").with("type", "mixing").with("bridgeId", bridge.clone())).await?;
    match made.map(|response| response.status) {
        Some(403) => Err(Refused::Settings(format!(
            "Asterisk lets the user {} only read (ari.conf: read_only = no)",
            address.user
        ))),
        Some(404) => Err(Refused::Settings("Asterisk's module res_ari_bridges.so is not loaded".to_owned())),
        _ => ask(socket, Request::delete(format!("bridges/{bridge}"))).await.map(drop),
    }
}

async fn is_missing(socket: &mut Socket, request: Request) -> Result<bool, Refused> {
    Ok(ask(socket, request).await?.is_some_and(|response| response.status == 404))
}

/// Asks on the raw socket. `None`: no answer in time.
async fn ask(socket: &mut Socket, request: Request) -> Result<Option<Response>, Refused> {
    let lost = |what: String| Refused::Unreachable(format!("the connection is lost: {what}"));
    socket.send(Frame::text(request.frame(ID))).await.map_err(|error| lost(error.to_string()))?;
    let answer = async {
        loop {
            match socket.next().await {
                Some(Ok(Frame::Text(text))) => {
                    if let Some(Message::Response(response)) = Message::read(&text) {
                        return Ok(response);
                    }
                }
                Some(Ok(Frame::Close(_))) | None => return Err(lost("Asterisk closed it".to_owned())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(error.to_string())),
            }
        }
    };
    timeout(PATIENCE, answer).await.ok().transpose()
}
