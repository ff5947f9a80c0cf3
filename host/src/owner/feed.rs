//! The feed of a run: how far it has come, for those who watch.
//!
//! Owns numbers only: what happened is in the store, what was said is in the log, and whoever watches reads it there.
//! So a watcher that is slow or has gone costs the run nothing.

use crate::logs::{LogLine, LogSink, RunLog};
use crate::runner::Observer;
use beltline_engine::{Event, Run, RunId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// How far a run has come in this process. All zero before its runner has begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// The revision that is written; it may be gone after a power cut.
    pub written: u64,
    /// The revision that is durable.
    pub durable: u64,
    /// Lines of the log since its runner began.
    pub lines: u64,
    /// Whether what is durable is the run's end.
    pub has_ended: bool,
    /// Whether it could not be moved on, and is left as it is.
    pub has_failed: bool,
}

/// One run's.
#[derive(Debug)]
pub struct Feed {
    marks: watch::Sender<Marks>,
    /// Until when the runner waits at most; zero while it does not.
    waiting_until_ms: AtomicU64,
    /// Why it could not be moved on.
    fault: Mutex<String>,
}

impl Feed {
    fn new() -> Self {
        Feed {
            marks: watch::Sender::new(Marks::default()),
            waiting_until_ms: AtomicU64::new(0),
            fault: Mutex::default(),
        }
    }

    /// Why the run could not be moved on.
    pub fn fault(&self) -> String {
        self.fault.lock().clone()
    }

    /// The run could not be moved on, and is left as it is.
    pub(super) fn fail(&self, why: String) {
        *self.fault.lock() = why;
        self.marks.send_modify(|marks| marks.has_failed = true);
    }

    /// To be told whenever a mark moves.
    pub fn subscribe(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// A line came.
    pub(super) fn said(&self) {
        self.marks.send_modify(|marks| marks.lines += 1);
    }

    /// A runner takes up a run that is durable as it is.
    pub(super) fn begin(&self, run: &Run) {
        let revision = run.head.revision;
        self.marks.send_modify(|marks| {
            (marks.written, marks.durable) = (revision, revision);
            marks.has_ended = run.is_ended();
            marks.has_failed = false;
        });
    }

    /// Until when the runner waits at most, in Unix milliseconds; zero while it does not.
    pub(super) fn waiting_until_ms(&self) -> u64 {
        self.waiting_until_ms.load(Ordering::Relaxed)
    }
}

impl Observer for Feed {
    fn written(&self, run: &Run, _: &[Event]) {
        self.marks
            .send_modify(|marks| marks.written = run.head.revision);
    }

    fn durable(&self, run: &Run) {
        self.marks.send_modify(|marks| {
            marks.durable = run.head.revision;
            marks.has_ended = run.is_ended();
        });
    }

    fn waiting(&self, until_ms: u64) {
        self.waiting_until_ms.store(until_ms, Ordering::Relaxed);
    }
}

/// A run's log, and word of each line to those who watch.
pub(super) struct FollowedLog {
    pub(super) log: RunLog,
    pub(super) feed: Arc<Feed>,
}

impl LogSink for FollowedLog {
    fn append(&self, line: LogLine) {
        self.log.append(line);
        self.feed.said();
    }
}

/// The feeds that somebody holds: a runner or a watcher.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    held: Mutex<HashMap<RunId, Weak<Feed>>>,
}

impl Feeds {
    /// Of a run: the one that is held, else a new one.
    pub(super) fn of(&self, id: RunId) -> Arc<Feed> {
        let mut held = self.held.lock();
        if let Some(feed) = held.get(&id).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed::new());
        held.insert(id, Arc::downgrade(&feed));
        feed
    }

    /// Forgets one that nobody else holds.
    pub(super) fn forget(&self, id: RunId, feed: Arc<Feed>) {
        let mut held = self.held.lock();
        drop(feed);
        if held.get(&id).is_some_and(|feed| feed.strong_count() == 0) {
            held.remove(&id);
        }
    }

    /// Whether the runner of one should have looked up by then.
    pub(super) fn any_waits_since(&self, now_ms: u64, grace_ms: u64) -> Option<RunId> {
        let held = self.held.lock();
        let mut overdue = held.iter().filter(|(_, feed)| {
            let until_ms = feed.upgrade().map_or(0, |feed| feed.waiting_until_ms());
            until_ms > 0 && now_ms > until_ms.saturating_add(grace_ms)
        });
        overdue.next().map(|(id, _)| *id)
    }
}
