//! Commands to one object, its parents and its children keep their order; others go side by side.

use std::task::Context;

use super::*;

fn two_calls() -> Report {
    let talk = |key: &str| {
        Interaction::create(key, Direction::Inbound).conversation(
            Conversation::new(format!("leg-{key}"), Role::Primary, ConversationState::Talking).member(Member::new(
                "m",
                "555",
                MemberRole::Customer,
            )),
        )
    };
    Report::new().channel(Channel::new("phone").interaction(talk("a")).interaction(talk("b")))
}

/// The path of the nth interaction and of its conversation, as the client was told.
fn paths(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.try_next())
        .filter(|message| message["name"] == "conversation.initialized")
        .map(|message| message["target"].as_str().unwrap().split_once('.').unwrap().1.to_owned())
        .map(|path| format!(".{path}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn commands_to_one_object_are_carried_out_in_the_order_sent() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    client.send("channel.request.ready", ".c1", json!({}));
    let (first, command) = line.next_command();
    assert!(matches!(command, Command::NotReady { .. }));
    assert!(line.is_idle(), "ready waits for its turn");
    line.report(ready(false));
    line.answer(first, Outcome::success());
    settle().await;
    let (second, command) = line.next_command();
    assert_eq!(command, Command::Ready { channel: "phone".to_owned() });
    line.report(ready(true));
    line.answer(second, Outcome::success());
    assert_eq!(
        client.heard(),
        [
            "channel.infochanged",
            "state.updated",
            "success channel.request.notready",
            "channel.infochanged",
            "state.updated",
            "success channel.request.ready",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn preconditions_are_checked_when_a_commands_turn_comes() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.deactivate", ".c1", json!({}));
    client.send("channel.request.deactivate", ".c1", json!({}));
    client.send("channel.request.ready", ".c1", json!({}));
    let (request, _) = line.next_command();
    line.report(Report::new().channel(Channel::new("phone").status(ChannelStatus::Inactive)));
    line.answer(request, Outcome::success());
    settle().await;
    assert_eq!(
        client.heard()[2..],
        [
            "success channel.request.deactivate",
            "invalid_state channel.request.deactivate",
            "invalid_state channel.request.ready",
        ]
    );
    assert!(line.is_idle());
}

#[tokio::test(start_paused = true)]
async fn parents_and_children_wait_for_each_other_and_strangers_do_not() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client);
    let [a, b] = &calls[..] else { panic!("two calls, not {calls:?}") };
    client.send("conversation.request.hold", a, json!({}));
    client.send("conversation.request.hold", b, json!({}));
    client.send("channel.request.activate", ".c2", json!({}));
    for kind in ["hold a", "hold b", "activate"] {
        line.next_command();
        assert!(!kind.is_empty());
    }
    // A command to the parent waits for both, one to the session for all, one to a child for the parent's.
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "x"}));
    client.send("conversation.request.mute", a, json!({}));
    client.send("session.request.addchannel", "", json!({"channel": {"endpoint": "9", "type": "Chat"}}));
    assert!(line.is_idle());
    line.answer(1 + 1, Outcome::success());
    settle().await;
    assert!(line.is_idle());
    line.answer(1 + 2, Outcome::success());
    settle().await;
    let (request, command) = line.next_command();
    assert!(matches!(command, Command::NotReady { .. }));
    assert!(line.is_idle());
    line.answer(request, Outcome::success());
    settle().await;
    let (request, command) = line.next_command();
    assert!(matches!(command, Command::Mute { .. }));
    line.answer(request, Outcome::success());
    settle().await;
    assert!(line.is_idle(), "the session's command still waits for the chat channel's");
    line.answer(1 + 3, Outcome::success());
    settle().await;
    assert!(matches!(line.next_command().1, Command::AddChannel { .. }));
}

#[tokio::test(start_paused = true)]
async fn release_reject_and_logout_do_not_wait() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client);
    client.send("conversation.request.hold", &calls[0], json!({}));
    client.send("conversation.request.mute", &calls[0], json!({}));
    client.send("conversation.request.release", &calls[0], json!({}));
    assert!(matches!(line.next_command().1, Command::Hold { .. }));
    assert!(matches!(line.next_command().1, Command::Release { .. }));
    client.send("session.request.logout", "", json!({}));
    assert!(matches!(line.next().unwrap().1, Asked::LogOut(Ending::LogOut)));
    assert!(line.is_idle());
}

