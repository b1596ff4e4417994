//! The link to the platform, lost and back; the adapter, lost and back.

use super::*;

fn down() -> Link {
    Link::Down { reason: "cable".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_fails_what_is_in_flight_and_comes_back_with_the_differences_first() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    line.next_command().await;
    tenant.set_link(down());
    settle().await;
    assert_eq!(client.heard().await, ["timeout channel.request.dial", "session.linkchanged"]);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    assert_eq!(client.heard().await, ["link_down channel.request.dial"]);

    tenant.set_link(Link::Up);
    settle().await;
    assert_eq!(client.heard().await, [""; 0], "not yet: the differences come first");
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    assert_eq!(client.heard().await, ["link_down channel.request.dial"]);
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::Snapshot);
    line.report(shop().channel(Channel::create("new", ChannelType::Chat, "x", "x").status(ChannelStatus::Inactive)));
    line.answer(request, Outcome::success());
    let changed = [client.next().await, client.next().await, client.next().await, client.next().await];
    assert_eq!(
        changed.clone().map(|it| words(&it))[..],
        ["channel.created", "state.updated", "channel.initialized", "session.linkchanged"]
    );
    assert_eq!(changed[3]["data"]["link"], "up");
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    line.next_command().await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_had_is_asked_for_again() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.tell(FromAgent::Link(down()));
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    line.tell(FromAgent::Link(Link::Up));
    settle().await;
    let (request, _) = line.next().await.unwrap();
    line.answer(request, Outcome::failure(Code::LinkDown, "not yet"));
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // This one is never answered.
    assert_eq!(line.next().await.unwrap().1, Asked::Snapshot);
    tokio::time::sleep(Duration::from_secs(40)).await;
    let (request, _) = line.next().await.unwrap();
    assert_eq!(client.heard().await, [""; 0]);
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_lost_and_is_back_before_anyone_looked_is_still_told_and_made_good() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    tenant.set_link(down());
    tenant.set_link(Link::Up);
    settle().await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::Snapshot);
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn both_links_must_be_up() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    tenant.set_link(down());
    settle().await;
    line.tell(FromAgent::Link(down()));
    tenant.set_link(Link::Up);
    settle().await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    assert!(line.is_idle().await);
    line.tell(FromAgent::Link(Link::Up));
    settle().await;
    assert_eq!(line.next().await.unwrap().1, Asked::Snapshot);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_prepared_while_the_link_is_down_and_a_logout_is_passed_on() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    tenant.set_link(down());
    settle().await;
    client.heard().await;
    let mut other = tenant.client();
    other.send_raw(&Client::prepare_message("ben", false));
    assert_eq!(words(&other.wait().await), "link_down prepareSession");
    client.send("session.request.logout", "", json!({}));
    let (request, _) = line.next().await.unwrap();
    // A logout in flight survives the loss of the link as well.
    line.tell(FromAgent::Link(down()));
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success session.request.logout"]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_for_a_returning_client_tells_that_the_link_is_down() {
    let tenant = Tenant::new();
    let (client, _) = tenant.at_work().await;
    tenant.set_link(down());
    settle().await;
    let mut again = tenant.client();
    assert_eq!(again.bind(&client.session.clone(), None).await["data"]["replay"], "snapshot");
    let heard = again.heard().await;
    assert_eq!(heard[heard.len() - 2..], ["session.linkchanged", "session.initialized"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_adapter_fails_commands_once_and_the_agent_is_logged_in_again_with_its_resume_state() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.tell(FromAgent::Resume(vec![1]));
    line.tell(FromAgent::Resume(vec![2, 3]));
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    client.send("channel.request.ready", ".c1", json!({}));
    let (request, _) = line.next_command().await;
    tenant.set_platform(None);
    line.tell(FromAgent::Lost { reason: "the worker died".to_owned() });
    line.tell(FromAgent::Answer { request, report: None, outcome: Outcome::success() });
    settle().await;
    assert_eq!(
        client.heard().await,
        ["adapter_failed channel.request.dial", "session.linkchanged", "link_down channel.request.ready"]
    );
    assert!(line.is_gone().await);
    client.send("session.request.logout", "", json!({}));
    assert_eq!(client.heard().await, ["adapter_failed session.request.logout"]);

    tokio::time::sleep(Duration::from_secs(600)).await;
    tenant.set_link(Link::Up);
    tenant.set_platform(Some(Arc::new(Port(Arc::clone(&tenant.adapter)))));
    settle().await;
    assert_eq!(tenant.adapter.logins(), 2);
    let line = tenant.adapter.line();
    assert_eq!(line.login.resume, Some(vec![2, 3]));
    assert_eq!((line.login.session.as_str(), line.login.agent.as_str()), (client.session.as_str(), "ann"));
    assert!(line.login.password.is_none());
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::Snapshot);
    line.report(shop());
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.linkchanged"], "nothing else has changed");
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    line.next_command().await;
}

