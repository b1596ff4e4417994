//! Losing a connection and coming back.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_what_it_missed_once() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(ready(false));
    client.heard().await;
    let (session, seq) = (client.session.clone(), client.seq);
    drop(client);
    line.report(ready(true));
    let mut again = tenant.client();
    let answer = again.bind(&session, Some(seq)).await;
    assert_eq!(answer["data"], json!({"replay": "events", "seq": seq}));
    assert_eq!(again.heard().await, ["channel.infochanged", "state.updated"]);
    line.report(ready(false));
    assert_eq!(again.heard().await, ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_number_and_beyond_the_buffer_there_is_a_snapshot() {
    let tenant =
        Tenant::with(SessionLimits { journal: JournalLimits { events: 4, bytes: 10_000 }, ..SessionLimits::default() });
    let (client, line) = tenant.at_work().await;
    let (session, started) = (client.session.clone(), client.seq);
    drop(client);
    for n in 0..3 {
        line.report(ready(n % 2 == 1));
    }
    let last = started + 6;
    let mut again = tenant.client();
    let answer = again.bind(&session, Some(started)).await;
    assert_eq!(answer["data"], json!({"replay": "snapshot", "seq": last}));
    let heard = again.heard().await;
    assert_eq!((heard[0].as_str(), heard.last().unwrap().as_str()), ("channel.created", "session.initialized"));
    let end = again.seq;
    // From before or inside a snapshot there is a new one; from its end there are events.
    for (after, replay) in [(Some(0), "snapshot"), (Some(last), "snapshot"), (None, "snapshot")] {
        let mut again = tenant.client();
        assert_eq!(again.bind(&session, after).await["data"]["replay"], replay);
        again.heard().await;
    }
    let mut again = tenant.client();
    assert_eq!(again.bind(&session, Some(end)).await["data"]["replay"], "snapshot");
    again.heard().await;
    let newest = again.seq;
    assert_eq!(again.session, session);
    line.report(ready(true));
    let mut last = tenant.client();
    assert_eq!(last.bind(&session, Some(newest)).await["data"]["replay"], "events");
    assert_eq!(last.heard().await, ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_cannot_be_is_refused() {
    let tenant = Tenant::new();
    let (client, _) = tenant.at_work().await;
    for after in [json!(client.seq + 1), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let mut other = tenant.client();
        other.send_raw(&json!({"command": "bindSession", "data": {"session": {"id": client.session}, "after": after}}));
        other.through().await;
        assert_eq!(other.heard().await, ["bad_request bindSession"], "{after}");
    }
    let mut other = tenant.client();
    other.send_raw(&json!({"command": "bindSession", "data": {"session": {}}}));
    assert_eq!(other.heard().await, ["bad_request bindSession"]);
    assert_eq!(words(&other.bind("nonsense", None).await), "not_found bindSession");
}

#[tokio::test(start_paused = true)]
async fn a_new_bind_takes_over_and_the_answer_of_an_accepted_command_goes_to_the_old_connection() {
    let tenant = Tenant::new();
    let (mut old, line) = tenant.at_work().await;
    old.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    let (request, _) = line.next_command().await;
    let mut new = tenant.client();
    let (session, seq) = (old.session.clone(), old.seq);
    assert_eq!(words(&new.bind(&session, Some(seq)).await), "success bindSession");
    assert_eq!(old.heard().await, ["close 4001"]);
    line.report(ready(false));
    line.answer(request, Outcome::success());
    assert_eq!(new.heard().await, ["channel.infochanged", "state.updated"]);
    // The end of the old connection is not the end of the new one.
    drop(old);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(tenant.list().await[0].connected);
}

#[tokio::test(start_paused = true)]
async fn only_the_identity_that_prepared_a_session_may_bind_it() {
    let tenant = Tenant::new();
    let named = |name: &str| Identity::Holder(name.into());
    let mut client = tenant.client_of(named("crm"));
    client.prepare("ann").await;
    let session = client.session.clone();
    for other in [named("other"), Identity::Anyone] {
        assert_eq!(words(&tenant.client_of(other).bind(&session, None).await), "not_found bindSession");
    }
    assert_eq!(words(&tenant.client_of(named("crm")).bind(&session, None).await), "success bindSession");
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_its_connection_by_the_grace_and_is_then_logged_out() {
    let tenant = Tenant::new();
    let (client, line) = tenant.at_work().await;
    let session = client.session.clone();
    drop(client);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::LogOut(Ending::LogOut));
    assert_eq!(words(&tenant.client().bind(&session, None).await), "not_found bindSession");
    // Where the platform refuses, the agent leaves and the calls stay.
    line.answer(request, Outcome::failure(Code::Rejected, "no"));
    settle().await;
    assert!(line.is_gone().await);
    assert!(tenant.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_grace_does_not_run_while_a_conversation_lives() {
    let tenant = Tenant::new();
    let (client, line) = tenant.at_work().await;
    line.report(call("k", ConversationState::Talking));
    drop(client);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(line.is_idle().await);
    let interaction = Interaction::new("k").no_conversations();
    line.report(Report::new().channel(Channel::new("phone").interaction(interaction)));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(line.next().await.unwrap().1, Asked::LogOut(Ending::LogOut));
}

#[tokio::test(start_paused = true)]
async fn coming_back_stops_the_grace() {
    let tenant = Tenant::new();
    let (client, line) = tenant.at_work().await;
    let session = client.session.clone();
    drop(client);
    tokio::time::sleep(Duration::from_secs(50)).await;
    let mut again = tenant.client();
    again.bind(&session, None).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(line.is_idle().await);
    drop(again);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!line.is_idle().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed_and_its_session_waits_for_it() {
    let tenant = Tenant::new();
    let mut client = tenant.client_with(Identity::Anyone, OutboxLimits { messages: 10, bytes: 100_000 });
    client.prepare("ann").await;
    client.start().await;
    let line = tenant.adapter.line();
    let (session, seq) = (client.session.clone(), client.seq);
    for n in 0..20 {
        line.report(ready(n % 2 == 1));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.heard().await, ["close 4008"]);
    let mut again = tenant.client();
    assert_eq!(again.bind(&session, Some(seq)).await["data"]["replay"], "events");
    assert_eq!(again.heard().await.len(), 40);
    assert!(tenant.list().await[0].connected);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_started_can_be_bound_and_has_nothing_to_say() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    let mut again = tenant.client();
    assert_eq!(again.bind(&client.session.clone(), None).await["data"], json!({"replay": "events", "seq": 0}));
    again.start().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_during_a_logout_gets_what_was_held_back_once_if_it_fails() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    let (session, seq) = (client.session.clone(), client.seq);
    client.send("session.request.logout", "", json!({}));
    let (request, _) = line.next().await.unwrap();
    line.report(ready(false));
    drop(client);
    let mut again = tenant.client();
    assert_eq!(words(&again.bind(&session, Some(seq + 1)).await), "bad_request bindSession");
    assert_eq!(again.bind(&session, Some(seq)).await["data"], json!({"replay": "events", "seq": seq}));
    assert_eq!(again.heard().await, [""; 0]);
    line.answer(request, Outcome::failure(Code::Rejected, "no"));
    assert_eq!(again.heard().await, ["channel.infochanged", "state.updated"]);
}
