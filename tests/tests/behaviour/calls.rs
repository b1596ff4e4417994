//! Calls: offered, answered, rejected, dialled, held, muted, recorded, released, completed (section 4).

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    words::{ANSWERED, CALL_COMES, CALL_ENDS, COMPLETED, OFFER_ENDS},
};
use serde_json::json;

/// An agent with an active telephone.
async fn with_phone(host: &Host) -> Agent {
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent
}

const STATE: &str = "state.updated(primary)";
const RECORDING: &str = "state.updated(interaction)";

#[tokio::test]
async fn answer_starts_the_interaction() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let heard = agent.is_offered("Telephony").await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "ALERTING");
    assert_eq!(heard.data("state.updated(primary)")["state"], "ALERTING");
    assert_eq!(heard.data("channel.infochanged")["channel"]["occupied"], true);
    let heard = agent.conversation("answer", "primary", ANSWERED).await;
    assert_eq!(heard.data("state.updated(primary)")["state"], "TALKING");
    assert_eq!(heard.data("state.updated(interaction)")["state"], "STARTED");
    let call = agent.the("primary");
    agent.fails("conversation.request.answer", &call, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn accepting_a_call_is_answering_it() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.is_offered("Telephony").await;
    agent.interaction("accept", ANSWERED).await;
    let interaction = agent.the("interaction");
    agent.fails("interaction.request.accept", &interaction, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn rejecting_a_call_ends_and_disposes_it() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.is_offered("Telephony").await;
    let heard = agent.interaction("reject", OFFER_ENDS).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "rejected"}));
    assert_eq!(heard.data("state.updated(interaction)")["state"], "ENDED");
    // Releasing what rings is rejecting it.
    agent.is_offered("Telephony").await;
    let heard = agent.conversation("release", "primary", OFFER_ENDS).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "rejected");
    agent.talks().await;
    let interaction = agent.the("interaction");
    agent.fails("interaction.request.reject", &interaction, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn an_offer_is_only_a_preview() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.is_offered("Telephony").await;
    let (interaction, call) = (agent.the("interaction"), agent.the("primary"));
    for (command, data) in [
        ("interaction.request.setinteractiondata", json!({"key": "a", "value": 1})),
        ("interaction.request.setdisposition", json!({"disposition": "sold"})),
        ("interaction.request.complete", json!({})),
        ("interaction.request.consult", json!({"destination": "5552000"})),
        ("interaction.request.alternate", json!({})),
        ("interaction.request.consulttransfer", json!({})),
        ("interaction.request.consultconference", json!({})),
        ("interaction.request.recording.start", json!({})),
    ] {
        agent.fails(command, &interaction, data, "invalid_state").await;
    }
    for (command, data) in [
        ("hold", json!({})),
        ("retrieve", json!({})),
        ("mute", json!({})),
        ("unmute", json!({})),
        ("senddtmf", json!({"digits": "1"})),
        ("blindtransfer", json!({"destination": "5552000"})),
        ("blindconference", json!({"destination": "5552000"})),
    ] {
        agent.fails(&format!("conversation.request.{command}"), &call, data, "invalid_state").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn dial_calls_and_the_answer_starts_it() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let channel = agent.the("channel");
    let data = json!({"destination": "5551234"});
    let heard = agent.begins("channel.request.dial", &channel, data, CALL_COMES).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "DIALING");
    assert_eq!(heard.data("state.updated(primary)")["state"], "DIALING");
    assert_eq!(heard.data("interaction.created")["interaction"]["direction"], "outbound");
    let heard = agent.hears(ANSWERED).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "STARTED");
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn dial_fails_where_no_call_can_be_placed() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let channel = agent.adds_channel("2001", "Telephony").await;
    let dial = "channel.request.dial";
    agent.fails(dial, &channel, json!({"destination": "5551234"}), "invalid_state").await;
    agent.does("channel.request.activate", &channel, json!({}), jackfield_tests::words::PAIR).await;
    agent.fails(dial, &channel, json!({"destination": "503"}), "rejected").await;
    for bad in [json!({}), json!({"destination": 5}), json!({"destination": "5", "extensions": 1})] {
        agent.fails(dial, &channel, bad, "bad_request").await;
    }
    let chat = agent.has_channel("chat", "Chat").await;
    agent.fails(dial, &chat, json!({"destination": "5551234"}), "unsupported").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_dialled_party_that_does_not_come_ends_the_interaction_with_its_cause() {
    let tenant = Tenant::simulator("demo").settings("ring_ms = 20\nno_answer_ms = 40");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = with_phone(&host).await;
    let channel = agent.the("channel");
    for (number, cause) in [("486", "busy"), ("480", "noanswer"), ("404", "unreachable")] {
        agent.begins("channel.request.dial", &channel, json!({"destination": number}), CALL_COMES).await;
        let heard = agent.hears(CALL_ENDS).await;
        assert_eq!(heard.data("interaction.ended"), &json!({"reason": "failed", "cause": cause}));
        agent.interaction("complete", COMPLETED).await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn releasing_a_call_that_is_dialled_cancels_it() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let channel = agent.the("channel");
    agent.does("channel.request.dial", &channel, json!({"destination": "480"}), CALL_COMES).await;
    let heard = agent.conversation("release", "primary", CALL_ENDS).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "failed", "cause": "cancelled"}));
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn release_ends_a_call_and_complete_the_interaction() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let (interaction, call) = (agent.the("interaction"), agent.the("primary"));
    agent.fails("interaction.request.complete", &interaction, json!({}), "invalid_state").await;
    agent.next_is_refused("rejected").await;
    agent.fails("conversation.request.release", &call, json!({}), "rejected").await;
    let heard = agent.conversation("release", "primary", CALL_ENDS).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "released"}));
    assert_eq!(heard.data("state.updated(primary)")["state"], "ENDED");
    agent.fails("conversation.request.release", &call, json!({}), "not_found").await;
    let heard = agent.interaction("complete", COMPLETED).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "COMPLETED");
    agent.fails("interaction.request.complete", &interaction, json!({}), "not_found").await;
    agent.finish().await;
}