#[tokio::test(start_paused = true)]
async fn commands_sent_behind_session_start_wait_for_the_snapshot() {
    let tenant = Tenant::new();
    tenant.adapter.obliging.store(false, SeqCst);
    let mut client = tenant.client();
    client.prepare("ann").await;
    let line = tenant.adapter.line();
    client.send("session.start", "", json!({}));
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    let (request, _) = line.next().unwrap();
    line.report(shop());
    assert!(line.is_idle());
    assert_eq!(client.heard(), [""; 0]);
    line.answer(request, Outcome::success());
    settle().await;
    let heard = client.heard();
    assert_eq!((heard[0].as_str(), heard.last().unwrap().as_str()), ("success session.start", "session.initialized"));
    assert!(matches!(line.next_command().1, Command::NotReady { .. }));
}

fn group() -> Report {
    let channel = |key: &str, status| Channel::create(key, ChannelType::Telephony, key, key).group("g").status(status);
    Report::new()
        .group(jackfield_plugin_api::report::Group::new("g", "All"))
        .channel(channel("x", ChannelStatus::Inactive))
        .channel(channel("y", ChannelStatus::Active(ChannelInfo::ready())))
        .channel(channel("z", ChannelStatus::Inactive))
}

fn active(key: &str) -> Report {
    Report::new().channel(Channel::new(key).status(ChannelStatus::Active(ChannelInfo::default())))
}

#[tokio::test(start_paused = true)]
async fn a_group_is_activated_channel_by_channel_and_stops_at_the_first_failure() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(group());
    client.heard();
    let ids: Vec<String> = ["g3", "c4", "c5", "c6"].map(str::to_owned).to_vec();
    let options = json!({"channeloptions": [{"id": ids[3], "queue": "q"}]});
    client.send("channelgroup.request.activateall", ".g3", options);
    let (request, command) = line.next_command();
    assert!(matches!(command, Command::Activate { channel, queue: None, .. } if channel == "x"));
    assert!(line.is_idle(), "one after the other");
    line.report(active("x"));
    line.answer(request, Outcome::success());
    settle().await;
    let (request, command) = line.next_command();
    assert!(matches!(command, Command::Activate { channel, queue: Some(queue), .. } if channel == "z" && queue == "q"));
    line.answer(request, Outcome::failure(Code::Conflict, "in use"));
    assert_eq!(client.heard(), ["channel.infochanged", "state.updated", "conflict channelgroup.request.activateall"]);
    for (options, expected) in [
        (json!({"channeloptions": [{"id": "c9"}]}), "bad_request channelgroup.request.activateall"),
        (json!({"channeloptions": [{"id": "c4"}, {"id": "c4"}]}), "bad_request channelgroup.request.activateall"),
    ] {
        client.send("channelgroup.request.activateall", ".g3", options);
        assert_eq!(client.heard(), [expected]);
        assert!(line.is_idle());
    }
    client.send("channelgroup.request.deactivateall", ".g3", json!({}));
    for key in ["x", "y"] {
        let (request, command) = line.next_command();
        assert_eq!(command, Command::Deactivate { channel: key.to_owned(), queues: Vec::new(), reason: None });
        line.report(Report::new().channel(Channel::new(key).status(ChannelStatus::Inactive)));
        line.answer(request, Outcome::success());
        settle().await;
    }
    assert_eq!(client.heard().last().unwrap(), "success channelgroup.request.deactivateall");
    // Nothing left to do.
    client.send("channelgroup.request.deactivateall", ".g3", json!({}));
    assert_eq!(client.heard(), ["success channelgroup.request.deactivateall"]);
}

