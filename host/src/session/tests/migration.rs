//! Agents moved from one adapter connection to another.

use super::{super::manager::MigrationCounts, *};

/// A second version of the tenant's adapter, on a connection of its own.
struct Other {
    connection: Arc<AdapterConnection>,
    adapter: Arc<Adapter>,
}

impl Tenant {
    fn other(&self) -> Other {
        let (connection, adapter) = (self.manager.open_connection(), Adapter::like(&self.adapter));
        self.manager.set_platform(&connection, Some(Arc::new(Port(Arc::clone(&adapter)))));
        self.manager.set_link(&connection, Link::Up);
        Other { connection, adapter }
    }

    /// Begins to move everybody.
    fn begin_to_move(&self, other: &Other) -> tokio::task::JoinHandle<MigrationCounts> {
        let (manager, to) = (self.manager.clone(), Arc::clone(&other.connection));
        let from = manager.serving();
        tokio::spawn(async move { manager.move_sessions(&from, &to, 1.0, Duration::from_secs(60)).await })
    }
}

impl Other {
    /// The newest agent, who was asked for a snapshot and gives it.
    async fn gives(&self, report: Report) -> Arc<Line> {
        let line = self.adapter.line();
        let (request, asked) = line.next().await.expect("it was asked for something");
        assert_eq!(asked, Asked::Snapshot);
        line.report(report);
        line.answer(request, Outcome::success());
        line
    }
}

/// An agent at work whose adapter has been left, and who has arrived at another one.
async fn on_the_way() -> (Tenant, Client, Arc<Line>, Other, tokio::task::JoinHandle<MigrationCounts>) {
    let tenant = Tenant::new();
    let (client, old) = tenant.at_work().await;
    let other = tenant.other();
    let moving = tenant.begin_to_move(&other);
    settle().await;
    (tenant, client, old, other, moving)
}

const UNNOTICED: MigrationCounts = MigrationCounts { moved: 1, forced: 0, refused: 0 };

#[tokio::test(start_paused = true)]
async fn a_desktop_notices_nothing_and_its_next_command_goes_to_the_new_adapter() {
    let tenant = Tenant::new();
    let (mut client, old) = tenant.at_work().await;
    old.tell(FromAgent::Resume(vec![7]));
    let other = tenant.other();
    let moving = tenant.begin_to_move(&other);
    settle().await;
    let new = other.gives(shop()).await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    assert!(old.is_gone().await);
    assert_eq!((new.login.resume.clone(), new.login.password.is_none()), (Some(vec![7]), true));
    assert_eq!(new.login.session, client.session);
    assert_eq!(client.heard().await, [""; 0]);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let (request, _) = new.next_command().await;
    new.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success channel.request.dial"]);
}

