//! Lists that are watched.

use super::*;

/// An agent whose desktop watches the queues.
async fn watching() -> (Tenant, Client, Arc<Line>) {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    client.send("session.request.watch", "", json!({"kind": "queues"}));
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Watch { .. }));
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success session.request.watch"]);
    (tenant, client, line)
}

/// The adapter is asked to watch again, which it was not before.
async fn asked_again(line: &Line) -> RequestId {
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Watch { .. }), "{command:?}");
    assert!(line.is_idle().await);
    request
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_is_watched_again_after_a_snapshot_until_the_adapter_does() {
    let (_tenant, mut client, line) = watching().await;
    line.report(shop());
    let request = asked_again(&line).await;
    line.answer(request, Outcome::failure(Code::RateLimited, "not now"));
    assert!(line.is_idle().await, "not at once");
    assert_eq!(client.heard().await, [""; 0], "it cannot be watched yet, so there is nothing to be read anew");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One that is not answered at all is asked once more behind the deadline.
    asked_again(&line).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    let request = asked_again(&line).await;
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["session.listchanged"]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(line.is_idle().await, "it is watched now");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_adapter_has_no_more_is_asked_for_once() {
    let (_tenant, mut client, line) = watching().await;
    line.report(shop());
    let request = asked_again(&line).await;
    line.answer(request, Outcome::unsupported());
    assert_eq!(client.heard().await, ["session.listchanged"], "whoever reads it learns that it is gone");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(line.is_idle().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_no_more_is_not_asked_for_again() {
    let (_tenant, mut client, line) = watching().await;
    line.report(shop());
    let request = asked_again(&line).await;
    line.answer(request, Outcome::failure(Code::RateLimited, "not now"));
    client.send("session.request.unwatch", "", json!({"kind": "queues"}));
    let (request, command) = line.next_command().await;
    assert!(matches!(command, Command::Unwatch { .. }));
    line.answer(request, Outcome::success());
    assert_eq!(client.heard().await, ["success session.request.unwatch"]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(line.is_idle().await);
}