#[test]
fn many_threads_may_bring_a_session_something_at_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tenant = Tenant::new();
        let (mut client, line) = tenant.at_work().await;
        let adapter = std::thread::spawn(move || {
            let (mut answered, mut on) = (0, true);
            while answered < 2000 {
                let Some((request, _)) = line.next() else {
                    std::thread::yield_now();
                    continue;
                };
                on = !on;
                line.report(ready(on));
                line.answer(request, Outcome::success());
                answered += 1;
            }
        });
        let (mut sent, mut answers) = (0, 0);
        while answers < 2000 {
            while sent < 2000 && sent - answers < 30 {
                let command = if sent % 2 == 0 { "channel.request.notready" } else { "channel.request.ready" };
                client.send(command, ".c1", json!({"reasoncode": "a"}));
                sent += 1;
            }
            let message = client.wait().await;
            if message["result"].is_string() {
                assert_eq!(message["result"], "success", "{message}");
                let expected = if answers % 2 == 0 { "channel.request.notready" } else { "channel.request.ready" };
                assert_eq!(message["command"], expected);
                answers += 1;
            }
        }
        tokio::task::spawn_blocking(|| adapter.join().unwrap()).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn what_the_adapter_brings_is_left_to_the_connection_if_that_works_for_its_session() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.outlet.will_work();
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    client.send("channel.request.ready", ".c1", json!({}));
    let called = Arc::new(Called(AtomicBool::new(false)));
    assert!(client.outlet.poll_ready(&mut Context::from_waker(&Arc::clone(&called).into())).is_pending());
    let (request, _) = line.next_command();
    line.report(ready(false));
    line.answer(request, Outcome::success());
    assert!(called.0.load(SeqCst), "it is told that there is something to do");
    assert_eq!((client.heard(), line.is_idle()), (vec![], true), "the adapter's thread does nothing of it");
    assert!(client.desk.has_work());
    client.desk.work(true);
    assert_eq!(client.heard(), ["channel.infochanged", "state.updated", "success channel.request.notready"]);
    assert!(!line.is_idle(), "the next command has had its turn");
}

#[tokio::test(start_paused = true)]
async fn what_was_left_to_a_connection_that_goes_away_is_not_lost() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.outlet.will_work();
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    let (request, _) = line.next_command();
    line.report(ready(false));
    let (session, seq) = (client.session.clone(), client.seq);
    drop(client);
    line.answer(request, Outcome::success());
    let mut again = tenant.client();
    again.seq = seq;
    assert_eq!(again.bind(&session, Some(seq))["data"]["replay"], "events");
    assert_eq!(again.heard(), ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_adapter_brings_right_behind_the_log_in_is_seen_before_the_connection_rests() {
    let tenant = Tenant::new();
    let mut client = tenant.client();
    client.outlet.will_work();
    client.prepare("ann").await;
    tenant.adapter.line().tell(FromAgent::Resume(vec![7]));
    assert!(client.desk.has_work());
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_floods_a_session_must_wait_until_that_has_had_its_turn() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.outlet.will_work();
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    let taken = |message: fn() -> FromAgent| {
        (0..1000).take_while(|_| line.sink.deliver(message().into()) == Delivery::Accepted).count()
    };
    assert_eq!(taken(|| FromAgent::Link(Link::Up)), 256, "messages");
    client.desk.work(true);
    assert_eq!(taken(|| FromAgent::Resume(vec![0; 5 << 20])), 3, "megabytes");
    client.desk.work(true);
    assert_eq!(taken(|| FromAgent::Resume(vec![0; 17 << 20])), 1, "one alone, whatever its size");
}

struct Called(AtomicBool);

impl std::task::Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_put_in_only_as_fast_as_a_client_that_reads_takes_it() {
    let tenant = Tenant::new();
    let limits = OutboxLimits { messages: 100, ..OutboxLimits::default() };
    let mut client = tenant.client_with(Identity::Anyone, limits);
    client.prepare("ann").await;
    client.start();
    let line = tenant.adapter.line();
    client.outlet.will_work();
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    // Two events each: together more than may wait for a client.
    let reports: usize = 250;
    for number in 0..reports {
        let status = ChannelStatus::Active(ChannelInfo::ready().queue(number.to_string()));
        line.report(Report::new().channel(Channel::new("phone").status(status)));
    }
    let mut heard = Vec::new();
    while client.desk.has_work() {
        client.desk.work(true);
        heard.extend(client.heard());
    }
    assert_eq!(heard.len(), 2 * reports, "the connection was not closed: {:?}", heard.last());
}
