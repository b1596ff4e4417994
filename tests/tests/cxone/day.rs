//! An agent's day: every kind of contact and command, with the events that the protocol lists.

use jackfield_tests::{agent::Agent, words::*};
use serde_json::{Value, json};

use crate::*;

const CONSULTED: &str = "state.updated(interaction) state.updated(primary) conversation.created state.updated(consult) \
    conversation.member.added(consult) conversation.initialized interaction.focuschanged";
const ALTERNATED: &str = "state.updated(primary) state.updated(consult) interaction.focuschanged";
const TRANSFERRED: &str = "state.updated(primary) conversation.disposed(primary) interaction.focuschanged \
    state.updated(consult) conversation.disposed(consult) interaction.ended state.updated(interaction) \
    channel.infochanged state.updated(channel)";
const CONFERENCED: &str = "conversation.member.added(primary) state.updated(consult) conversation.disposed(consult) \
    interaction.focuschanged state.updated(interaction)";

/// Every part of the day is a test in each of these circumstances; the events are the same.
macro_rules! day {
    ($($part:ident)*) => {
        mod in_whole_batches {
            $(#[tokio::test]
            async fn $part() {
                let (emulator, host) = crate::bench().await;
                super::$part(emulator, host).await;
            })*
        }

        /// CXone tells one event an answer, so that every transition comes in pieces.
        mod in_single_events {
            $(#[tokio::test]
            async fn $part() {
                let (emulator, host) = crate::bench().await;
                let fault = serde_json::json!({"call": "get-next-event", "times": 1_000_000, "what": {"at_most": {"events": 1}}});
                emulator.control("fault", fault);
                super::$part(emulator, host).await;
            })*
        }

        /// CXone does what the documents do not say in every way: of its combinations as few as have every two of its
        /// ways together, and all with `JACKFIELD_EVERY_CXONE` in the environment; and it writes in every other way.
        mod of_every_cxone {
            $(#[tokio::test]
            async fn $part() {
                super::of_every_cxone(super::$part).await;
            })*
        }

        /// The adapter runs in a worker process of the tenant's own.
        mod in_a_worker {
            $(#[tokio::test]
            async fn $part() {
                let (emulator, host) = crate::bench_in("tenant").await;
                super::$part(emulator, host).await;
            })*
        }
    };
}

day! {
    an_inbound_call_with_all_that_can_be_done_in_one_call
    a_dial_asks_for_the_skill_and_goes_out_with_the_chosen_one
    a_consult_is_alternated_and_transferred
    a_consult_becomes_a_conference_that_the_agent_leaves
    blind_transfer_and_blind_conference_show_only_what_comes_of_them
    a_call_moves_to_a_colleague_by_consult_and_transfer
    offers_are_rejected_and_given_up_and_customers_hang_up
    chats_and_emails
    a_group_of_channels_is_added_activated_and_removed
    the_address_book_lives_and_signals_and_scripts_reach_cxone
}

/// So many hosts run at a time.
const AT_A_TIME: usize = 4;

async fn of_every_cxone<F: Future<Output = ()> + Send + 'static>(part: fn(Emulator, Host) -> F) {
    let every = std::env::var_os("JACKFIELD_EVERY_CXONE").is_some();
    let mut behaviours = if every { Behaviour::combinations().collect() } else { Behaviour::pairs() };
    behaviours.push(Behaviour { writing: Writing::all(), page: 2, ..Behaviour::default() });
    let mut failed = Vec::new();
    for some in behaviours.chunks(AT_A_TIME) {
        let play = |behaviour: &Behaviour| {
            let behaviour = *behaviour;
            let playing = tokio::spawn(async move {
                let (emulator, host) = bench_that(behaviour).await;
                part(emulator, host).await;
            });
            (behaviour, playing)
        };
        for (behaviour, playing) in some.iter().map(play).collect::<Vec<_>>() {
            if playing.await.is_err() {
                failed.push(behaviour);
            }
        }
    }
    assert!(failed.is_empty(), "it fails under {failed:#?}");
}

async fn answered(emulator: &Emulator, agent: &mut Agent, who: u64) -> Value {
    let contact = arrive(emulator, who, "call");
    agent.hears(CALL_COMES).await;
    let primary = agent.the("primary");
    let heard = agent.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    assert_eq!(heard.data("interaction.screenpop")["url"], "https://crm.example/1");
    contact
}