#[tokio::test(start_paused = true)]
async fn logging_in_again_is_tried_until_it_succeeds() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    tenant.adapter.refuse(Code::LinkDown);
    line.tell(FromAgent::Lost { reason: "gone".to_owned() });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((tenant.adapter.logins(), client.heard().await), (1, vec!["session.linkchanged".to_owned()]));
    tenant.adapter.accept();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(tenant.adapter.logins(), 2);
    assert_eq!(tenant.adapter.line().next().await.unwrap().1, Asked::Snapshot);
}

#[tokio::test(start_paused = true)]
async fn an_adapter_lost_again_while_an_agent_is_logged_in_again_costs_no_second_log_in() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(5);
    tenant.adapter.refuse(Code::AdapterFailed);
    line.tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    let sink = Arc::clone(tenant.adapter.sinks.lock().unwrap().last().unwrap());
    sink.deliver(FromAgent::Lost { reason: "gone again".to_owned() }.into());
    tokio::time::sleep(Duration::from_secs(6)).await;
    tenant.adapter.accept();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(tenant.adapter.logins(), 2, "the one before, and one that took its place");
    let line = tenant.adapter.line();
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::Snapshot);
    line.report(shop());
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.linkchanged", "session.linkchanged"]);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    line.next_command().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_in_at_an_adapter_that_is_lost_meanwhile_is_given_up_and_tried_again() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(5);
    line.tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    let sink = Arc::clone(tenant.adapter.sinks.lock().unwrap().last().unwrap());
    sink.deliver(FromAgent::Lost { reason: "gone again".to_owned() }.into());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(tenant.adapter.logins(), 2, "the one before, and one that took its place");
    let line = tenant.adapter.line();
    assert!(!line.is_gone().await);
    assert_eq!(line.next().await.unwrap().1, Asked::Snapshot);
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_cannot_be_logged_in_again_loses_the_session() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    tenant.adapter.refuse(Code::Unauthorized);
    line.tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    client.next().await;
    let disposed = client.wait().await;
    assert_eq!(
        (words(&disposed).as_str(), &disposed["data"]["reason"]),
        ("session.disposed", &json!("adapter_failed"))
    );
    assert!(tenant.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_adapter_lost_while_a_session_starts_fails_the_start_and_it_can_be_started_again() {
    let tenant = Tenant::new();
    tenant.adapter.obliging.store(false, SeqCst);
    let mut client = tenant.client();
    client.prepare("ann").await;
    client.send("session.start", "", json!({}));
    settle().await;
    tenant.adapter.obliging.store(true, SeqCst);
    tenant.adapter.line().tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    assert_eq!(client.heard().await, ["adapter_failed session.start"]);
    client.start().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_lost_while_a_session_starts_fails_the_start_and_is_told_by_nothing_else() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_the_start().await;
    line.tell(FromAgent::Link(Link::Down { reason: "gone".to_owned() }));
    assert_eq!(client.heard().await, ["timeout session.start"]);
    line.tell(FromAgent::Link(Link::Up));
    assert_eq!(client.heard().await, [""; 0]);
    line.next().await.expect("it was asked to start");
    client.send("session.start", "", json!({}));
    let (request, _) = line.next().await.expect("it is asked to start again");
    line.report(shop());
    line.answer(request, Outcome::success());
    let heard = client.heard().await;
    assert_eq!((heard[0].as_str(), heard.last().unwrap().as_str()), ("success session.start", "session.initialized"));
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_succeeds_after_its_deadline_ends_the_session() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("session.request.logout", "", json!({}));
    let (request, _) = line.next().await.unwrap();
    assert_eq!(words(&client.wait().await), "timeout session.request.logout");
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.disposed"]);
    settle().await;
    assert!(line.is_gone().await);
}
