//! Commands to one object, its parents and its children keep their order; others go side by side.

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
async fn paths(client: &mut Client) -> Vec<String> {
    settle().await;
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
    let (first, command) = line.next_command().await;
    assert!(matches!(command, Command::NotReady { .. }));
    assert!(line.is_idle().await, "ready waits for its turn");
    line.report(ready(false));
    line.answer(first, Outcome::success());
    settle().await;
    let (second, command) = line.next_command().await;
    assert_eq!(command, Command::Ready { channel: "phone".to_owned() });
    line.report(ready(true));
    line.answer(second, Outcome::success());
    assert_eq!(
        client.heard().await,
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
    let (request, _) = line.next_command().await;
    line.report(Report::new().channel(Channel::new("phone").status(ChannelStatus::Inactive)));
    line.answer(request, Outcome::success());
    settle().await;
    assert_eq!(
        client.heard().await[2..],
        [
            "success channel.request.deactivate",
            "invalid_state channel.request.deactivate",
            "invalid_state channel.request.ready",
        ]
    );
    assert!(line.is_idle().await);
}

#[tokio::test(start_paused = true)]
async fn parents_and_children_wait_for_each_other_and_strangers_do_not() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client).await;
    let [a, b] = &calls[..] else { panic!("two calls, not {calls:?}") };
    client.send("conversation.request.hold", a, json!({}));
    client.send("conversation.request.hold", b, json!({}));
    client.send("channel.request.activate", ".c2", json!({}));
    for kind in ["hold a", "hold b", "activate"] {
        line.next_command().await;
        assert!(!kind.is_empty());
    }
    // A command to the parent waits for both, one to the session for all, one to a child for the parent's.
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    client.send("conversation.request.mute", a, json!({}));
    client.send("session.request.addchannel", "", json!({"channel": {"endpoint": "9", "type": "Chat"}}));
    assert!(line.is_idle().await);
    line.answer(1 + 1, Outcome::success());
    settle().await;
    assert!(line.is_idle().await);
    line.answer(1 + 2, Outcome::success());
    settle().await;
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Dial { .. }));
    assert!(line.is_idle().await);
    line.answer(request, Outcome::success());
    settle().await;
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Mute { .. }));
    line.answer(request, Outcome::success());
    settle().await;
    assert!(line.is_idle().await, "the session's command still waits for the chat channel's");
    line.answer(1 + 3, Outcome::success());
    settle().await;
    assert!(matches!(line.next_command().await.1, Command::AddChannel { .. }));
}