/// The call is over and in after-call work: it is completed, and the agent is ready again.
async fn completed(agent: &mut Agent) {
    let interaction = agent.the("interaction");
    let heard = agent.does("interaction.request.complete", &interaction, json!({}), &list(&[PAIR, COMPLETED])).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "READY");
}

async fn an_inbound_call_with_all_that_can_be_done_in_one_call(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    answered(&emulator, &mut anna, ANNA).await;
    let (primary, interaction) = (anna.the("primary"), anna.the("interaction"));
    for verb in ["hold", "retrieve", "mute", "unmute"] {
        anna.does(&format!("conversation.request.{verb}"), &primary, json!({}), "state.updated(primary)").await;
    }
    anna.does("conversation.request.senddtmf", &primary, json!({"digits": "12#"}), "").await;
    // A script may record: that can be paused and ended though the agent has not begun it.
    for verb in ["pause", "resume", "stop", "start", "pause", "resume", "stop"] {
        let command = format!("interaction.request.recording.{verb}");
        anna.does(&command, &interaction, json!({}), "state.updated(interaction)").await;
    }
    let data = json!({"key": "case", "value": "42"});
    anna.does("interaction.request.setinteractiondata", &interaction, data, "interaction.datachanged").await;
    let unknown = json!({"disposition": "sould"});
    let failure = anna.fails("interaction.request.setdisposition", &interaction, unknown, "rejected").await;
    assert!(failure["context"].as_str().unwrap().contains("nearest: Sold"), "{failure}");
    anna.does("interaction.request.setdisposition", &interaction, json!({"disposition": "Sold"}), "").await;
    let heard = anna.does("conversation.request.release", &primary, json!({}), CALL_ENDS).await;
    assert_eq!(heard.data("state.updated(channel)")["availability"], "ACW");
    completed(&mut anna).await;
    anna.finish().await;
}

async fn a_dial_asks_for_the_skill_and_goes_out_with_the_chosen_one(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    let channel = anna.the("channel");
    let question = anna.command("channel.request.dial", &channel, json!({"destination": "5550001"})).await;
    assert_eq!(question["result"], "needinfo", "{question}");
    let ui = &question["uiExtension"];
    assert_eq!(ui["id"], "inContact.outboundskill");
    let skill = json!({"id": ui["skills"][0]["id"]});
    let dial = json!({"destination": "5550001", "extensions": {"skill": skill}});
    let heard = anna.begins("channel.request.dial", &channel, dial, CALL_COMES).await;
    assert_eq!(heard.data("interaction.created")["interaction"]["direction"], "outbound");
    anna.hears(ANSWERED).await;
    assert_eq!(emulator.control("agent", json!({"agent": ANNA}))["contacts"][0]["Skill"], "200");
    let other = json!({"destination": "5550001", "extensions": {"skill": {"id": "999"}}});
    anna.fails("channel.request.dial", &channel, other, "rejected").await;
}

async fn a_consult_is_alternated_and_transferred(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    answered(&emulator, &mut anna, ANNA).await;
    let interaction = anna.the("interaction");
    let to = json!({"destination": "5550001"});
    anna.begins("interaction.request.consult", &interaction, to, CONSULTED).await;
    anna.hears("state.updated(consult)").await;
    anna.does("interaction.request.alternate", &interaction, json!({}), ALTERNATED).await;
    anna.does("interaction.request.alternate", &interaction, json!({}), ALTERNATED).await;
    let heard = anna.does("interaction.request.consulttransfer", &interaction, json!({}), TRANSFERRED).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "transferred");
    completed(&mut anna).await;
    anna.finish().await;
}

async fn a_consult_becomes_a_conference_that_the_agent_leaves(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    answered(&emulator, &mut anna, ANNA).await;
    let (interaction, primary) = (anna.the("interaction"), anna.the("primary"));
    anna.begins("interaction.request.consult", &interaction, json!({"destination": "5550001"}), CONSULTED).await;
    anna.hears("state.updated(consult)").await;
    let conferenced = list(&["state.updated(primary)", CONFERENCED]);
    let heard = anna.does("interaction.request.consultconference", &interaction, json!({}), &conferenced).await;
    assert_eq!(heard.data("state.updated(interaction)")["calls"], "CONFERENCE");
    let heard = anna.does("conversation.request.release", &primary, json!({}), CALL_ENDS).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "released");
    completed(&mut anna).await;
}