#[tokio::test]
async fn hold_and_retrieve() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    agent.fails("conversation.request.retrieve", &call, json!({}), "invalid_state").await;
    let heard = agent.conversation("hold", "primary", STATE).await;
    assert_eq!(heard.data(STATE)["state"], "HELD");
    agent.fails("conversation.request.hold", &call, json!({}), "invalid_state").await;
    agent.fails("conversation.request.senddtmf", &call, json!({"digits": "1"}), "invalid_state").await;
    agent.fails("conversation.request.blindconference", &call, json!({"destination": "5"}), "invalid_state").await;
    let heard = agent.conversation("retrieve", "primary", STATE).await;
    assert_eq!(heard.data(STATE)["state"], "TALKING");
    agent.finish().await;
}

#[tokio::test]
async fn mute_and_unmute_once_each() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    for (verb, muted) in [("mute", true), ("unmute", false)] {
        let heard = agent.conversation(verb, "primary", STATE).await;
        assert_eq!(heard.data(STATE)["muted"], muted);
        agent.conversation(verb, "primary", "").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn senddtmf_sends_tones_without_events() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    agent.does("conversation.request.senddtmf", &call, json!({"digits": "0123456789*#ABCD"}), "").await;
    for bad in [json!({}), json!({"digits": ""}), json!({"digits": "12x"}), json!({"digits": 12})] {
        agent.fails("conversation.request.senddtmf", &call, bad, "bad_request").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn recording_starts_pauses_resumes_and_stops() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    for off in ["pause", "resume"] {
        let command = format!("interaction.request.recording.{off}");
        agent.fails(&command, &interaction, json!({}), "invalid_state").await;
    }
    agent.interaction("recording.stop", "").await;
    for (verb, state) in [("start", "ON"), ("pause", "PAUSED"), ("resume", "ON"), ("stop", "OFF")] {
        let heard = agent.interaction(&format!("recording.{verb}"), RECORDING).await;
        assert_eq!(heard.data(RECORDING)["recording"], state);
        agent.interaction(&format!("recording.{verb}"), "").await;
        if verb == "stop" {
            break;
        }
    }
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.fails("interaction.request.recording.start", &interaction, json!({}), "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn recording_that_the_platform_cannot_do_is_unsupported() {
    let host = Setup::new().tenant(Tenant::simulator("demo").settings("recording = false")).start().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    agent.fails("interaction.request.recording.start", &interaction, json!({}), "unsupported").await;
    agent.finish().await;
}

#[tokio::test]
async fn call_data_and_disposition_are_set() {
    let tenant = Tenant::simulator("demo").settings("dispositions = [\"sold\", \"lost\"]");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let set = "interaction.request.setinteractiondata";
    let value = json!({"list": [1, 2.5, "x"], "deep": {"er": null}});
    let data = json!({"key": "order", "value": value});
    let heard = agent.does(set, &interaction, data, "interaction.datachanged").await;
    assert_eq!(heard.data("interaction.datachanged"), &json!({"data": {"order": value}}));
    let heard = agent.does(set, &interaction, json!({"key": "order", "value": null}), "interaction.datachanged").await;
    assert_eq!(heard.data("interaction.datachanged"), &json!({"data": {"order": null}}));
    for bad in [json!({}), json!({"key": "a"}), json!({"key": 1, "value": 1})] {
        agent.fails(set, &interaction, bad, "bad_request").await;
    }
    agent.next_is_refused("rejected").await;
    agent.fails(set, &interaction, json!({"key": "a", "value": 1}), "rejected").await;
    let dispose = "interaction.request.setdisposition";
    agent.does(dispose, &interaction, json!({"disposition": "sold"}), "").await;
    agent.fails(dispose, &interaction, json!({"disposition": "won"}), "rejected").await;
    agent.fails(dispose, &interaction, json!({"disposition": 1}), "bad_request").await;
    agent.fails(dispose, &interaction, json!({}), "bad_request").await;
    // After the end too: the agent notes it in after-call work.
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.does(dispose, &interaction, json!({"disposition": "lost"}), "").await;
    agent.finish().await;
}

#[tokio::test]
async fn blindtransfer_disconnects_the_agent() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    for bad in [json!({}), json!({"destination": 1})] {
        agent.fails("conversation.request.blindtransfer", &call, bad, "bad_request").await;
    }
    let words = "state.updated(primary) conversation.disposed(primary) interaction.focuschanged \
        interaction.ended state.updated(interaction) channel.infochanged state.updated(channel)";
    let data = json!({"destination": "5552000"});
    let heard = agent.does("conversation.request.blindtransfer", &call, data, words).await;
    assert_eq!(heard.data("interaction.focuschanged"), &json!({"conversation": null}));
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "transferred"}));
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_blindtransfer_that_fails_afterwards_says_so_in_the_events() {
    use jackfield_tests::puppet::Answer;
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {}}, "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": "TALKING",
                "members": [{"key": "m", "address": "1", "role": "customer"}]}]}]}]}));
    let mut agent = host.log_in("1001").await;
    let call = agent.the("primary");
    let ended = json!({"channels": [{"key": "p", "interactions": [{"key": "i",
        "conversations": [{"key": "c", "state": "ENDED", "reason": "failed", "cause": "busy"}]}]}]});
    puppet.when("blind_transfer", Answer::failure("busy", "486").report(ended));
    let data = json!({"destination": "5552000"});
    agent.fails_quickly("conversation.request.blindtransfer", &call, data, "busy").await;
    let words = "state.updated(primary) conversation.disposed(primary) interaction.focuschanged \
        interaction.ended state.updated(interaction) channel.infochanged state.updated(channel)";
    let heard = agent.hears(words).await;
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "failed", "cause": "busy"}));
    agent.finish().await;
}

