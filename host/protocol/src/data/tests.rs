#![allow(clippy::unwrap_used)]

use super::*;
use crate::MAX_TEXT;

fn read(command: &str, data: &str) -> Result<Arguments, String> {
    Arguments::read(StandardCommand::from_name(command).unwrap(), data)
}

fn refused(command: &str, data: &[&str]) {
    for data in data {
        assert!(read(command, data).is_err(), "{command} {data}");
    }
}

#[test]
fn what_is_wrong_is_named_in_plain_words() {
    for (command, data, words) in [
        ("channel.request.dial", r#"{"extensions":{}}"#, "data.destination is missing"),
        ("channel.request.dial", r#"{"destination":7}"#, "data.destination must be a string"),
        ("channel.request.dial", r#"{"destination":""}"#, "data.destination is empty"),
        ("channel.request.dial", r#"{"destination":"1","destination":"2"}"#, "data.destination stands twice"),
        ("channel.request.dial", r#"{"destination":"1","extensions":[]}"#, "data.extensions must be an object"),
        ("channel.request.notready", "{}", "data.reasoncode is missing"),
        ("channel.request.notready", r#"{"reasoncode":[]}"#, "data.reasoncode must be a string or a whole number"),
        ("session.request.addchannel", "{}", "data.channel is missing"),
        ("session.request.addchannel", r#"{"channel":["1","Chat"]}"#, "data.channel must be an object"),
        ("session.request.addchannel", r#"{"channel":{"type":"Chat"}}"#, "data.channel.endpoint is missing"),
        (
            "session.request.addchannel",
            r#"{"channel":{"endpoint":"1","type":"Fax"}}"#,
            "data.channel.type must be Telephony, Chat or Email",
        ),
        (
            "channel.request.deactivate",
            r#"{"channelOptions":{"queue":7}}"#,
            "data.channeloptions.queue must be a string or a list of strings",
        ),
        ("channelgroup.request.activateall", r#"{"channeloptions":[{}]}"#, "data.channeloptions[0].id is missing"),
        (
            "channelgroup.request.activateall",
            r#"{"channeloptions":[{"id":"c1"},{"id":"c1"}]}"#,
            "data.channeloptions[1].id stands twice",
        ),
        (
            "session.request.removechannelgroup",
            r#"{"channel":{"id":"zz"},"channelgroup":{"id":"g1"}}"#,
            "data.channel.id and data.channelgroup.id are not the same group",
        ),
    ] {
        assert_eq!(read(command, data).unwrap_err(), words, "{command} {data}");
    }
    let bound = |data| parse::<BindData>(data).unwrap_err();
    assert_eq!(bound(r#"{"session":{"id":"S"},"after":-1}"#), "data.after must be a whole number, 0 or larger");
    assert_eq!(bound(r#"{"session":"S"}"#), "data.session must be an object");
    let secret = parse::<PrepareData>(r#"{"agent":{"id":"a","password":4711}}"#).err().unwrap();
    assert_eq!(secret, "data.agent.password must be a string");
}

#[test]
fn what_would_come_back_cut_is_refused() {
    let (fits, long) = ("x".repeat(MAX_TEXT), "x".repeat(MAX_TEXT + 1));
    for (command, data) in [
        ("session.request.addchannel", r#"{"channel":{"endpoint":"%","type":"Chat"}}"#),
        ("session.request.addchannelgroup", r#"{"channelgroup":{"name":"%"}}"#),
        ("channel.request.activate", r#"{"channeloptions":{"queue":"%"}}"#),
        ("channel.request.notready", r#"{"reasoncode":"%"}"#),
        ("channel.request.notready", r#"{"reasoncode":"1","reasondesc":"%"}"#),
        ("channel.request.dial", r#"{"destination":"%"}"#),
        ("interaction.request.setdisposition", r#"{"disposition":"%"}"#),
        ("interaction.request.consult", r#"{"destination":"%"}"#),
        ("conversation.request.blindtransfer", r#"{"destination":"%"}"#),
        ("session.request.supervise", r#"{"agent":"%","mode":"barge"}"#),
        ("session.request.colleague.ready", r#"{"agent":"%"}"#),
        ("session.request.colleague.notready", r#"{"agent":"1001","reasoncode":"%"}"#),
    ] {
        read(command, &data.replace('%', &fits)).unwrap();
        let words = read(command, &data.replace('%', &long)).unwrap_err();
        assert!(words.ends_with("is longer than 256 bytes"), "{command}: {words}");
    }
}

#[test]
fn a_reason_code_may_be_a_number() {
    for (data, expected) in [(r#"{"reasoncode":17}"#, "17"), (r#"{"reasoncode":"17"}"#, "17")] {
        let Arguments::NotReady { code, .. } = read("channel.request.notready", data).unwrap() else { panic!() };
        assert_eq!(code, expected);
    }
}

#[test]
fn required_members_are_required_and_types_are_checked() {
    refused(
        "session.request.addchannel",
        &[
            "{}",
            r#"{"channel":5}"#,
            r#"{"channel":{"endpoint":"1"}}"#,
            r#"{"channel":{"endpoint":"1","type":"Fax"}}"#,
            r#"{"channel":{"endpoint":"","type":"Chat"}}"#,
        ],
    );
    refused("session.request.removechannelgroup", &["{}", r#"{"channel":{}}"#, r#"{"channelgroup":null}"#]);
    refused("channel.request.activate", &[r#"{"channeloptions":[]}"#, r#"{"channeloptions":{"queue":1}}"#]);
    refused(
        "channel.request.deactivate",
        &[r#"{"channelOptions":{"reason":"x"}}"#, r#"{"channelOptions":{"queue":{}}}"#],
    );
    refused(
        "channel.request.notready",
        &["{}", r#"{"reasoncode":5.5}"#, r#"{"reasoncode":null}"#, r#"{"reasoncode":"a","reasondesc":null}"#],
    );
    refused("channel.request.dial", &["{}", r#"{"destination":5}"#, r#"{"destination":"5","extensions":[]}"#]);
    refused("interaction.request.setinteractiondata", &["{}", r#"{"key":"a"}"#, r#"{"key":1,"value":1}"#]);
    refused(
        "session.request.supervise",
        &[
            "{}",
            r#"{"agent":"1"}"#,
            r#"{"mode":"listen"}"#,
            r#"{"agent":"","mode":"listen"}"#,
            r#"{"agent":"1","mode":"Listen"}"#,
        ],
    );
    refused("session.request.colleague.ready", &["{}", r#"{"agent":""}"#, r#"{"agent":5}"#]);
    refused("session.request.colleague.notready", &["{}", r#"{"agent":"1"}"#, r#"{"reasoncode":"1"}"#]);
    refused("conversation.request.senddtmf", &["{}", r#"{"digits":""}"#, r#"{"digits":"12x"}"#, r#"{"digits":5}"#]);
    refused(
        "channelgroup.request.activateall",
        &[r#"{"channeloptions":[{"id":"c1"},{"id":"c1"}]}"#, r#"{"channeloptions":[{}]}"#],
    );
}

#[test]
fn both_spellings_of_the_channel_options_are_read() {
    for spelling in ["channeloptions", "channelOptions"] {
        let data = format!(r#"{{"{spelling}":{{"queue":["a","b"],"reason":"7"}}}}"#);
        let Arguments::Deactivate { queues, reason } = read("channel.request.deactivate", &data).unwrap() else {
            panic!()
        };
        assert_eq!((queues, reason), (vec!["a".to_owned(), "b".to_owned()], Some(7)));
        let data = format!(r#"{{"{spelling}":{{"queue":"q","more":1.0}}}}"#);
        let Arguments::Activate { queue, options } = read("channel.request.activate", &data).unwrap() else { panic!() };
        assert_eq!((queue.as_deref(), options.get()), (Some("q"), r#"{"queue":"q","more":1.0}"#));
    }
}

#[test]
fn any_value_of_call_data_keeps_its_text() {
    let data = r#"{"key":"a","value": 2.50 }"#;
    let Arguments::SetInteractionData { value, .. } = read("interaction.request.setinteractiondata", data).unwrap()
    else {
        panic!()
    };
    assert_eq!(value.get(), "2.50");
    let data = r#"{"key":"a","value":null}"#;
    assert!(matches!(read("interaction.request.setinteractiondata", data), Ok(Arguments::SetInteractionData { .. })));
}

#[test]
fn options_of_more_channels_than_there_can_be_are_refused_before_they_are_compared() {
    let options = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!(r#"{{"id":"c{n}"}}"#)).collect();
        format!(r#"{{"channeloptions":[{}]}}"#, list.join(","))
    };
    assert!(read("channelgroup.request.activateall", &options(MAX_CHANNEL_OPTIONS)).is_ok());
    let words = read("channelgroup.request.activateall", &options(4_600)).unwrap_err();
    assert_eq!(words, "data.channeloptions has more than 128 entries");
}
