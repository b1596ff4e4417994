//! The envelope: what is read, what is refused, and that everything is repeated as it was sent.

#![allow(clippy::unwrap_used)]

use jackfield_plugin_api::{Code, Failure};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn json_of(json: &str) -> Json {
    serde_json::from_str(json).unwrap()
}

fn refused(message: &str) -> (Value, bool) {
    let bad = Request::parse(message).expect_err("the message is bad");
    let response: Value = serde_json::from_str(&bad.response).unwrap();
    assert_eq!(response["result"], "failure");
    assert_eq!(response["failure"]["code"], "bad_request");
    (response, bad.unparsable)
}

#[test]
fn a_success_repeats_name_target_data_and_request_id_as_they_were_sent() {
    let sent = r#" {"requestId":1.50,"target":"S.c1","unknown":[1],"data":{"n":12345678901234567890.10,"s":"\u0041"},"command":"channel.request.ready"} "#;
    let request = Request::parse(sent).unwrap();
    assert_eq!(request.command(), "channel.request.ready");
    assert_eq!(request.target(), Some("S.c1"));
    assert_eq!(
        request.respond(Response::Success),
        r#"{"command":"channel.request.ready","target":"S.c1","result":"success","data":{"n":12345678901234567890.10,"s":"\u0041"},"requestId":1.50}"#
    );
}

