//! The runner: moves one run, from where it stands to its end.
//!
//! Owns the loop: an input comes, the engine folds it, the new state is saved with compare-and-swap, and what
//! the state wants is done. Dying between any two of these is harmless. It owns the effect barrier: an attempt
//! that can touch the outside world begins only after everything before it is synced, and nothing unsynced is
//! told to anybody. It never decides what happens next: that is the engine's.
//!
//! A run is one task, its attempts included: steps that run back to back hand nothing over between threads. Many runs
//! share a few threads, for none is blocked but by a sync, a file call, or a guest until its next tick.

mod answer;
mod attempts;
mod kept;
mod offered;

pub use attempts::{Perform, StepDriver};

use crate::clock;
use crate::durable;
use crate::logs::LogSink;
use crate::runs::{Runs, RunsError, StoredRun};
use attempts::{Attempts, Finished, News};
use beltline_engine::{Effect, Event, Input, Run};
use kept::Kept;
use offered::Offered;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What has been unsynced so long is synced, so that what others may see lags no more than this.
const UNSYNCED_MAX: Duration = Duration::from_millis(100);

/// How far a file's time may lie behind the clock: kernels stamp files with the time of their last tick.
const CLOCK_TICK: Duration = Duration::from_millis(100);

/// Is told how a run goes. What it is told of may not be durable yet: it is for progress on a terminal, marked
/// provisional, and never for anything that others build upon.
pub trait Observer: Send + Sync {
    /// The run is durable and about to go on.
    fn accepted(&self, run: &Run);
    /// The run has changed.
    fn changed(&self, run: &Run, events: &[Event]);
    /// The runner waits for an attempt, until then at most; zero when it waits no more. It looks up much later only where
    /// a file call of a guest holds its thread up, which nothing in this process can end.
    fn waiting(&self, until_ms: u64);
}

/// A run that could not be moved on. Its record is as it was; it can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The store refuses, or somebody else has moved the run.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// What the steps made cannot be synced.
    #[error("the out folder cannot be synced")]
    Out(#[source] io::Error),
    /// A fault of the host while it performed an attempt.
    #[error("step `{step}` could not be performed")]
    Fault {
        /// The step's id.
        step: String,
        /// The fault.
        #[source]
        source: anyhow::Error,
    },
}

/// Moves one run.
pub struct Runner {
    kept: Kept,
    attempts: Attempts,
    inbox: mpsc::UnboundedReceiver<Input>,
    observer: Arc<dyn Observer>,
}

enum Happening {
    News(News),
    Input(Input),
    Tick,
    SyncIsDue,
}

impl Runner {
    /// Of a run that the store has, or that [`Runner::create`] is about to give it. `drivers` has one for each
    /// step of the plan; `inbox` brings what people ask for.
    pub fn new(
        runs: Runs,
        stored: StoredRun,
        drivers: Vec<StepDriver>,
        log: Arc<dyn LogSink>,
        inbox: mpsc::UnboundedReceiver<Input>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let offered = Arc::new(Offered::new(runs.clone(), &stored));
        let attempts = Attempts::new(&stored, drivers, log, offered);
        Runner {
            kept: Kept::new(runs, stored),
            attempts,
            inbox,
            observer,
        }
    }

    /// Writes a new run to the store, its first steps already started, and drives it.
    ///
    /// # Errors
    /// As [`Runner::drive`].
    pub async fn create(mut self) -> Result<Run, RunnerError> {
        self.kept.begin();
        self.start();
        self.kept.create().await?;
        self.run().await
    }

    /// Drives a stored run to its end, beginning with these inputs, and returns it as it ended: durable, its out
    /// folder synced.
    ///
    /// # Errors
    /// [`RunnerError`]; the run is then left as the store has it.
    pub async fn drive(mut self, inputs: Vec<Input>) -> Result<Run, RunnerError> {
        for input in inputs {
            self.kept.fold(&input);
        }
        self.start();
        self.save().await?;
        self.run().await
    }