async fn blind_transfer_and_blind_conference_show_only_what_comes_of_them(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    answered(&emulator, &mut anna, ANNA).await;
    let primary = anna.the("primary");
    let to = |number: &str| json!({"destination": number});
    anna.fails("conversation.request.blindconference", &primary, to("486"), "busy").await;
    let joined = "conversation.member.added(primary) state.updated(interaction)";
    anna.does("conversation.request.blindconference", &primary, to("5550001"), joined).await;
    anna.does("conversation.request.release", &primary, json!({}), CALL_ENDS).await;
    completed(&mut anna).await;
    answered(&emulator, &mut anna, ANNA).await;
    let primary = anna.the("primary");
    let gone = list(&[
        "state.updated(primary) conversation.disposed(primary) interaction.focuschanged",
        "interaction.ended state.updated(interaction)",
        PAIR,
    ]);
    let heard = anna.does("conversation.request.blindtransfer", &primary, to("5550001"), &gone).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "transferred");
    completed(&mut anna).await;
    anna.finish().await;
}

async fn a_call_moves_to_a_colleague_by_consult_and_transfer(emulator: Emulator, host: Host) {
    let (mut anna, mut ben) = (ready(&host, "anna", "7001").await, ready(&host, "ben", "7002").await);
    answered(&emulator, &mut anna, ANNA).await;
    let interaction = anna.the("interaction");
    let to = json!({"destination": format!("agent:{BEN}")});
    anna.does("interaction.request.consult", &interaction, to, CONSULTED).await;
    let heard = ben.hears(CALL_COMES).await;
    assert_eq!(heard.data("interaction.created")["interaction"]["direction"], "internal");
    let theirs = ben.the("primary");
    ben.does("conversation.request.answer", &theirs, json!({}), ANSWERED).await;
    anna.hears("state.updated(consult)").await;
    anna.does("interaction.request.consulttransfer", &interaction, json!({}), TRANSFERRED).await;
    let moved = "conversation.member.removed(primary) conversation.member.added(primary) interaction.datachanged";
    // The customer's screen-pop address comes with him.
    let heard = ben.hears(&list(&[moved, "interaction.screenpop"])).await;
    assert_eq!(heard.data("conversation.member.added(primary)")["member"]["address"], "5551234");
    ben.does("conversation.request.hold", &theirs, json!({}), "state.updated(primary)").await;
    ben.finish().await;
}

async fn offers_are_rejected_and_given_up_and_customers_hang_up(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    let interaction = anna.the("interaction");
    let heard = anna.does("interaction.request.reject", &interaction, json!({}), OFFER_ENDS).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "rejected");
    let contact = arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    remote(&emulator, ANNA, &contact, "hangup");
    let heard = anna.hears(OFFER_ENDS).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "abandoned");
    let contact = answered(&emulator, &mut anna, ANNA).await;
    remote(&emulator, ANNA, &contact, "hangup");
    let heard = anna.hears(CALL_ENDS).await;
    assert_eq!(heard.data("interaction.ended")["reason"], "released");
    completed(&mut anna).await;
}

async fn chats_and_emails(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    let session = anna.the("session");
    for (kind, word) in [("Chat", "chat"), ("Email", "email")] {
        let channel = json!({"channel": {"endpoint": word, "type": kind}});
        anna.does("session.request.addchannel", &session, channel, NEW_CHANNEL).await;
        let channel = anna.the("channel");
        anna.does("channel.request.activate", &channel, json!({}), PAIR).await;
        arrive(&emulator, ANNA, word);
        anna.hears(CHAT_COMES).await;
        let interaction = anna.the("interaction");
        let accepted = "interaction.screenpop state.updated(interaction)";
        anna.does("interaction.request.accept", &interaction, json!({}), accepted).await;
        let heard = {
            let response = anna.command("interaction.request.complete", &interaction, json!({})).await;
            assert_eq!(response["result"], "success", "{response}");
            anna.hears_until("channel.infochanged").await
        };
        assert!(heard.words().contains(&"interaction.complete"), "{:?}", heard.words());
        anna.hears("state.updated(channel)").await;
        arrive(&emulator, ANNA, word);
        anna.hears(CHAT_COMES).await;
        let interaction = anna.the("interaction");
        let rejected = list(&["interaction.ended state.updated(interaction) interaction.disposed", PAIR]);
        anna.does("interaction.request.reject", &interaction, json!({}), &rejected).await;
    }
    anna.finish().await;
}

