//! The run in memory beside the run in the store: folding, saving, syncing.
//!
//! Owns what is not written yet and what is not synced yet. Every save compares the revision that the last one
//! left; who loses that race has lost the run.

use super::attempts::Used;
use crate::clock;
use crate::records::{AttemptId, LedgerRecord};
use crate::runs::{Runs, RunsError, StoredRun, Traces, resync_ms};
use crate::store::{Batch, Revision};
use beltline_engine::{Answer, Effect, Event, Input, Run, events};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Kept {
    runs: Runs,
    stored: StoredRun,
    run: Arc<Run>,
    wanted: OnceCell<Vec<Effect>>,
    traces: Traces,
    told: Vec<Event>,
    unsynced: Option<Unsynced>,
}

struct Unsynced {
    upto: Revision,
    since_ms: u64,
}

impl Kept {
    pub(super) fn new(runs: Runs, stored: StoredRun) -> Self {
        let run = Arc::clone(&stored.run);
        Kept {
            runs,
            stored,
            run,
            wanted: OnceCell::new(),
            traces: Traces::default(),
            told: Vec::new(),
            unsynced: None,
        }
    }

    /// The run as it is in memory.
    pub(super) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// What it wants, found out once for each of its states.
    pub(super) fn wanted(&self) -> &[Effect] {
        self.wanted.get_or_init(|| self.run.wanted())
    }

    /// Notes what it means that the run exists.
    pub(super) fn begin(&mut self) {
        self.traces.events.extend(events(None, &self.run));
    }

    /// Folds an input; what changes is written by the next save. Says whether anything changed.
    pub(super) fn fold(&mut self, input: &Input) -> bool {
        let Some(after) = self.run.on(input, clock::now_ms()) else {
            return false;
        };
        self.traces.events.extend(events(Some(&self.run), &after));
        self.run = Arc::new(after);
        self.wanted.take();
        true
    }

    /// Folds an answer. Its output is kept only where the answer counts: a late one leaves nothing.
    pub(super) fn answer(
        &mut self,
        step: u32,
        attempt: u32,
        answer: Answer,
        output: Option<Arc<str>>,
    ) {
        if self.run.is_open(step, attempt) {
            self.traces
                .outputs
                .extend(output.map(|output| (step, attempt, output)));
        }
        self.fold(&Input::Answer {
            step,
            attempt,
            answer,
        });
    }

    /// Whether this attempt is open and runs, or waits to run, in a program of its own.
    pub(super) fn is_elsewhere(&self, step: u32, attempt: u32) -> bool {
        let step = self.run.steps.get(step as usize);
        step.and_then(|step| step.native_attempt()) == Some(attempt)
    }

    /// Notes that an answer was taken which does not show what it is the answer to.
    pub(super) fn unfenced(&mut self, step: u32, attempt: u32) {
        self.traces.unfenced.push(AttemptId { step, attempt });
    }

    /// Notes how soon after the run's success a driver wants to look again, where nobody wants to sooner.
    pub(super) fn requeue(&mut self, after_ms: u64) {
        let known = [self.stored.requeue_after_ms, self.traces.requeue_after_ms];
        if known
            .into_iter()
            .flatten()
            .all(|known_ms| after_ms < known_ms)
        {
            self.traces.requeue_after_ms = Some(after_ms);
        }
    }

    /// When a run of its resource is to begin by itself.
    pub(super) fn resync_ms(&self) -> Option<u64> {
        resync_ms(&self.run, self.stored.requeue_after_ms)
    }

    /// Notes what an attempt has used: it stands beside its end.
    pub(super) fn used(&mut self, used: Used) {
        let Used {
            step,
            attempt,
            ledger,
        } = used;
        self.traces.ledgers.push(LedgerRecord {
            step,
            attempt,
            ledger,
        });
    }

    /// Writes a new run; `along` is written in the same commit.
    pub(super) async fn create(&mut self, along: Batch) -> Result<(), RunsError> {
        self.stored.run = Arc::clone(&self.run);
        let traces = std::mem::take(&mut self.traces);
        let revision = self.runs.create(&self.stored, &traces, along).await?;
        self.written(revision, traces);
        Ok(())
    }

    /// Writes what has changed since the last save, if anything has.
    pub(super) async fn save(&mut self) -> Result<(), RunsError> {
        if self.run.head.revision == self.stored.run.head.revision {
            return Ok(());
        }
        // Where that fails all of it is still to be written.
        let revision = self
            .runs
            .save(&self.stored, &self.run, &self.traces, Batch::new())
            .await?;
        let traces = std::mem::take(&mut self.traces);
        self.stored.run = Arc::clone(&self.run);
        self.written(revision, traces);
        Ok(())
    }

    /// Makes everything that was written durable. Says how long that took, where there was something.
    pub(super) async fn sync(&mut self) -> Result<Option<Duration>, RunsError> {
        let Some(unsynced) = &self.unsynced else {
            return Ok(None);
        };
        let before = clock::monotonic();
        self.runs.store().sync(unsynced.upto).await?;
        self.unsynced = None;
        Ok(Some(clock::monotonic().saturating_sub(before)))
    }

    /// How long the oldest unsynced write has been waiting; `None` where all is durable.
    pub(super) fn unsynced_for(&self) -> Option<Duration> {
        let unsynced = self.unsynced.as_ref()?;
        Some(Duration::from_millis(
            clock::now_ms().saturating_sub(unsynced.since_ms),
        ))
    }

    /// The events written since this was last asked.
    pub(super) fn take_told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    fn written(&mut self, revision: Revision, traces: Traces) {
        self.stored.head = revision;
        self.stored.requeue_after_ms = traces.requeue_after_ms.or(self.stored.requeue_after_ms);
        self.told.extend(traces.events);
        let since_ms = self
            .unsynced
            .as_ref()
            .map_or_else(clock::now_ms, |unsynced| unsynced.since_ms);
        self.unsynced = Some(Unsynced {
            upto: revision,
            since_ms,
        });
    }
}