#[tokio::test(start_paused = true)]
async fn commands_sent_meanwhile_wait_and_are_carried_out_once_by_the_new_adapter() {
    let (_tenant, mut client, old, other, moving) = on_the_way().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    settle().await;
    assert_eq!(client.heard().await, [""; 0]);
    let new = other.gives(shop()).await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    let (request, _) = new.next_command().await;
    new.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success channel.request.dial"]);
    assert!(old.is_idle().await, "the old adapter was asked for nothing of this");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_answered_by_the_old_adapter_first() {
    let tenant = Tenant::new();
    let (mut client, old) = tenant.at_work().await;
    let other = tenant.other();
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let (request, _) = old.next_command().await;
    let moving = tenant.begin_to_move(&other);
    // Not held back for ever: between two attempts other commands go on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.send("channel.request.ready", ".c2", json!({}));
    assert!(old.is_idle().await);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.heard().await, ["invalid_state channel.request.ready"], "answered while the dial is in flight");
    assert_eq!(other.adapter.logins(), 0);
    old.answer(request, Outcome::success());
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.gives(shop()).await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    assert_eq!(client.heard().await, ["success channel.request.dial"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_ended_at_once_by_an_agent_who_is_about_to_be_moved() {
    let tenant = Tenant::new();
    let (mut client, old) = tenant.at_work().await;
    old.report(call("a", ConversationState::Talking));
    client.heard().await;
    let other = tenant.other();
    client.send("conversation.request.hold", ".c1.i3.v4", json!({}));
    let (hold, _) = old.next_command().await;
    let moving = tenant.begin_to_move(&other);
    settle().await;
    client.send("conversation.request.release", ".c1.i3.v4", json!({}));
    let (release, command) = old.next_command().await;
    assert!(matches!(command, Command::Release { .. }));
    let over = Interaction::gone("a");
    old.report(Report::new().channel(Channel::new("phone").interaction(over)));
    old.answer(release, Outcome::success());
    old.answer(hold, Outcome::success());
    settle().await;
    other.gives(shop()).await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_grace_ends_on_the_way_is_logged_out_where_he_arrives() {
    let tenant = Tenant::new();
    let (client, _) = tenant.at_work().await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(59)).await;
    let other = tenant.other();
    *other.adapter.slow.lock().unwrap() = Duration::from_secs(5);
    let moving = tenant.begin_to_move(&other);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let new = other.gives(shop()).await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (request, asked) = new.next().await.expect("it is asked to log him out");
    assert_eq!(asked, Asked::LogOut(Ending::LogOut));
    new.answer(request, Outcome::success());
    assert!(tenant.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_has_really_changed_is_told() {
    let (_tenant, mut client, _, other, moving) = on_the_way().await;
    other
        .gives(shop().channel(Channel::create("n", ChannelType::Chat, "x", "x").status(ChannelStatus::Inactive)))
        .await;
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    assert_eq!(client.heard().await, ["channel.created", "state.updated", "channel.initialized"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_whom_the_new_adapter_refuses_stays_and_notices_nothing() {
    let tenant = Tenant::new();
    let (mut client, _) = tenant.at_work().await;
    let other = tenant.other();
    other.adapter.refuse(Code::Unauthorized);
    let moving = tenant.begin_to_move(&other);
    settle().await;
    assert_eq!(tenant.adapter.logins(), 2);
    let back = tenant.adapter.line();
    let (request, asked) = back.next().await.unwrap();
    assert_eq!(asked, Asked::Snapshot);
    back.report(shop());
    back.answer(request, Outcome::success());
    assert_eq!(moving.await.unwrap(), MigrationCounts { moved: 0, forced: 0, refused: 1 });
    assert_eq!(client.heard().await, [""; 0]);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    back.next_command().await;
}

#[tokio::test(start_paused = true)]
async fn an_adapter_without_a_snapshot_does_not_get_the_agent() {
    let (tenant, mut client, _, other, moving) = on_the_way().await;
    let line = other.adapter.line();
    let (request, _) = line.next().await.unwrap();
    line.answer(request, Outcome::failure(Code::Internal, "no idea"));
    settle().await;
    assert!(line.is_gone().await);
    let back = tenant.adapter.line();
    let (request, _) = back.next().await.unwrap();
    back.answer(request, Outcome::success());
    assert_eq!(moving.await.unwrap().refused, 1);
    assert_eq!(client.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_lost_on_the_way_is_logged_in_again_where_it_was_going() {
    let (tenant, mut client, _, other, moving) = on_the_way().await;
    other.adapter.line().tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    tenant.manager.serve_by(&other.connection);
    assert_eq!(moving.await.unwrap().forced, 0);
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.gives(shop()).await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_being_logged_in_again_is_logged_in_on_the_new_connection() {
    let tenant = Tenant::new();
    let (mut client, old) = tenant.at_work().await;
    tenant.adapter.refuse(Code::LinkDown);
    old.tell(FromAgent::Lost { reason: "gone".to_owned() });
    settle().await;
    let other = tenant.other();
    let from = tenant.manager.serving();
    tenant.begin_to_move(&other).await.unwrap();
    tenant.manager.serve_by(&other.connection);
    tenant.manager.retire(&from);
    tokio::time::sleep(Duration::from_secs(2)).await;
    other.gives(shop()).await;
    assert_eq!(client.heard().await, ["session.linkchanged", "session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_until_the_deadline_is_moved_as_after_a_crash() {
    let tenant =
        Tenant::with(SessionLimits { command_deadline: Duration::from_secs(1000), ..SessionLimits::default() });
    let (mut client, old) = tenant.at_work().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    old.next_command().await;
    let other = tenant.other();
    let moved = tenant.begin_to_move(&other).await.unwrap();
    assert_eq!(moved, MigrationCounts { moved: 0, forced: 1, refused: 0 });
    settle().await;
    assert_eq!(client.heard().await, ["adapter_failed channel.request.dial", "session.linkchanged"]);
    other.gives(shop()).await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_on_the_way_leaves_nobody_behind() {
    let (tenant, mut client, _, other, moving) = on_the_way().await;
    let line = other.adapter.line();
    let mut again = tenant.client();
    again.send_raw(&Client::prepare_message("ann", true));
    again.wait().await;
    assert_eq!(words(&client.wait().await), "session.disposed");
    settle().await;
    assert!(line.is_gone().await);
    tenant.manager.shut_down(DisposedReason::ShuttingDown { retry_after: 5 }, Duration::from_secs(5)).await;
    moving.await.unwrap();
    assert!(tenant.list().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_only_prepared_is_moved_without_a_snapshot() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.prepare("ann").await;
    let other = tenant.other();
    assert_eq!(tenant.begin_to_move(&other).await.unwrap(), UNNOTICED);
    client.start().await;
    assert_eq!(other.adapter.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_sessions_is_moved_and_newcomers_go_where_the_tenant_is_served() {
    let tenant = Tenant::new();
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = tenant.client();
        client.prepare(&format!("agent{n}")).await;
        clients.push(client);
    }
    let (other, from) = (tenant.other(), tenant.manager.serving());
    let moved = tenant.manager.move_sessions(&from, &other.connection, 0.5, Duration::from_secs(60)).await;
    assert_eq!((moved.moved, other.adapter.logins()), (2, 2));
    tenant.client().prepare("late").await;
    assert_eq!(other.adapter.logins(), 2);
    tenant.manager.try_out(&other.connection, 1.1);
    tenant.client().prepare("later").await;
    assert_eq!(other.adapter.logins(), 3);
    tenant.manager.serve_by(&other.connection);
    tenant.client().prepare("latest").await;
    assert_eq!(other.adapter.logins(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_down_comes_up_with_the_new_adapter() {
    let tenant = Tenant::new();
    let (mut client, _) = tenant.at_work().await;
    tenant.set_link(Link::Down { reason: "cable".to_owned() });
    settle().await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    let other = tenant.other();
    assert_eq!(tenant.begin_to_move(&other).await.unwrap(), UNNOTICED);
    settle().await;
    other.gives(shop()).await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_and_comes_while_an_agent_is_between_two_adapters_is_made_good_by_the_new_one() {
    let tenant = Tenant::new();
    let (mut client, _) = tenant.at_work().await;
    let other = tenant.other();
    *other.adapter.slow.lock().unwrap() = Duration::from_secs(5);
    let moving = tenant.begin_to_move(&other);
    settle().await;
    tenant.set_link(Link::Down { reason: "cable".to_owned() });
    tenant.set_link(Link::Up);
    settle().await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
    assert_eq!(moving.await.unwrap(), UNNOTICED);
    settle().await;
    other.gives(shop()).await;
    assert_eq!(client.heard().await, ["session.linkchanged"]);
}

#[tokio::test(start_paused = true)]
async fn each_adapter_connection_tells_how_it_has_answered() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    let before = tenant.manager.serving().tally();
    for outcome in [Outcome::success(), Outcome::failure(Code::Busy, "busy"), Outcome::failure(Code::Internal, "oh")] {
        client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
        let (request, _) = line.next_command().await;
        line.answer(request, outcome);
    }
    client.send("channel.request.ready", ".c9", json!({}));
    assert_eq!(client.heard().await.len(), 4);
    let tally = tenant.manager.serving().tally().since(before);
    assert_eq!(tally, AnswerCounts { answers: 3, faults: 1 }, "what the host answers by itself is nobody's fault");
}

#[tokio::test(start_paused = true)]
async fn who_logs_in_while_another_version_takes_over_is_served_by_it() {
    let tenant = Tenant::new();
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(5);
    let mut client = tenant.client();
    client.send_raw(&Client::prepare_message("ann", false));
    settle().await;
    let (other, from) = (tenant.other(), tenant.manager.serving());
    tenant.manager.serve_by(&other.connection);
    assert_eq!(
        tenant.manager.move_sessions(&from, &other.connection, 1.0, Duration::from_secs(60)).await,
        MigrationCounts::default()
    );
    tenant.manager.retire(&from);
    let answer = client.wait().await;
    client.session = answer["data"]["session"]["id"].as_str().unwrap().to_owned();
    settle().await;
    assert!(tenant.adapter.line().is_gone().await);
    client.start().await;
    assert_eq!(other.adapter.logins(), 1);
}
