//! A server that answers as CXone did.
//!
//! Owns the order: an answer to a poll comes only once all requests that were answered before it have been made again,
//! because what it tells of may have come of them. Must never: make up an answer that is not in the trace.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    entry::{self, Entry, HERE},
    http::{self, Answered, Asked},
};

/// A trace that is being played.
pub(crate) struct Player {
    entries: Vec<Entry>,
    used: Mutex<Vec<bool>>,
    moved: Notify,
    here: String,
    /// Whoever is played to does nothing but listen: nothing is waited for, and there is a session to join.
    listens_only: bool,
}

/// Plays until the program ends.
///
/// # Errors
/// The address or the file cannot be had.
pub(crate) async fn play(trace: &Path, listen: SocketAddr) -> Result<(), String> {
    let entries = entry::read(trace)?;
    let (listener, here) = http::listen(listen).await?;
    println!("playing {} exchanges; the tenant's issuer is {here}", entries.len());
    let player = Arc::new(Player::new(entries, here, false));
    http::serve(listener, move |asked| {
        let player = player.clone();
        async move { player.answer(&asked).await }
    })
    .await
}

impl Player {
    pub(crate) fn new(entries: Vec<Entry>, here: String, listens_only: bool) -> Self {
        let used = Mutex::new(vec![false; entries.len()]);
        Self { entries, used, moved: Notify::new(), here, listens_only }
    }

    fn used(&self) -> MutexGuard<'_, Vec<bool>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that have not been told yet.
    pub(crate) fn left(&self) -> usize {
        let used = self.used();
        let told = |(at, entry): &(usize, &Entry)| entry.is_poll() && entry.status == 200 && !used[*at];
        self.entries.iter().enumerate().filter(told).count()
    }

    pub(crate) async fn answer(&self, asked: &Asked) -> Answered {
        let call = entry::call(&asked.method, &asked.path);
        if asked.path.ends_with("/get-next-event") {
            return self.poll(asked).await;
        }
        if self.listens_only && call == "POST agent-sessions/join" {
            return Answered { status: 202, retry_after: None, body: json!({"sessionId": "session-0"}) };
        }
        let found = {
            let mut used = self.used();
            let fits = |at: &usize| self.entries[*at].call() == call;
            let fresh = (0..self.entries.len()).filter(fits).find(|at| !used[*at]);
            // What was read once may be read again.
            let again = || (0..self.entries.len()).rfind(fits);
            let found =
                fresh.or_else(|| if asked.method == "GET" || call == "POST auth/token" { again() } else { None });
            if let Some(at) = found {
                used[at] = true;
            }
            found
        };
        self.moved.notify_waiters();
        match found {
            Some(at) => self.told(&self.entries[at]),
            None => {
                eprintln!("{call} is not in the trace");
                Answered {
                    status: 404,
                    retry_after: None,
                    body: json!({"error": "NotInTrace", "error_description": call}),
                }
            }
        }
    }

    async fn poll(&self, asked: &Asked) -> Answered {
        let wait: u64 = asked.parameters().get("timeout").and_then(|text| text.parse().ok()).unwrap_or(0);
        let nothing = Answered { status: 304, retry_after: None, body: Value::Null };
        let next = async {
            loop {
                let moved = self.moved.notified();
                if let Some(answered) = self.next_poll(wait) {
                    return answered;
                }
                moved.await;
            }
        };
        // Nothing to wait for is answered at once, as by a poll that may not wait.
        tokio::time::timeout(Duration::from_millis(wait * 1000 + 20), next).await.unwrap_or(nothing)
    }

    /// The answer to a poll, if it is time for one.
    fn next_poll(&self, wait: u64) -> Option<Answered> {
        let mut used = self.used();
        loop {
            let at = (0..self.entries.len()).find(|at| self.entries[*at].is_poll() && !used[*at])?;
            let (entry, patient) = (&self.entries[at], wait > 1);
            let due = self.listens_only || (0..at).all(|before| used[before]);
            match (entry.status, entry.wait() > 1) {
                // A long poll that came to nothing, or a short one behind a replay that is over for a long one.
                (304, true) => used[at] = true,
                (304, false) if patient => used[at] = true,
                (304, false) => {
                    used[at] = true;
                    return Some(self.told(entry));
                }
                (_, true) if !patient => return Some(Answered { status: 304, retry_after: None, body: Value::Null }),
                _ if !due => return None,
                _ => {
                    used[at] = true;
                    return Some(self.told(entry));
                }
            }
        }
    }

    fn told(&self, entry: &Entry) -> Answered {
        let body = if entry.body.to_string().contains(HERE) {
            serde_json::from_str(&entry.body.to_string().replace(HERE, &self.here)).unwrap_or(Value::Null)
        } else {
            entry.body.clone()
        };
        Answered { status: entry.status, retry_after: entry.retry_after.clone(), body }
    }
}