async fn a_group_of_channels_is_added_activated_and_removed(emulator: Emulator, host: Host) {
    let mut anna = Agent::connect(&host, "blue").await;
    anna.log_in("anna").await;
    let session = anna.the("session");
    let group = json!({"channelgroup": {"name": "7001", "chat": true, "email": true}});
    let words = list(&[
        "channelgroup.created state.updated(channelgroup)",
        NEW_CHANNEL,
        NEW_CHANNEL,
        NEW_CHANNEL,
        "channelgroup.initialized",
    ]);
    anna.does("session.request.addchannelgroup", &session, group, &words).await;
    let group = anna.the("channelgroup");
    let pairs = list(&[PAIR, "session.agentleg.connected", PAIR, PAIR]);
    anna.does("channelgroup.request.activateall", &group, json!({}), &pairs).await;
    arrive(&emulator, ANNA, "call");
    anna.hears(CALL_COMES).await;
    let primary = anna.the("primary");
    anna.does("conversation.request.answer", &primary, json!({}), ANSWERED).await;
    anna.does("conversation.request.release", &primary, json!({}), &list(&[CALL_ENDS, PAIR, PAIR])).await;
    let interaction = anna.the("interaction");
    // The agent's state is the same on all channels.
    let completed = list(&[PAIR, COMPLETED, PAIR, PAIR]);
    anna.does("interaction.request.complete", &interaction, json!({}), &completed).await;
    let deactivated = list(&[PAIR, PAIR, PAIR]);
    anna.does("channelgroup.request.deactivateall", &group, json!({}), &deactivated).await;
    let id = group.rsplit('.').next().unwrap().to_owned();
    let gone = "channel.disposed channel.disposed channel.disposed channelgroup.disposed";
    anna.does("session.request.removechannelgroup", &session, json!({"channelgroup": {"id": id}}), gone).await;
    anna.finish().await;
}

async fn the_address_book_lives_and_signals_and_scripts_reach_cxone(emulator: Emulator, host: Host) {
    let mut anna = ready(&host, "anna", "7001").await;
    let session = anna.the("session");
    let books = anna.command("session.request.incontact.addressbook", &session, json!({"realtime": true})).await;
    assert_eq!(books["data"]["addressbooks"].as_array().unwrap().len(), 4, "{books}");
    let before = emulator.count("agents/states");
    jackfield_tests::until("two polls", || async { (emulator.count("agents/states") > before + 1).then_some(()) })
        .await;
    let entry = json!({"id": "ext-9", "firstName": "Cy", "lastName": "Example", "phone": "5550300"});
    emulator.control("entry", json!({"book": 701, "entry": entry}));
    let update = loop {
        let update = anna.hears_until("session.incontact.addressbook.updated").await;
        if update.data("session.incontact.addressbook.updated").to_string().contains("Cy Example") {
            break update;
        }
    };
    assert_eq!(update.event("session.incontact.addressbook.updated").target, session);
    let stopped = anna.command("session.request.incontact.addressbook.stop", &session, json!({})).await;
    assert_eq!(stopped["data"], json!({}));
    let channel = anna.the("channel");
    let scripts = anna.command("channel.request.incontact.getscripts", &channel, json!({})).await;
    assert_eq!(scripts["data"]["scripts"][0]["scriptName"], "Callback offer");
    answered(&emulator, &mut anna, ANNA).await;
    let interaction = anna.the("interaction");
    let signal = anna.command("interaction.request.incontact.signal", &interaction, json!({"p1": "go"})).await;
    assert_eq!(signal["data"], json!({}), "{signal}");
    let late = json!({"p10": "x"});
    let failure = anna.fails("interaction.request.incontact.signal", &interaction, late, "unsupported").await;
    assert!(failure["message"].as_str().unwrap().contains("p10"));
}