#[tokio::test]
async fn blindtransfer_reaches_the_other_agent() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let mut other = host.log_in("1002").await;
    other.has_phone("2002").await;
    agent.talks().await;
    let call = agent.the("primary");
    let response = agent.command("conversation.request.blindtransfer", &call, json!({"destination": "2002"})).await;
    assert_eq!(response["result"], "success", "{response}");
    agent.hears_until("state.updated(channel)").await;
    let heard = other.hears(CALL_COMES).await;
    assert_eq!(heard.data("interaction.preview")["interaction"]["data"]["account"], "4711", "the data travels along");
    other.conversation("answer", "primary", ANSWERED).await;
    agent.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn blindconference_adds_a_party() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let conference = "conversation.request.blindconference";
    for bad in [json!({}), json!({"destination": 1})] {
        agent.fails(conference, &call, bad, "bad_request").await;
    }
    agent.fails(conference, &call, json!({"destination": "486"}), "busy").await;
    let words = "conversation.member.added(primary) state.updated(interaction)";
    let heard = agent.does(conference, &call, json!({"destination": "5552000"}), words).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "CONFERENCE");
    // It is a conference already: only a member is new.
    let data = json!({"destination": "5553000"});
    agent.does(conference, &call, data, "conversation.member.added(primary)").await;
    // The agent leaves it alone.
    agent.conversation("release", "primary", CALL_ENDS).await;
    agent.finish().await;
}

