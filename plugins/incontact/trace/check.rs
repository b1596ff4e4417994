//! Plays a trace to this adapter as if another window of the agent's did what was done then, and tells what it makes of
//! it.

use std::{path::Path, sync::Arc, time::Duration};

use jackfield_incontact::InContact;
use jackfield_plugin_api::{StartOptions, testkit::Tenant};
use serde_json::json;

use crate::{
    entry::{self, TENANT},
    http,
    play::Player,
};

/// How long the adapter may take to ask for the next of the trace.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks.
///
/// # Errors
/// The trace cannot be read or played to the end, or a host would complain of what the adapter reports.
pub(crate) async fn check(trace: &Path) -> Result<(), String> {
    let (listener, here) = http::listen(([127, 0, 0, 1], 0).into()).await?;
    let player = Arc::new(Player::new(entry::read(trace)?, here.clone(), true));
    let server = player.clone();
    tokio::spawn(http::serve(listener, move |asked| {
        let player = server.clone();
        async move { player.answer(&asked).await }
    }));
    let settings = json!({"issuer": here, "tenant_id": TENANT, "client_id": "trace", "client_secret": "trace"});
    let tenant = Tenant::connect::<InContact>(include_str!("../manifest.json"), settings).await;
    let tenant = tenant.map_err(|failure| failure.to_string())?;
    let played = async {
        while tenant.link() != Some(jackfield_plugin_api::Link::Up) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let session = tenant.log_in("trace", "trace").await.map_err(|failure| failure.to_string())?;
        session.start_with(StartOptions::new(None)).await.map_err(|failure| failure.to_string())?;
        let mut left = usize::MAX;
        while left > 0 {
            left = player.left();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What is in the middle of something is told after a short time all the same.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, String>(session)
    };
    let session = tokio::time::timeout(PATIENCE, played).await.map_err(|_| "the trace is not played to its end")??;
    for report in session.reports() {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    }
    let complaints = tenant.complaints();
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}
