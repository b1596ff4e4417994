//! What is replaced in a trace: everything that is not known to be harmless.
//!
//! Owns the list of what is kept: kinds, states, times, truths, counts and CXone's own numbers of things. Whatever else
//! stands in an answer or a request, a name, a telephone number, an address, a text, a token, is replaced by one that is
//! made up: the same by the same, so that what belongs together still does. Must never: let a value through because
//! nobody has thought of its name.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::entry::{HERE, TENANT};

/// Names whose values are kept, in lower case.
const KEPT: &[&str] = &[
    "type",
    "status",
    "state",
    "currentstate",
    "calltype",
    "isinbound",
    "finalstate",
    "originalstate",
    "islogging",
    "isrequiremanualaccept",
    "islinked",
    "allowdispositions",
    "starttimeutc",
    "starttime",
    "laststatechangetimeutc",
    "laststatechangetime",
    "isacw",
    "nextisacw",
    "acwtimeout",
    "agentmuted",
    "canmask",
    "canrecord",
    "canmultipartyconference",
    "maxconcurrentchats",
    "enabledformch",
    "success",
    "disconnectcode",
    "timeout",
    "contactid",
    "masterid",
    "parentcontactid",
    "targetagentid",
    "agentlegid",
    "conferenceno",
    "agentid",
    "agent_id",
    "icagentid",
    "teamid",
    "team_id",
    "skill",
    "skillid",
    "mediatypeid",
    "mediatypename",
    "isactive",
    "isskillactive",
    "isoutbound",
    "outboundstrategy",
    "isrestricted",
    "isdialer",
    "requiredisposition",
    "usedisposition",
    "useacw",
    "dispositionid",
    "primarydispositionid",
    "secondarydispositionid",
    "displayorder",
    "tagid",
    "scriptid",
    "outstateid",
    "addressbookid",
    "addressbooktype",
    "fullload",
    "isdeleted",
    "servertime",
    "lastpolltime",
    "updatedsince",
    "totalrecords",
    "top",
    "skip",
    "includeentries",
    "agentstateid",
    "agentstatename",
    "startdate",
    "agentsavailable",
    "agentsunavailable",
    "agentsworking",
    "agentsacw",
    "agentsloggedin",
    "agentsidle",
    "queuecount",
    "skillqueuecount",
    "personalqueuecount",
    "earliestqueuetime",
    "servicelevel",
    "expires_in",
    "token_type",
    "grant_type",
    "error",
    "errorcount",
    "tonedurationms",
    "tonespacingms",
    "forcelogoff",
    "endcontacts",
    "ignorepersonalqueue",
    "inactivitytimeout",
    "position",
    "deliverytype",
    "isccw",
    "available",
    "private",
];

/// Values that are made up so far.
#[derive(Default)]
pub(crate) struct Mask {
    made_up: HashMap<String, String>,
}

impl Mask {
    /// The same text always becomes the same.
    fn replace(&mut self, text: &str, make: impl FnOnce(usize) -> String) -> String {
        if let Some(known) = self.made_up.get(text) {
            return known.clone();
        }
        let made_up = make(self.made_up.len() + 1);
        self.made_up.insert(text.to_owned(), made_up.clone());
        made_up
    }

    fn text(&mut self, text: &str) -> String {
        let harmless = text.is_empty() || ["true", "false", "0"].iter().any(|one| text.eq_ignore_ascii_case(one));
        if harmless || text.starts_with(HERE) {
            return text.to_owned();
        }
        let digits = text.trim_start_matches('+');
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let (plus, width) = (text.starts_with('+'), digits.len());
        self.replace(text, |count| match text {
            _ if number => format!("{}{:0width$}", if plus { "+" } else { "" }, count),
            _ if text.contains("://") => format!("https://masked.example/{count}"),
            _ if text.contains('@') => format!("masked-{count}@masked.example"),
            _ => format!("masked {count}"),
        })
    }

    /// Masks a body, of a request or an answer.
    pub(crate) fn body(&mut self, value: &Value) -> Value {
        self.value("", value)
    }