#[test]
fn missing_data_means_an_empty_object() {
    let request = Request::parse(r#"{"command":"x"}"#).unwrap();
    assert_eq!(request.respond(Response::Success), r#"{"command":"x","result":"success","data":{}}"#);
    assert_eq!(request.respond(Response::SuccessBare), r#"{"command":"x","result":"success"}"#);
}

#[test]
fn a_failure_carries_the_original_unchanged() {
    let sent = r#"{"command":"x","target":"S","data":{"a":1.0},"more":{"b":[2.50]},"requestId":"42"}"#;
    let request = Request::parse(sent).unwrap();
    let failure = Failure::new(Code::InvalidState, "no \"way\"");
    assert_eq!(
        request.respond(Response::Failure(&failure)),
        format!(
            r#"{{"command":"x","target":"S","result":"failure","failure":{{"code":"invalid_state","message":"no \"way\""}},"original":{sent},"requestId":"42"}}"#
        )
    );
}

#[test]
fn needinfo_and_confirm_carry_what_they_ask_and_the_original() {
    let request = Request::parse(r#"{"command":"x"}"#).unwrap();
    assert_eq!(
        request.respond(Response::NeedInfo(&json_of(r#"{"id":"skill"}"#))),
        r#"{"command":"x","result":"needinfo","uiExtension":{"id":"skill"},"original":{"command":"x"}}"#
    );
    assert_eq!(
        request.respond(Response::Confirm("sure?")),
        r#"{"command":"x","result":"confirm","message":"sure?","original":{"command":"x"}}"#
    );
}

#[test]
fn what_is_not_an_object_is_refused_without_original() {
    for message in [
        "",
        "{",
        "nonsense",
        "[1]",
        "\"text\"",
        "5",
        "null",
        "{} {}",
        "{\"a\":}",
        "\u{0}",
        r#"{,"command":"x"}"#,
        r#"{"command":"x",}"#,
        r#"{"command":"x" "data":{}}"#,
        r#"{"command":"x"}}"#,
        r#"{"command" "x"}"#,
        r#"{"command"}"#,
        r#"{command:"x"}"#,
        r#"{"command":"x}"#,
        r#"{"command":"\x"}"#,
        "{\"command\":\"x\u{1}\"}",
        r#"{"command":"x","requestId":01}"#,
        r#"{"command":"x","requestId":12x}"#,
        r#"{"command":"x","requestId":12"#,
        r#"{"command":"x","requestId":1.}"#,
        r#"{"command":"\ud800"}"#,
        r#"{"command":"x","requestId":"\udc00"}"#,
    ] {
        let (response, unparsable) = refused(message);
        assert!(unparsable, "{message}");
        assert!(response.get("original").is_none(), "{message}");
    }
}

#[test]
fn a_member_of_the_wrong_type_is_refused_and_those_of_the_right_type_are_repeated() {
    let sent = r#"{"command":7,"target":"S","requestId":"r"}"#;
    let (response, unparsable) = refused(sent);
    assert!(!unparsable);
    assert_eq!(
        response,
        json!({"target":"S","result":"failure","failure":response["failure"],"original":{"command":7,"target":"S","requestId":"r"},"requestId":"r"})
    );
    for message in [
        r#"{}"#,
        r#"{"command":null}"#,
        r#"{"command":"x","target":1}"#,
        r#"{"command":"x","target":null}"#,
        r#"{"command":"x","data":[]}"#,
        r#"{"command":"x","data":null}"#,
        r#"{"command":"x","requestId":null}"#,
        r#"{"command":"x","requestId":{}}"#,
        r#"{"command":"x","requestId":true}"#,
        r#"{"command":"x","command":"y"}"#,
        r#"{"command":"x","data":{},"data":{}}"#,
    ] {
        let (response, unparsable) = refused(message);
        assert!(!unparsable, "{message}");
        assert!(response["original"].is_object(), "{message}");
    }
    let (response, _) = refused(r#"{"command":"x","target":1,"requestId":[]}"#);
    assert_eq!(response["command"], "x");
    assert!(response.get("target").is_none() && response.get("requestId").is_none());
}

fn nested(depth: usize) -> String {
    format!(r#"{{"command":"x","data":{{"a":{}{}}}}}"#, "[".repeat(depth - 2), "]".repeat(depth - 2))
}

#[test]
fn sixty_four_levels_are_read_and_sixty_five_are_not() {
    assert!(Request::parse(&nested(64)).is_ok());
    let bad = Request::parse(&nested(65)).unwrap_err();
    assert!(bad.unparsable);
    assert!(bad.response.contains(r#""command":"x""#) && bad.response.contains("\"original\":{"));
    assert!(Request::parse(r#"{"command":"\ud83d\ude00 \\ud800"}"#).is_ok());
    // Brackets inside texts are no nesting.
    assert!(Request::parse(&format!(r#"{{"command":"x","data":{{"a":"\"{}"}}}}"#, "[".repeat(500))).is_ok());
}

#[test]
fn nesting_without_end_does_not_exhaust_the_stack() {
    for message in ["[".repeat(5_000_000), r#"{"a":"#.repeat(1_000_000), nested(1_000_000)] {
        assert!(Request::parse(&message).is_err());
    }
}

#[test]
fn the_password_of_prepare_session_is_never_repeated() {
    let failure = Failure::new(Code::Unauthorized, "no");
    for (sent, shown) in [
        (
            r#"{"command":"prepareSession","data":{"agent":{"id":"a","password":"geheim"},"n":1.0}}"#,
            r#"{"command":"prepareSession","data":{"agent":{"id":"a","password":"***"},"n":1.0}}"#,
        ),
        (
            r#"{"command":"prepare\u0053ession","data":{"\u0061gent":{"passwor\u0064":"geheim","password":7}}}"#,
            r#"{"command":"prepare\u0053ession","data":{"\u0061gent":{"passwor\u0064":"***","password":"***"}}}"#,
        ),
    ] {
        let request = Request::parse(sent).unwrap();
        let response = request.respond(Response::Failure(&failure));
        assert!(response.ends_with(&format!(r#""original":{shown}}}"#)), "{}", response);
    }
    let bad = Request::parse(r#"{"command":"prepareSession","target":1,"data":{"agent":{"password":"geheim"}}}"#);
    assert!(!bad.unwrap_err().response.contains("geheim"));
    let other = Request::parse(r#"{"command":"x","data":{"agent":{"password":"shown"}}}"#).unwrap();
    assert!(other.respond(Response::Failure(&failure)).contains("shown"));
}

/// What a fuzzer asserts of any text: it never panics, and it is read or answered with a failure that is JSON. What is
/// read is JSON, and what is JSON and refused as none is so for a reason of its own.
fn is_read_or_answered(message: &str) {
    let is_object = message.trim().starts_with('{') && serde_json::from_str::<Value>(message).is_ok();
    match Request::parse(message) {
        Ok(request) => {
            assert!(is_object);
            let response: Value = serde_json::from_str(&request.respond(Response::Success)).unwrap();
            assert_eq!(response["command"], request.command());
        }
        Err(bad) => {
            let response: Value = serde_json::from_str(&bad.response).unwrap();
            assert_eq!(response["failure"]["code"], "bad_request");
            assert!(!(is_object && bad.unparsable), "{response}");
        }
    }
}

/// One that has a meaning, or begins like it, or any.
fn any_name() -> impl Strategy<Value = String> {
    let known = || prop_oneof![Just("command"), Just("target"), Just("data"), Just("requestId")];
    prop_oneof![known().prop_map(str::to_owned), known().prop_map(|name| format!("{name}\":")), any::<String>()]
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = any_name();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(n, v)| format!("{}:{v}", serde_json::to_string(n).unwrap())).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_answered(message in any::<String>()) {
        is_read_or_answered(&message);
    }

    #[test]
    fn any_json_is_read_or_answered(message in any_json()) {
        is_read_or_answered(&message);
    }

    #[test]
    fn any_damaged_message_is_read_or_answered(
        at in 0..90_usize,
        with in any::<char>(),
        cut in 0..3_usize,
    ) {
        let whole = r#"{"command":"prepareSession","data":{"agent":{"id":"a","password":"p\n"}},"requestId":-1e3}"#;
        let at = at.min(whole.len());
        let damaged = format!("{}{with}{}", &whole[..at], &whole[(at + cut).min(whole.len())..]);
        is_read_or_answered(&damaged);
    }
}

#[test]
fn a_target_longer_than_any_path_is_no_objects() {
    let long = format!("S.c{}", "1".repeat(60_000));
    let request = Request::parse(&json!({"command": "x", "target": long}).to_string()).unwrap();
    assert_eq!(request.target().unwrap().len(), MAX_TARGET);
    assert!(request.respond(Response::Success).contains(&long), "it is repeated as it was sent");
}
