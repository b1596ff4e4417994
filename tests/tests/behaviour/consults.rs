//! Consults: a second conversation beside the customer's, and what becomes of the two (section 4).

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    words::{ANSWERED, CALL_COMES, CONSULT_ENDS, NEW_CONSULT, PRIMARY_ENDS},
};
use serde_json::json;

async fn with_phone(host: &Host) -> Agent {
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    agent
}

/// An agent who talks to a consulted party, the customer held.
async fn consulting(host: &Host) -> Agent {
    let mut agent = with_phone(host).await;
    agent.consults().await;
    agent
}

fn id(target: &str) -> &str {
    target.rsplit('.').next().unwrap()
}

const BOTH: &str = "state.updated(primary) state.updated(consult) interaction.focuschanged";

#[tokio::test]
async fn consult_holds_the_original_and_calls() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    for bad in [json!({}), json!({"destination": 1})] {
        agent.fails("interaction.request.consult", &interaction, bad, "bad_request").await;
    }
    agent.fails("interaction.request.consult", &interaction, json!({"destination": "503"}), "rejected").await;
    let words = format!("state.updated(interaction) state.updated(primary) {NEW_CONSULT} interaction.focuschanged");
    let heard = agent.does("interaction.request.consult", &interaction, json!({"destination": "480"}), &words).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "CONSULT");
    assert_eq!(heard.data("state.updated(primary)")["state"], "HELD");
    assert_eq!(heard.data("state.updated(consult)")["state"], "DIALING");
    assert_eq!(heard.data("conversation.created")["conversation"]["role"], "consult");
    let consult = agent.the("consult");
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&consult));
    agent.fails("interaction.request.consult", &interaction, json!({"destination": "5"}), "invalid_state").await;
    for verb in ["alternate", "consulttransfer", "consultconference"] {
        let command = format!("interaction.request.{verb}");
        agent.fails(&command, &interaction, json!({}), "invalid_state").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn consult_of_a_held_call_leaves_out_what_does_not_change() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    agent.conversation("hold", "primary", "state.updated(primary)").await;
    let interaction = agent.the("interaction");
    let words = format!("state.updated(interaction) {NEW_CONSULT} interaction.focuschanged");
    agent.does("interaction.request.consult", &interaction, json!({"destination": "480"}), &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn consult_without_a_call_is_an_invalid_state() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    agent.conversation("release", "primary", jackfield_tests::words::CALL_ENDS).await;
    let data = json!({"destination": "480"});
    agent.fails("interaction.request.consult", &interaction, data, "invalid_state").await;
    agent.finish().await;
}

#[tokio::test]
async fn alternate_swaps_and_moves_the_focus() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    let (primary, consult) = (agent.the("primary"), agent.the("consult"));
    for (to, held) in [(&primary, "state.updated(consult)"), (&consult, "state.updated(primary)")] {
        let heard = agent.interaction("alternate", BOTH).await;
        assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(to));
        assert_eq!(heard.data(held)["state"], "HELD");
    }
    // Both held: the one without the focus is retrieved.
    agent.conversation("hold", "consult", "state.updated(consult)").await;
    let heard = agent.interaction("alternate", "state.updated(primary) interaction.focuschanged").await;
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&primary));
    agent.finish().await;
}

#[tokio::test]
async fn retrieve_beside_a_talking_conversation_is_refused_and_moves_the_focus_otherwise() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    let primary = agent.the("primary");
    agent.fails("conversation.request.retrieve", &primary, json!({}), "invalid_state").await;
    agent.conversation("hold", "consult", "state.updated(consult)").await;
    let heard = agent.conversation("retrieve", "primary", "state.updated(primary) interaction.focuschanged").await;
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&primary));
    agent.finish().await;
}

#[tokio::test]
async fn consulttransfer_takes_both_calls_away() {
    let host = Host::simulator().await;
    // After alternate the calls are the other way round, and the list is the same.
    for alternated in [false, true] {
        let mut agent = host.log_in(if alternated { "1002" } else { "1001" }).await;
        agent.has_phone(if alternated { "2002" } else { "2001" }).await;
        agent.consults().await;
        if alternated {
            agent.interaction("alternate", BOTH).await;
        }
        let words = format!(
            "{PRIMARY_ENDS} interaction.focuschanged {CONSULT_ENDS} interaction.ended state.updated(interaction) \
             channel.infochanged state.updated(channel)"
        );
        let heard = agent.interaction("consulttransfer", &words).await;
        assert_eq!(heard.data("interaction.focuschanged"), &json!({"conversation": null}));
        assert_eq!(heard.data("interaction.ended"), &json!({"reason": "transferred"}));
        agent.interaction("complete", jackfield_tests::words::COMPLETED).await;
        agent.finish().await;
    }
}

#[tokio::test]
async fn consultconference_brings_the_third_party_in() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    let primary = agent.the("primary");
    let words = format!(
        "state.updated(primary) conversation.member.added(primary) {CONSULT_ENDS} interaction.focuschanged \
         state.updated(interaction)"
    );
    let heard = agent.interaction("consultconference", &words).await;
    assert_eq!(heard.data("state.updated(primary)")["state"], "TALKING");
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&primary));
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "CONFERENCE");
    agent.finish().await;
}

