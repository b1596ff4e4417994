//! What happens without a command (section 4, "What happens by itself").

use jackfield_tests::{
    agent::Agent,
    host::Host,
    words::{
        ANSWERED, CALL_COMES, CALL_ENDS, CHAT_COMES, COMPLETED, CONSULT_ENDS, NEW_CALL, OFFER_ENDS, PAIR, PRIMARY_ENDS,
    },
};
use serde_json::json;

async fn with_phone(host: &Host) -> Agent {
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent
}

#[tokio::test]
async fn a_contact_of_a_queue_comes_to_the_longest_ready_agent() {
    let host = Host::simulator().await;
    let mut first = host.log_in("1001").await;
    let mut second = host.log_in("1002").await;
    for (agent, endpoint) in [(&mut second, "2002"), (&mut first, "2001")] {
        let channel = agent.adds_channel(endpoint, "Telephony").await;
        let queue = json!({"channeloptions": {"queue": "sales"}});
        agent.does("channel.request.activate", &channel, queue, PAIR).await;
        agent.does("channel.request.ready", &channel, json!({}), PAIR).await;
    }
    let session = first.session.clone();
    let data = json!({"type": "Telephony", "from": "+15550100", "queue": "sales"});
    let response = first.command("session.request.simulator.inbound", &session, data).await;
    assert_eq!(response["result"], "success", "{response}");
    second.hears(CALL_COMES).await;
    second.conversation("answer", "primary", ANSWERED).await;
    first.finish().await;
    second.finish().await;
}

#[tokio::test]
async fn a_chat_comes_without_conversations() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_channel("chat", "Chat").await;
    let session = agent.session.clone();
    let data = json!({"type": "Chat", "from": "visitor"});
    agent.extension("session.request.simulator.inbound", &session, data, CHAT_COMES).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_other_party_hangs_up() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let heard = {
        let response = agent.command("conversation.request.simulator.remotehangup", &call, json!({})).await;
        assert_eq!(response["result"], "success", "{response}");
        agent.hears(CALL_ENDS).await
    };
    assert_eq!(heard.data("interaction.ended"), &json!({"reason": "released"}));
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_while_it_rings_leaves_nothing() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    for (what, reason) in [("abandon", "abandoned"), ("elsewhere", "redirected")] {
        agent.is_offered("Telephony").await;
        let interaction = agent.the("interaction");
        let heard = agent.happens(&interaction, what, json!({}), OFFER_ENDS).await;
        assert_eq!(heard.data("interaction.ended"), &json!({"reason": reason}), "{what}");
        agent.fails("interaction.request.accept", &interaction, json!({}), "not_found").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn parties_join_and_leave_a_conference() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let third = json!({"address": "5553000"});
    let words = "conversation.member.added(primary) state.updated(interaction)";
    let heard = agent.happens(&call, "partyjoins", third.clone(), words).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "CONFERENCE");
    let fourth = json!({"address": "5554000"});
    agent.happens(&call, "partyjoins", fourth.clone(), "conversation.member.added(primary)").await;
    agent.happens(&call, "partyleaves", fourth, "conversation.member.removed(primary)").await;
    let words = "conversation.member.removed(primary) state.updated(interaction)";
    let heard = agent.happens(&call, "partyleaves", third, words).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "SINGLE");
    agent.finish().await;
}

#[tokio::test]
async fn a_call_is_transferred_to_this_agents_conversation() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let words = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    let more = json!({"from": "+15550199", "data": {"ticket": 5}});
    let heard = agent.happens(&call, "transferred", more, words).await;
    assert_eq!(heard.data("conversation.member.added(primary)")["member"]["address"], "+15550199");
    // The platform has given the call another key; the target stays.
    agent.does("conversation.request.hold", &call, json!({}), "state.updated(primary)").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_call_that_goes_on_already_is_first_seen() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let channel = agent.the("channel");
    let words = format!(
        "{PAIR} interaction.created state.updated(interaction) {NEW_CALL} interaction.datachanged \
         interaction.screenpop interaction.initialized"
    );
    let heard = agent.happens(&channel, "taken", json!({"from": "+15550100"}), &words).await;
    assert_eq!(heard.data("state.updated(interaction)")["state"], "STARTED");
    assert_eq!(heard.data("state.updated(primary)")["state"], "TALKING");
    agent.finish().await;
}