    fn value(&mut self, name: &str, value: &Value) -> Value {
        let lower = name.to_ascii_lowercase();
        match value {
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.value(name, value))).collect()
            }
            Value::Array(items) => items.iter().map(|item| self.value(name, item)).collect(),
            Value::String(text) => match lower.as_str() {
                "sessionid" => json!(self.session(text)),
                "id_token" => json!(self.id_token(text)),
                "access_token" | "refresh_token" => json!(self.replace(text, |count| format!("token-{count}"))),
                "tenantid" => json!(TENANT),
                kept if KEPT.contains(&kept) => value.clone(),
                _ => json!(self.text(text)),
            },
            Value::Number(number) if !KEPT.contains(&lower.as_str()) => {
                let text = self.text(&number.to_string());
                text.parse::<u64>().map_or_else(|_| json!(0), |number| json!(number))
            }
            other => other.clone(),
        }
    }

    fn session(&mut self, id: &str) -> String {
        self.replace(&format!("session {id}"), |count| format!("session-{count}"))
    }

    /// An id token with nothing but who the agent is.
    fn id_token(&mut self, token: &str) -> String {
        let payload =
            token.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.trim_end_matches('=').as_bytes()).ok());
        let claims: Value = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let claims = json!({"tenantId": TENANT, "icAgentId": claims["icAgentId"]});
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.{}", part(&json!({"alg": "none"})), part(&claims), part(&json!("masked")))
    }

    /// Masks a path: words and CXone's numbers stay.
    pub(crate) fn path(&mut self, path: &str) -> String {
        let mut session = false;
        let parts = path.split('/').filter(|part| !part.starts_with('~')).map(|part| {
            let is_session = std::mem::replace(&mut session, part.eq_ignore_ascii_case("agent-sessions"));
            let word = part.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-._".contains(&byte));
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            let version = part.to_ascii_lowercase().starts_with('v') && part.ends_with(".0") && part.len() < 7;
            match part {
                "join" => part.to_owned(),
                id if is_session && !id.is_empty() => self.session(id),
                part if word || number || version => part.to_owned(),
                other => self.replace(other, |count| format!("masked-{count}")),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Masks a parameter of a query.
    pub(crate) fn parameter(&mut self, name: &str, value: &str) -> String {
        let masked = self.value(name, &json!(value));
        masked.as_str().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Mask;

    #[test]
    fn what_is_not_known_to_be_harmless_is_replaced_and_the_same_by_the_same() {
        let mut mask = Mask::default();
        let event = json!({
            "Type": "CallContactEvent", "ContactID": "70000001", "Status": "Incoming", "IsInbound": "True",
            "ANI": "+15551234", "DNIS": "5559000", "ScreenPopUrl": "https://crm.example/?name=Ada", "Nobody": "Ada",
            "Label": "Ada", "FromAddress": "ada@example.com", "CustomerNumber": 15_551_234,
        });
        let masked = mask.body(&event);
        for kept in ["Type", "ContactID", "Status", "IsInbound"] {
            assert_eq!(masked[kept], event[kept]);
        }
        let text = masked.to_string();
        assert!(
            !["5551234", "5559000", "crm.example", "Ada", "ada@"].iter().any(|secret| text.contains(secret)),
            "{text}"
        );
        assert_eq!(masked["Nobody"], masked["Label"]);
        assert!(masked["ANI"].as_str().is_some_and(|number| number.starts_with('+') && number.len() == 9));
    }

    #[test]
    fn session_ids_and_tokens_are_replaced_in_paths_and_bodies_alike() {
        let mut mask = Mask::default();
        let path = mask.path("/inContactAPI/services/v23.0/agent-sessions/c2VjcmV0/interactions/70000001/hold");
        let body = mask.body(&json!({"sessionId": "c2VjcmV0", "access_token": "t0k3n"}));
        assert_eq!(
            path,
            format!(
                "/inContactAPI/services/v23.0/agent-sessions/{}/interactions/70000001/hold",
                body["sessionId"].as_str().unwrap_or_default()
            )
        );
        assert!(!body.to_string().contains("t0k3n") && !path.contains("c2VjcmV0"));
    }
}