#[tokio::test]
async fn consultconference_after_alternate_leaves_out_what_does_not_change() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    agent.interaction("alternate", BOTH).await;
    let words = format!("conversation.member.added(primary) {CONSULT_ENDS} state.updated(interaction)");
    agent.interaction("consultconference", &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn mute_holds_for_every_conversation_of_the_leg() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    for (verb, muted) in [("mute", true), ("unmute", false)] {
        let heard = agent.conversation(verb, "consult", "state.updated(primary) state.updated(consult)").await;
        assert_eq!(heard.data("state.updated(primary)")["muted"], muted);
        assert_eq!(heard.data("state.updated(consult)")["muted"], muted);
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_consult_that_ends_leaves_the_original_held() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    let primary = agent.the("primary");
    let words = format!("{CONSULT_ENDS} interaction.focuschanged state.updated(interaction)");
    let heard = agent.conversation("release", "consult", &words).await;
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&primary));
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "SINGLE");
    agent.conversation("retrieve", "primary", "state.updated(primary)").await;
    agent.finish().await;
}

#[tokio::test]
async fn a_consult_without_focus_ends_without_moving_it() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    agent.interaction("alternate", BOTH).await;
    let consult = agent.the("consult");
    let words = format!("{CONSULT_ENDS} state.updated(interaction)");
    agent.happens(&consult, "hangup", json!({}), &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn a_consult_that_is_not_answered_ends_by_itself() {
    let tenant = Tenant::simulator("demo").settings("destinations.486.ring_ms = 20\ndestinations.404.ring_ms = 20\ndestinations.480 = { answer = \"noanswer\" }\nno_answer_ms = 1500");
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = with_phone(&host).await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    for (number, cause) in [("486", "busy"), ("480", "noanswer"), ("404", "unreachable")] {
        let begins = format!("{NEW_CONSULT} interaction.focuschanged");
        let response = agent.command("interaction.request.consult", &interaction, json!({"destination": number})).await;
        assert_eq!(response["result"], "success", "{response}");
        agent.hears(&format!("state.updated(interaction) state.updated(primary) {begins}")).await;
        let words = format!("{CONSULT_ENDS} interaction.focuschanged state.updated(interaction)");
        let heard = agent.hears(&words).await;
        let why = json!({"reason": "failed", "cause": cause});
        assert_eq!(heard.data("conversation.disposed(consult)"), &why, "{number}");
        agent.conversation("retrieve", "primary", "state.updated(primary)").await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn if_the_primary_ends_first_the_consult_goes_on_alone() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    let (primary, interaction) = (agent.the("primary"), agent.the("interaction"));
    let words = format!("{PRIMARY_ENDS} state.updated(interaction)");
    let heard = agent.happens(&primary, "hangup", json!({}), &words).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "SINGLE");
    for (verb, data) in [
        ("consult", json!({"destination": "480"})),
        ("alternate", json!({})),
        ("consulttransfer", json!({})),
        ("consultconference", json!({})),
    ] {
        let command = format!("interaction.request.{verb}");
        agent.fails(&command, &interaction, data, "invalid_state").await;
    }
    let words = format!(
        "{CONSULT_ENDS} interaction.ended state.updated(interaction) channel.infochanged state.updated(channel)"
    );
    agent.conversation("release", "consult", &words).await;
    agent.finish().await;
}

#[tokio::test]
async fn the_primary_that_ends_with_the_focus_gives_it_to_the_consult() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    agent.interaction("alternate", BOTH).await;
    let consult = agent.the("consult");
    let words = format!("{PRIMARY_ENDS} interaction.focuschanged state.updated(interaction)");
    let heard = agent.conversation("release", "primary", &words).await;
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&consult));
    agent.finish().await;
}

#[tokio::test]
async fn a_blindtransfer_of_one_of_two_leaves_the_other() {
    let host = Host::simulator().await;
    let mut agent = consulting(&host).await;
    agent.interaction("alternate", BOTH).await;
    let (primary, consult) = (agent.the("primary"), agent.the("consult"));
    let words = format!("{PRIMARY_ENDS} interaction.focuschanged state.updated(interaction)");
    let data = json!({"destination": "5559000"});
    let heard = agent.does("conversation.request.blindtransfer", &primary, data, &words).await;
    assert_eq!(heard.data("interaction.focuschanged")["conversation"]["id"], id(&consult));
    agent.finish().await;
}

#[tokio::test]
async fn a_transfer_really_moves_the_caller_to_the_other_agent() {
    let host = Host::simulator().await;
    let mut agent = with_phone(&host).await;
    let mut colleague = host.log_in("1002").await;
    colleague.has_phone("2002").await;
    agent.talks().await;
    let interaction = agent.the("interaction");
    let words = format!("state.updated(interaction) state.updated(primary) {NEW_CONSULT} interaction.focuschanged");
    agent.does("interaction.request.consult", &interaction, json!({"destination": "2002"}), &words).await;
    let heard = colleague.hears(CALL_COMES).await;
    assert_eq!(heard.data("interaction.created")["interaction"]["direction"], "internal");
    colleague.conversation("answer", "primary", ANSWERED).await;
    agent.hears("state.updated(consult)").await;
    let words = format!(
        "{PRIMARY_ENDS} interaction.focuschanged {CONSULT_ENDS} interaction.ended state.updated(interaction) \
         channel.infochanged state.updated(channel)"
    );
    agent.interaction("consulttransfer", &words).await;
    let words = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    let heard = colleague.hears(words).await;
    assert_eq!(heard.data("conversation.member.added(primary)")["member"]["address"], "+15550100");
    assert_eq!(heard.data("interaction.datachanged")["data"]["account"], "4711", "the data travels along");
    colleague.hears_no_more().await;
    agent.finish().await;
    colleague.finish().await;
}