    async fn run(mut self) -> Result<Run, RunnerError> {
        self.kept.sync().await?;
        self.observer.accepted(self.kept.run());
        self.tell();
        loop {
            self.perform().await?;
            if self.kept.run().is_ended() {
                break;
            }
            match self.next().await {
                Happening::News(News::Finished(finished)) => self.finish(finished)?,
                // What has room now is started below.
                Happening::News(News::Room) => {}
                Happening::Input(input) => _ = self.kept.fold(&input),
                Happening::Tick => _ = self.kept.fold(&Input::Tick),
                Happening::SyncIsDue => self.kept.sync().await?,
            }
            // What people have asked for comes before anything that would begin.
            while let Ok(input) = self.inbox.try_recv() {
                self.kept.fold(&input);
            }
            self.start();
            self.stop();
            self.save().await?;
            self.tell();
        }
        self.kept.sync().await?;
        Ok(self.kept.into_run())
    }

    /// Writes what has changed. A run does not end before what its steps made is on disk.
    async fn save(&mut self) -> Result<(), RunnerError> {
        if self.kept.run().is_ended()
            && let Some(out) = self.attempts.out()
        {
            let since = clock::system_time(self.kept.run().head.created_ms) - CLOCK_TICK;
            durable::sync_tree(&out, since).map_err(RunnerError::Out)?;
        }
        Ok(self.kept.save().await?)
    }

    /// Stops what the state no longer wants, before that state is saved: an end on record has been one.
    fn stop(&mut self) {
        let stopped = self.attempts.keep_only(self.kept.wanted());
        stopped.into_iter().for_each(|used| self.kept.used(used));
    }

    /// Records the start of every attempt that is wanted, has room, and is neither performed nor about to be.
    fn start(&mut self) {
        loop {
            let attempts = &mut self.attempts;
            let due = self.kept.wanted().iter().find_map(|effect| match *effect {
                Effect::Attempt { step, attempt, .. } => {
                    let is_due =
                        !attempts.has(step, attempt) && attempts.is_admitted(step, attempt);
                    is_due.then_some((step, attempt))
                }
                Effect::Wake { .. } => None,
            });
            let Some((step, attempt)) = due else { return };
            let placement = self.attempts.placement(step);
            if !self.kept.fold(&Input::Start {
                step,
                attempt,
                placement,
            }) {
                return;
            }
            if self.kept.run().is_open(step, attempt) {
                self.attempts.announce(step, attempt, placement);
            }
        }
    }

    /// Begins what is announced, after the effect barrier where that has effects.
    async fn perform(&mut self) -> Result<(), RunnerError> {
        if self.attempts.announced_with_effects() {
            self.kept.sync().await?;
        }
        self.attempts.begin(self.kept.run());
        Ok(())
    }

    async fn next(&mut self) -> Happening {
        let wake = self.kept.wanted().iter().find_map(|effect| match *effect {
            Effect::Wake { at_ms } => Some(at_ms),
            Effect::Attempt { .. } => None,
        });
        if let Some(at_ms) = wake {
            self.observer.waiting(at_ms);
        }
        let wake = wake.map(clock::until);
        let sync = self
            .kept
            .unsynced_for()
            .map(|since| UNSYNCED_MAX.saturating_sub(since));
        let happening = tokio::select! {
            biased;
            Some(input) = self.inbox.recv() => Happening::Input(input),
            news = self.attempts.next() => Happening::News(news),
            () = after(wake) => Happening::Tick,
            () = after(sync) => Happening::SyncIsDue,
        };
        // What takes long from here on is our own disk.
        self.observer.waiting(0);
        happening
    }

    fn finish(&mut self, finished: Finished) -> Result<(), RunnerError> {
        let Finished { used, ended } = finished;
        let (step, attempt) = (used.step, used.attempt);
        self.kept.used(used);
        let ended = ended.map_err(|source| RunnerError::Fault {
            step: self.attempts.step_id(step),
            source,
        })?;
        let (answer, output) = answer::from(ended);
        self.kept.answer(step, attempt, answer, output);
        Ok(())
    }

    fn tell(&mut self) {
        let events = self.kept.take_told();
        if !events.is_empty() {
            self.observer.changed(self.kept.run(), &events);
        }
    }
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
