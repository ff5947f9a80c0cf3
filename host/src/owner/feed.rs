//! The feed of a run: how far it has come, for those who watch.
//!
//! Owns numbers, and the state in which the run ended: what happened is in the store, what was said is in the log, and
//! whoever watches reads it there. So a watcher that is slow or has gone costs the run nothing, and whoever only waits for
//! the end reads nothing.

use crate::logs::{LogLine, LogSink, RunLog};
use crate::runner::Observer;
use beltline_engine::{Event, Run, RunId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
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
    /// Whether it has ended or failed: whoever waits for that alone is not woken at each mark.
    is_over: watch::Sender<bool>,
    /// Until when the runner waits at most; zero while it does not.
    waiting_until_ms: AtomicU64,
    /// Why it could not be moved on.
    fault: Mutex<String>,
    /// The run, where what is durable is its end.
    ended: Mutex<Option<Arc<Run>>>,
}

impl Feed {
    fn new() -> Self {
        Feed {
            marks: watch::Sender::new(Marks::default()),
            is_over: watch::Sender::new(false),
            waiting_until_ms: AtomicU64::new(0),
            fault: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Why the run could not be moved on.
    pub fn fault(&self) -> String {
        self.fault.lock().clone()
    }

    /// The run could not be moved on, and is left as it is.
    pub(super) fn fail(&self, why: String) {
        *self.fault.lock() = why;
        self.mark(|marks| marks.has_failed = true);
    }

    fn mark(&self, change: impl FnOnce(&mut Marks)) {
        let mut is_over = false;
        self.marks.send_if_modified(|marks| {
            let before = *marks;
            change(marks);
            is_over = marks.has_ended || marks.has_failed;
            *marks != before
        });
        self.is_over
            .send_if_modified(|was| std::mem::replace(was, is_over) != is_over);
    }

    /// To be told whenever a mark moves.
    pub fn subscribe(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// Waits until the run has ended, durably, or cannot be moved on, or that long. Returns how it ended, where it did
    /// while this was held.
    pub async fn end(&self, wait: Duration) -> Option<Arc<Run>> {
        let mut is_over = self.is_over.subscribe();
        let end = is_over.wait_for(|is_over| *is_over);
        let _ = tokio::time::timeout(wait, end).await;
        self.ended.lock().clone()
    }

    /// A line came.
    pub(super) fn said(&self) {
        self.mark(|marks| marks.lines += 1);
    }

    /// A runner takes up a run that is durable as it is.
    pub(super) fn begin(&self, run: &Run) {
        let revision = run.head.revision;
        self.keep_end(run);
        self.mark(|marks| {
            (marks.written, marks.durable) = (revision, revision);
            marks.has_ended = run.is_ended();
            marks.has_failed = false;
        });
    }

    /// Before it is told that the run has ended.
    fn keep_end(&self, run: &Run) {
        *self.ended.lock() = run.is_ended().then(|| Arc::new(run.clone()));
    }

    /// Until when the runner waits at most, in Unix milliseconds; zero while it does not.
    pub(super) fn waiting_until_ms(&self) -> u64 {
        self.waiting_until_ms.load(Ordering::Relaxed)
    }
}

impl Observer for Feed {
    fn written(&self, run: &Run, _: &[Event]) {
        self.mark(|marks| marks.written = run.head.revision);
    }

    fn durable(&self, run: &Run) {
        self.keep_end(run);
        self.mark(|marks| {
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

/// A feed that is held: by a runner, a watcher, or whoever waits for the end. The last one to let go forgets it.
#[derive(Debug)]
pub struct HeldFeed {
    id: RunId,
    feed: Option<Arc<Feed>>,
    feeds: Arc<Feeds>,
}

impl HeldFeed {
    /// For a runner, which ends before this is dropped.
    pub(super) fn shared(&self) -> Arc<Feed> {
        Arc::clone(self.feed.as_ref().expect(HELD))
    }
}

const HELD: &str = "it is there until it is dropped";

impl Deref for HeldFeed {
    type Target = Feed;

    fn deref(&self) -> &Feed {
        self.feed.as_ref().expect(HELD)
    }
}

impl Drop for HeldFeed {
    fn drop(&mut self) {
        let mut held = self.feeds.held.lock();
        self.feed = None;
        if held
            .get(&self.id)
            .is_some_and(|feed| feed.strong_count() == 0)
        {
            held.remove(&self.id);
        }
    }
}

/// The feeds that somebody holds.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    held: Mutex<HashMap<RunId, Weak<Feed>>>,
}

impl Feeds {
    /// Of a run: the one that is held, else a new one.
    pub(super) fn of(self: &Arc<Self>, id: RunId) -> HeldFeed {
        let mut held = self.held.lock();
        let known = held.get(&id).and_then(Weak::upgrade);
        let feed = known.unwrap_or_else(|| {
            let feed = Arc::new(Feed::new());
            held.insert(id, Arc::downgrade(&feed));
            feed
        });
        HeldFeed {
            id,
            feed: Some(feed),
            feeds: Arc::clone(self),
        }
    }

    /// The runs whose runners should have looked up before that time.
    pub(super) fn waiting_since(&self, by_ms: u64) -> Vec<RunId> {
        let held = self.held.lock();
        let overdue = held.iter().filter(|(_, feed)| {
            let until_ms = feed.upgrade().map_or(0, |feed| feed.waiting_until_ms());
            (1..by_ms).contains(&until_ms)
        });
        overdue.map(|(id, _)| *id).collect()
    }
}