#[tokio::test]
async fn one_member_of_a_conference_is_muted_held_and_removed() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let joins = "conversation.member.added(primary) state.updated(interaction)";
    let heard =
        agent.does("conversation.request.blindconference", &call, json!({"destination": "5552000"}), joins).await;
    let third = heard.data("conversation.member.added(primary)")["member"].clone();
    let member = json!({"member": {"id": third["id"]}});
    let changed = "conversation.member.changed(primary)";
    for (verb, state) in [("mute", "muted"), ("hold", "held")] {
        let command = format!("conversation.request.member.{verb}");
        let heard = agent.does(&command, &call, member.clone(), changed).await;
        assert_eq!(heard.data(changed)["member"][state], true, "{verb}");
        agent.does(&command, &call, member.clone(), "").await;
    }
    // Whoever comes later is told of it; `finish` compares what both know.
    for (verb, state) in [("unmute", "muted"), ("retrieve", "held")] {
        let heard = agent.does(&format!("conversation.request.member.{verb}"), &call, member.clone(), changed).await;
        assert_eq!(heard.data(changed)["member"].get(state), None, "{verb}");
        agent.fails(&format!("conversation.request.member.{verb}"), &call, member.clone(), "invalid_state").await;
    }
    for (data, code) in [
        (json!({"member": {"id": "m999"}}), "not_found"),
        (json!({"member": {"id": call}}), "not_found"),
        (json!({"member": "m1"}), "bad_request"),
        (json!({}), "bad_request"),
    ] {
        agent.fails("conversation.request.member.remove", &call, data, code).await;
    }
    agent.does("conversation.request.member.hold", &call, member.clone(), changed).await;
    let leaves = "conversation.member.removed(primary) state.updated(interaction)";
    let heard = agent.does("conversation.request.member.remove", &call, member.clone(), leaves).await;
    assert_eq!(heard.data("conversation.member.removed(primary)")["member"]["held"], true);
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "SINGLE");
    agent.fails("conversation.request.member.remove", &call, member, "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn telephony_commands_on_a_chat_are_unsupported() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    agent.is_offered("Chat").await;
    agent.interaction("accept", "interaction.screenpop state.updated(interaction)").await;
    let interaction = agent.the("interaction");
    for (verb, data) in [
        ("consult", json!({"destination": "1"})),
        ("alternate", json!({})),
        ("consulttransfer", json!({})),
        ("consultconference", json!({})),
        ("recording.start", json!({})),
        ("recording.stop", json!({})),
        ("recording.pause", json!({})),
        ("recording.resume", json!({})),
    ] {
        agent.fails(&format!("interaction.request.{verb}"), &interaction, data, "unsupported").await;
    }
    agent.finish().await;
}
