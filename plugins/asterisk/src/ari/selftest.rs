//! The self-test at connect: whether this Asterisk can do what the adapter asks of it.
//!
//! Owns: what is needed and the line that says what is missing. Must never: leave anything behind. It runs on a fresh
//! connection before anybody else uses it; events that come meanwhile are not missed, because everything is listed
//! afterwards.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::{
    Message, Request, Response,
    connection::{Address, Connection, Refused},
    http::Http,
};

/// How long Asterisk may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers to nobody's request: the switch's own begin with 1.
const ID: u64 = 0;

/// Since when the WebSocket takes requests …
const ON_WEBSOCKET: [Version; 3] = [(20, 14), (21, 9), (22, 4)];
/// … and since when what a phone's transfer key asks for is left to us (`PJSIP_TRANSFER_HANDLING`).
const LEAVES_TRANSFERS: [Version; 3] = [(20, 13), (21, 8), (22, 3)];
/// What the adapter is tried on.
const TRIED: [Version; 1] = [(20, 6)];

type Version = (u32, u32);

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
    (MARKS_RECORDS, "with leg = \"stay\" the records (CDR) of customers do not say which phone they talked to"),
    ("res_pjsip_refer.so", "the phones' transfer key does nothing"),
];

/// The module by which it is said whose record (CDR) tells of a call.
const MARKS_RECORDS: &str = "func_cdr.so";

/// What was found.
pub(crate) struct Report {
    /// Asterisk's version.
    pub(crate) version: String,
    /// It leaves to us what a phone's transfer key asks for.
    pub(crate) leaves_transfers: bool,
    /// It can be told whose record tells of a call.
    pub(crate) marks_records: bool,
    /// One line for each thing that is missing.
    pub(crate) missing: Vec<String>,
}

impl Report {
    /// What follows from the version alone.
    pub(super) fn of(version: String) -> Self {
        let leaves_transfers = has(&version, &LEAVES_TRANSFERS);
        let mut missing = Vec::new();
        if !has(&version, &TRIED) {
            missing.push(format!("Asterisk {version} is older than 20.6, the oldest that this adapter is tried on"));
        }
        if !leaves_transfers {
            missing.push(format!(
                "Asterisk {version} is older than 22.3, 21.8 or 20.13: it carries out the phones' transfer key by itself, \
                 in the dialplan of the phone's context"
            ));
        }
        Self { version, leaves_transfers, marks_records: true, missing }
    }
}

/// Asterisk's version, asked by HTTP, as every Asterisk understands that.
pub(super) async fn version(http: &mut Http) -> Result<String, Refused> {
    let info = http.ask(ID, &Request::get("asterisk/info")).await?;
    if info.status == 404 {
        return Err(Refused::Settings("Asterisk's module res_ari_asterisk.so is not loaded".to_owned()));
    }
    let version = info.body.pointer("/system/version").and_then(Value::as_str);
    Ok(version.unwrap_or("unknown").to_owned())
}

/// Whether an Asterisk of this version takes requests on the WebSocket.
pub(super) fn answers_on_its_websocket(version: &str) -> bool {
    has(version, &ON_WEBSOCKET)
}

/// Whether a version has what came into these. One that is no number is somebody's own build of the newest.
fn has(version: &str, since: &[Version]) -> bool {
    let mut numbers = version.split(['.', '~', '-']).map_while(|number| number.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return true };
    match since.iter().find(|(branch, _)| *branch == major) {
        Some(since) => (major, minor) >= *since,
        None => since.iter().all(|(branch, _)| *branch < major),
    }
}

/// Tries what matters. An error: nothing would work.
pub(super) async fn check(connection: &mut Connection, address: &Address) -> Result<(), Refused> {
    may_write(connection, address).await?;
    if is_missing(connection, Request::get("channels")).await? {
        return Err(Refused::Settings("Asterisk's module res_ari_channels.so is not loaded".to_owned()));
    }
    for (module, what) in MODULES {
        if is_missing(connection, Request::get(format!("asterisk/modules/{module}"))).await? {
            connection.found.missing.push(format!("Asterisk's module {module} is not loaded: {what}"));
            connection.found.marks_records &= *module != MARKS_RECORDS;
        }
    }
    Ok(())
}

/// A bridge is made and unmade: that needs the right to write, and the module.
async fn may_write(connection: &mut Connection, address: &Address) -> Result<(), Refused> {
    let bridge = format!("jackfield:{}:self-test", address.application);
    let make = Request::post("bridges").with("type", "mixing").with("bridgeId", bridge.clone());
    match ask(connection, make).await?.status {
        403 => Err(Refused::Settings(format!(
            "Asterisk lets the user {} only read (ari.conf: read_only = no)",
            address.user
        ))),
        404 => Err(Refused::Settings("Asterisk's module res_ari_bridges.so is not loaded".to_owned())),
        _ => ask(connection, Request::delete(format!("bridges/{bridge}"))).await.map(drop),
    }
}

async fn is_missing(connection: &mut Connection, request: Request) -> Result<bool, Refused> {
    Ok(ask(connection, request).await?.status == 404)
}

/// Asks on a connection that nobody else uses yet.
async fn ask(connection: &mut Connection, request: Request) -> Result<Response, Refused> {
    let lost = |what: &str| Refused::Unreachable(format!("the connection is lost: {what}"));
    if !connection.send(ID, request) {
        return Err(lost("it takes nothing"));
    }
    let answer = async {
        loop {
            match connection.next().await {
                Ok(Message::Response(response)) => return Ok(response),
                Ok(Message::Event(_)) => {}
                Err(why) => return Err(lost(&why)),
            }
        }
    };
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Refused::Unreachable("Asterisk does not answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, answers_on_its_websocket};

    #[test]
    fn the_version_says_whether_requests_go_over_the_websocket() {
        for old in ["20.6.0~dfsg+~cs6.13.40431414-2build5", "20.13.0", "21.8.0", "22.3.0", "18.10.0", "20.9-cert1"] {
            assert!(!answers_on_its_websocket(old), "{old}");
        }
        for new in ["20.14.0", "21.9.1", "22.4.0", "22.10.1~dfsg+~cs6.15.60671435-1", "23.0.0", "GIT-master-1a2b3c4"] {
            assert!(answers_on_its_websocket(new), "{new}");
        }
    }

    #[test]
    fn an_old_version_is_told_with_what_it_lacks() {
        let lines = |version: &str| Report::of(version.to_owned()).missing.len();
        assert_eq!(
            (lines("18.10.0"), lines("20.5.2"), lines("20.6.0~dfsg"), lines("20.13.0"), lines("22.10.1")),
            (2, 2, 1, 0, 0)
        );
    }
}
