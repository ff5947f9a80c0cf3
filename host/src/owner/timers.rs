//! What is due at which time: runs that rest, and resources that a driver wants to look at again.

use super::Owner;
use crate::clock;
use beltline_engine::RunId;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest sleep: whoever sleeps looks now and then whether the owner is still there.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What becomes due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A run that rests.
    Run(RunId),
    /// A resource: its kind and name.
    Resync(String, String),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: Mutex<BTreeSet<(u64, Due)>>,
    sooner: Arc<Notify>,
}

impl Timers {
    pub(super) fn set(&self, at_ms: u64, due: Due) {
        let mut all = self.due.lock();
        let is_first = all.first().is_none_or(|(first_ms, _)| at_ms < *first_ms);
        all.insert((at_ms, due));
        drop(all);
        if is_first {
            self.sooner.notify_one();
        }
    }

    fn take_due(&self, now_ms: u64) -> Vec<Due> {
        let mut all = self.due.lock();
        let mut due = Vec::new();
        while all.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            due.extend(all.pop_first().map(|(_, due)| due));
        }
        due
    }

    fn next_ms(&self) -> Option<u64> {
        self.due.lock().first().map(|(at_ms, _)| *at_ms)
    }
}

/// Sees to what is due, for as long as the owner is there.
pub(super) async fn keep(owner: Weak<Owner>) {
    loop {
        let (sleep, sooner) = {
            let Some(owner) = owner.upgrade() else { return };
            for due in owner.timers.take_due(clock::now_ms()) {
                owner.is_due(due);
            }
            let next = owner.timers.next_ms().map(clock::until);
            let sleep = next.map_or(SLEEP_MAX, |next| next.min(SLEEP_MAX));
            (sleep, Arc::clone(&owner.timers.sooner))
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = sooner.notified() => {}
        }
    }
}
