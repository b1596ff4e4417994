//! One clock for all sessions of a tenant.
//!
//! Owns: when which session is to be looked at next. Must never: do anything to a session but call its tick. A session
//! arms it when its next due time comes nearer; times that have become stale are let pass, so a busy session with a
//! thousand commands a second arms it once in half a minute.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::cell::Cell;

#[derive(Default)]
pub(super) struct Timer {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    due: BinaryHeap<Reverse<Due>>,
    number: u64,
    stopped: bool,
}

struct Due {
    at: Instant,
    number: u64,
    cell: Weak<Cell>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What the clock does next.
enum Next {
    Tick(Arc<Cell>, Instant),
    Sleep(Instant),
    Idle,
    Stop,
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a session at this time.
    pub(super) fn arm(&self, at: Instant, cell: Weak<Cell>) {
        let mut queue = self.lock();
        let number = queue.number;
        queue.number += 1;
        queue.due.push(Reverse(Due { at, number, cell }));
        let is_first = queue.due.peek().is_some_and(|first| first.0.number == number);
        drop(queue);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Ends [`Self::run`].
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Ticks sessions until it is stopped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut ticked = 0_u32;
        loop {
            match self.next() {
                Next::Tick(cell, at) => {
                    cell.tick(at);
                    ticked += 1;
                    if ticked.is_multiple_of(32) {
                        tokio::task::yield_now().await;
                    }
                }
                Next::Sleep(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                Next::Idle => self.changed.notified().await,
                Next::Stop => return,
            }
        }
    }

    fn next(&self) -> Next {
        let mut queue = self.lock();
        if queue.stopped {
            return Next::Stop;
        }
        loop {
            let Some(Reverse(first)) = queue.due.peek() else { return Next::Idle };
            if first.cell.strong_count() > 0 && first.at > Instant::now() {
                return Next::Sleep(first.at);
            }
            let Some(Reverse(due)) = queue.due.pop() else { return Next::Idle };
            if let Some(cell) = due.cell.upgrade() {
                return Next::Tick(cell, due.at);
            }
        }
    }
}