#[tokio::test]
async fn an_offered_call_is_taken_on_the_phone() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.is_offered("Telephony").await;
    let interaction = agent.the("interaction");
    agent.happens(&interaction, "answered", json!({}), ANSWERED).await;
    agent.finish().await;
}

#[tokio::test]
async fn an_offered_call_was_taken_and_is_over_before_it_was_seen() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.is_offered("Telephony").await;
    let interaction = agent.the("interaction");
    let words = format!("interaction.screenpop state.updated(interaction) {CALL_ENDS}");
    let heard = agent.happens(&interaction, "takenandover", json!({}), &words).await;
    let states: Vec<_> = heard
        .0
        .iter()
        .filter(|event| event.word == "state.updated(interaction)")
        .map(|event| event.data["state"].clone())
        .collect();
    assert_eq!(states, ["STARTED", "ENDED"]);
    agent.interaction("complete", COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_screenpop_address_comes_later() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let url = json!({"url": "https://crm.example/4711"});
    let heard = agent.happens(&interaction, "screenpop", url, "interaction.screenpop").await;
    assert_eq!(heard.data("interaction.screenpop")["url"], "https://crm.example/4711");
    assert_eq!(heard.data("interaction.screenpop")["interaction"]["state"], "STARTED");
    agent.finish().await;
}

#[tokio::test]
async fn a_members_details_change() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let call = agent.the("primary");
    let words = "conversation.member.removed(primary) conversation.member.added(primary)";
    let heard = agent.happens(&call, "memberchanged", json!({"name": "A. Caller"}), words).await;
    assert_eq!(heard.data("conversation.member.added(primary)")["member"]["name"], "A. Caller");
    agent.finish().await;
}

#[tokio::test]
async fn an_ended_call_is_called_back_under_the_same_key() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    agent.conversation("release", "primary", CALL_ENDS).await;
    let old = agent.the("interaction");
    let words = format!(
        "{PAIR} {COMPLETED} interaction.created state.updated(interaction) {NEW_CALL} interaction.datachanged \
         interaction.preview interaction.initialized"
    );
    agent.happens(&old, "recall", json!({}), &words).await;
    assert_ne!(agent.the("interaction"), old);
    agent.fails("interaction.request.complete", &old, json!({}), "not_found").await;
    agent.conversation("answer", "primary", ANSWERED).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_platform_completes_at_once() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let words = format!("{PRIMARY_ENDS} interaction.ended state.updated(interaction) {COMPLETED} {PAIR}");
    agent.happens(&interaction, "endedandcompleted", json!({}), &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_platform_completes_what_has_ended() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    agent.conversation("release", "primary", CALL_ENDS).await;
    let interaction = agent.the("interaction");
    agent.happens(&interaction, "completed", json!({}), COMPLETED).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_platform_removes_a_channel_with_its_interactions() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let channel = agent.the("channel");
    let words =
        format!("{PRIMARY_ENDS} interaction.ended state.updated(interaction) {COMPLETED} {PAIR} channel.disposed");
    let heard = agent.happens(&channel, "removechannel", json!({}), &words).await;
    assert_eq!(heard.data("state.updated(channel)")["state"], "INACTIVE");
    agent.fails("channel.request.activate", &channel, json!({}), "not_found").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_conference_of_which_the_consulted_party_hangs_up() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.consults().await;
    let consult = agent.the("consult");
    let words = format!("{CONSULT_ENDS} interaction.focuschanged state.updated(interaction)");
    agent.happens(&consult, "hangup", json!({}), &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_phones_own_hold_key() {
    let (host, puppet) = Host::puppet().await;
    let call = |state: &str| {
        json!({"channels": [{"key": "p", "interactions": [{"key": "i",
            "conversations": [{"key": "c", "role": "primary", "state": state}]}]}]})
    };
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {}}, "interactions": [{"key": "i", "direction": "inbound",
            "conversations": [{"key": "c", "role": "primary", "state": "TALKING",
                "members": [{"key": "m", "address": "1", "role": "customer"}]}]}]}]}));
    let mut agent = host.log_in("1001").await;
    for state in ["HELD", "TALKING"] {
        puppet.report("1001", call(state)).await;
        let heard = agent.hears("state.updated(primary)").await;
        assert_eq!(heard.data("state.updated(primary)")["state"], state);
        // The same again says nothing.
        puppet.report("1001", call(state)).await;
        agent.hears_no_more().await;
    }
    agent.finish().await;
}