#[tokio::test(start_paused = true)]
async fn release_and_reject_do_not_wait() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client).await;
    client.send("conversation.request.hold", &calls[0], json!({}));
    client.send("conversation.request.mute", &calls[0], json!({}));
    client.send("conversation.request.release", &calls[0], json!({}));
    assert!(matches!(line.next_command().await.1, Command::Hold { .. }));
    assert!(matches!(line.next_command().await.1, Command::Release { .. }));
    assert!(line.is_idle().await);
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
    let (request, _) = line.next().await.unwrap();
    line.report(shop());
    assert!(line.is_idle().await);
    assert_eq!(client.heard().await, [""; 0]);
    line.answer(request, Outcome::success());
    settle().await;
    let heard = client.heard().await;
    assert_eq!((heard[0].as_str(), heard.last().unwrap().as_str()), ("success session.start", "session.initialized"));
    assert!(matches!(line.next_command().await.1, Command::NotReady { .. }));
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
    client.heard().await;
    let ids: Vec<String> = ["g3", "c4", "c5", "c6"].map(str::to_owned).to_vec();
    let options = json!({"channeloptions": [{"id": ids[3], "queue": "q"}]});
    client.send("channelgroup.request.activateall", ".g3", options);
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Activate { channel, queue: None, .. } if channel == "x"));
    assert!(line.is_idle().await, "one after the other");
    line.report(active("x"));
    line.answer(request, Outcome::success());
    settle().await;
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Activate { channel, queue: Some(queue), .. } if channel == "z" && queue == "q"));
    line.answer(request, Outcome::failure(Code::Conflict, "in use"));
    assert_eq!(
        client.heard().await,
        ["channel.infochanged", "state.updated", "conflict channelgroup.request.activateall"]
    );
    for (options, expected) in [
        (json!({"channeloptions": [{"id": "c9"}]}), "bad_request channelgroup.request.activateall"),
        (json!({"channeloptions": [{"id": "c4"}, {"id": "c4"}]}), "bad_request channelgroup.request.activateall"),
    ] {
        client.send("channelgroup.request.activateall", ".g3", options);
        assert_eq!(client.heard().await, [expected]);
        assert!(line.is_idle().await);
    }
    client.send("channelgroup.request.deactivateall", ".g3", json!({}));
    for key in ["x", "y"] {
        let (request, command) = line.next_command().await;
        assert_eq!(command, Command::Deactivate { channel: key.to_owned(), queues: Vec::new(), reason: None });
        line.report(Report::new().channel(Channel::new(key).status(ChannelStatus::Inactive)));
        line.answer(request, Outcome::success());
        settle().await;
    }
    assert_eq!(client.heard().await.last().unwrap(), "success channelgroup.request.deactivateall");
    // Nothing left to do.
    client.send("channelgroup.request.deactivateall", ".g3", json!({}));
    assert_eq!(client.heard().await, ["success channelgroup.request.deactivateall"]);
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
                let Some((request, _)) = line.asked.lock().unwrap().pop_front() else {
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
async fn what_an_adapter_answers_to_a_client_that_goes_away_is_not_lost() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    let (request, _) = line.next_command().await;
    line.report(ready(false));
    let (session, seq) = (client.session.clone(), client.seq);
    drop(client);
    line.answer(request, Outcome::success());
    let mut again = tenant.client();
    again.seq = seq;
    assert_eq!(again.bind(&session, Some(seq)).await["data"]["replay"], "events");
    assert_eq!(again.heard().await, ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_put_in_only_as_fast_as_a_client_that_reads_takes_it() {
    let tenant = Tenant::new();
    let limits = OutboxLimits { messages: 100, ..OutboxLimits::default() };
    let mut client = tenant.client_with(Identity::Anyone, limits);
    client.prepare("ann").await;
    client.start().await;
    let line = tenant.adapter.line();
    // Two events each: together more than may wait for a client.
    let reports: usize = 250;
    for number in 0..reports {
        let status = ChannelStatus::Active(ChannelInfo::ready().queue(number.to_string()));
        line.report(Report::new().channel(Channel::new("phone").status(status)));
    }
    let mut heard = Vec::new();
    while heard.len() < 2 * reports {
        let some = client.heard().await;
        assert!(!some.is_empty() && some.iter().all(|event| !event.starts_with("close")), "{some:?}");
        heard.extend(some);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_command_to_an_object_that_is_gone() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client).await;
    let call = &calls[0];
    let interaction = call.rsplit_once('.').unwrap().0;
    // The platform never answers this one.
    client.send("conversation.request.hold", call, json!({}));
    assert!(matches!(line.next_command().await.1, Command::Hold { .. }));
    client.send("interaction.request.setinteractiondata", interaction, json!({"key": "k", "value": 1}));
    client.send("conversation.request.mute", call, json!({}));
    assert!(line.is_idle().await, "they wait as long as the call is there");
    client.send("conversation.request.release", call, json!({}));
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Release { .. }));
    line.report(Report::new().channel(Channel::new("phone").interaction(Interaction::new("a").no_conversations())));
    line.answer(request, Outcome::success());
    assert!(matches!(line.next_command().await.1, Command::SetInteractionData { .. }));
    let heard = client.heard().await;
    assert!(heard.contains(&"not_found conversation.request.mute".to_owned()), "{heard:?}");
    assert!(heard.contains(&"success conversation.request.release".to_owned()), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channels_availability_and_what_its_calls_are_asked_do_not_wait_for_each_other() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(two_calls());
    let calls = paths(&mut client).await;
    client.send("conversation.request.hold", &calls[0], json!({}));
    client.send("channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    client.send("conversation.request.hold", &calls[1], json!({}));
    assert!(matches!(line.next_command().await.1, Command::Hold { .. }));
    assert!(matches!(line.next_command().await.1, Command::NotReady { .. }));
    assert!(matches!(line.next_command().await.1, Command::Hold { .. }));
    // Among themselves they keep their order.
    client.send("channel.request.ready", ".c1", json!({}));
    client.send("conversation.request.mute", &calls[0], json!({}));
    assert!(line.is_idle().await);
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_taken_whatever_the_platform_has_not_answered_yet() {
    for (object, command, data) in [
        ("", "session.request.addchannel", json!({"channel": {"endpoint": "7", "type": "Chat"}})),
        (".c1", "channel.request.notready", json!({"reasoncode": "a"})),
        (".c1", "channel.request.deactivate", json!({})),
    ] {
        for take in ["interaction.request.accept", "conversation.request.answer"] {
            let tenant = Tenant::new();
            let (mut client, line) = tenant.at_work().await;
            line.report(call("a", ConversationState::Alerting));
            let calls = paths(&mut client).await;
            let interaction = calls[0].rsplit_once('.').unwrap().0;
            client.send(command, object, data.clone());
            line.next_command().await;
            let offered = if take.starts_with("interaction") { interaction } else { &*calls[0] };
            client.send(take, offered, json!({}));
            assert!(matches!(line.next_command().await.1, Command::Answer { .. }), "{take} behind {command}");
            // One that is being taken is not taken twice.
            client.send("interaction.request.accept", interaction, json!({}));
            client.send("conversation.request.answer", &calls[0], json!({}));
            assert!(line.is_idle().await, "behind {take}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_logout_is_carried_out_and_told_before_it() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    line.report(call("a", ConversationState::Talking));
    let calls = paths(&mut client).await;
    let interaction = calls[0].rsplit_once('.').unwrap().0;
    client.send("conversation.request.release", &calls[0], json!({}));
    client.send("interaction.request.complete", interaction, json!({}));
    client.send("session.request.logout", "", json!({}));
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Release { .. }));
    assert!(line.is_idle().await);
    line.report(Report::new().channel(Channel::new("phone").interaction(Interaction::new("a").no_conversations())));
    line.answer(request, Outcome::success());
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Complete { .. }));
    let heard = client.heard().await;
    assert!(heard.contains(&"interaction.ended".to_owned()), "{heard:?}");
    line.report(Report::new().channel(Channel::new("phone").interaction(Interaction::gone("a"))));
    line.answer(request, Outcome::success());
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::LogOut(Ending::LogOut));
    let heard = client.heard().await;
    assert!(heard.contains(&"interaction.disposed".to_owned()), "{heard:?}");
    assert!(heard.contains(&"success interaction.request.complete".to_owned()), "{heard:?}");
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success session.request.logout"]);
}

#[tokio::test(start_paused = true)]
async fn a_logout_does_not_wait_for_long() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    client.send("session.request.logout", "", json!({}));
    assert!(matches!(line.next_command().await.1, Command::Dial { .. }));
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(line.next().await.unwrap().1, Asked::LogOut(Ending::LogOut));
}
