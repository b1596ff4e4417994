//! A fault of the host's in one session.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_session_ends_that_one_and_no_other() {
    let tenant = Tenant::new();
    let (mut client, line) = tenant.at_work().await;
    let mut other = tenant.client();
    other.prepare("ben").await;
    other.start().await;
    line.panics.store(true, SeqCst);
    client.send("channel.request.dial", ".c1", json!({"destination": "5"}));
    let heard = client.heard().await;
    assert_eq!(heard.last().unwrap(), "session.disposed", "{heard:?}");
    client.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(client.heard().await, ["not_found channel.request.ready"]);
    assert_eq!(tenant.list().await.len(), 1);
    other.send("channel.request.ready", ".c1", json!({}));
    assert_eq!(other.heard().await, ["success channel.request.ready"]);
    // The connection is good for another session.
    line.panics.store(false, SeqCst);
    client.prepare("ann").await;
}
