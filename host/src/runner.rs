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

pub use attempts::{Perform, Performed, StepDriver};

use crate::clock;
use crate::durable;
use crate::ledger::Ledger;
use crate::logs::LogSink;
use crate::runs::{Runs, RunsError, StoredRun};
use crate::store::Batch;
pub use answer::Told;
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

/// Between two tries to write to a disk that is full.
const ROOM_PAUSE: Duration = Duration::from_millis(500);

/// A run that has nothing to do for so long is not kept in memory.
const REST_MIN: Duration = Duration::from_secs(2);

/// How long a run stays in memory whose attempts are others', where nobody waits for its slot: most answers come sooner. It
/// is longer than the bridge's own ticks: a timer that is due before all others costs the runtime a wake-up.
const STAY: Duration = Duration::from_millis(600);

/// How long taking an attempt back may take. What cannot be reached by then finds its token worth nothing.
const WITHDRAW_TIME_MAX: Duration = Duration::from_secs(2);

/// Is told how a run goes.
pub trait Observer: Send + Sync {
    /// The run is written, and may not be durable yet: for progress on a terminal, marked provisional, and never for
    /// anything that others build upon.
    fn written(&self, run: &Run, events: &[Event]);
    /// What was written is durable.
    fn durable(&self, run: &Run);
    /// An attempt of a step has ended or was stopped, and has used this.
    fn used(&self, _run: &Run, _step: u32, _ledger: &Ledger) {}
    /// The run has waited so long for the disk.
    fn synced(&self, _took: Duration) {}
    /// The runner waits for an attempt, until then at most; zero when it waits no more. It looks up much later only where
    /// a file call of a guest holds its thread up, which nothing in this process can end.
    fn waiting(&self, until_ms: u64);
    /// Whether other runs wait for the slot of this one.
    fn is_crowded(&self) -> bool {
        false
    }
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

/// Is called when what became of something is durable, with whether anything did; dropped where the run was left before.
pub type Reply = Box<dyn FnOnce(bool) + Send>;

/// What people ask of a run that is under way.
pub enum Ask {
    /// To fold this.
    Fold(Input, Reply),
    /// The answer to an attempt that was handed over.
    Answer(Box<Answered>, Reply),
    /// To hand an attempt over once more: whoever had it has it no longer.
    Again {
        /// The step.
        step: u32,
        /// The attempt.
        attempt: u32,
    },
    /// To leave the run where it stands: attempts under way may end, nothing new begins.
    Leave,
}

/// An attempt that was handed over has been answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The step.
    pub step: u32,
    /// The attempt.
    pub attempt: u32,
    /// What it came to.
    pub told: Told,
    /// Whether the answer shows that it is to this attempt.
    pub is_fenced: bool,
}

/// How a runner comes to its end.
#[derive(Debug)]
pub enum Left {
    /// The run has ended; its out folder is synced.
    Ended {
        /// As it ended.
        run: Arc<Run>,
        /// When a run of its resource is to begin by itself, in Unix milliseconds.
        resync_ms: Option<u64>,
    },
    /// Nothing is to be done before that time, in Unix milliseconds.
    Resting {
        /// When it is to be driven again.
        until_ms: u64,
    },
    /// It was asked to leave.
    Asked,
}

impl Left {
    /// The run, where it has ended.
    pub fn ended(self) -> Option<Arc<Run>> {
        match self {
            Left::Ended { run, .. } => Some(run),
            Left::Resting { .. } | Left::Asked => None,
        }
    }
}

/// Moves one run.
pub struct Runner {
    kept: Kept,
    attempts: Attempts,
    inbox: mpsc::UnboundedReceiver<Ask>,
    observer: Arc<dyn Observer>,
    asked: Vec<(Reply, bool)>,
    leaves: bool,
    /// Whether it has stayed in memory for the answers of others long enough.
    has_stayed: bool,
    waits_for_room: bool,
}

enum Happening {
    Stayed,
    News(News),
    Ask(Ask),
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
        inbox: mpsc::UnboundedReceiver<Ask>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let offered = Arc::new(Offered::new(runs.clone(), &stored));
        let attempts = Attempts::new(&stored, drivers, log, offered);
        Runner {
            kept: Kept::new(runs, stored),
            attempts,
            inbox,
            observer,
            asked: Vec::new(),
            leaves: false,
            has_stayed: false,
            waits_for_room: false,
        }
    }

    /// Where the disk is full it waits until there is room, and what has been done stays done; else it fails.
    #[must_use]
    pub fn waiting_for_room(mut self, waits: bool) -> Self {
        self.waits_for_room = waits;
        self
    }

    /// Writes a new run to the store, its first steps already started and `along` in the same commit, and drives it.
    ///
    /// # Errors
    /// As [`Runner::drive`].
    pub async fn create(mut self, along: Batch) -> Result<Left, RunnerError> {
        self.kept.begin();
        self.start();
        self.kept.create(along).await?;
        self.run().await
    }

    /// Drives a stored run to its end, beginning with these inputs, or as far as there is something to do. What is
    /// told of it is durable.
    ///
    /// # Errors
    /// [`RunnerError`]; the run is then left as the store has it.
    pub async fn drive(mut self, inputs: Vec<Input>) -> Result<Left, RunnerError> {
        for input in inputs {
            self.kept.fold(&input);
        }
        self.listen();
        self.start();
        self.save().await?;
        self.run().await
    }

    /// What people have asked for comes before anything that would begin.
    fn listen(&mut self) {
        while let Ok(ask) = self.inbox.try_recv() {
            self.ask(ask);
        }
    }

    async fn run(mut self) -> Result<Left, RunnerError> {
        self.tell();
        self.sync().await?;
        loop {
            self.perform().await?;
            if let Some(left) = self.may_leave() {
                self.sync().await?;
                return Ok(left);
            }
            match self.next().await {
                Happening::News(News::Finished(finished)) => self.finish(finished)?,
                // What has room now is started below.
                Happening::News(News::Room | News::HandedOver) => {}
                Happening::Stayed => self.has_stayed = true,
                Happening::Ask(ask) => self.ask(ask),
                Happening::Tick => _ = self.kept.fold(&Input::Tick),
                Happening::SyncIsDue => self.sync().await?,
            }
            self.listen();
            self.start();
            self.stop().await;
            self.save().await?;
            self.tell();
            if !self.asked.is_empty() {
                self.sync().await?;
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Fold(input, reply) => {
                let has_changed = self.kept.fold(&input);
                self.asked.push((reply, has_changed));
            }
            Ask::Answer(answered, reply) => {
                let has_changed = self.answered(*answered);
                self.asked.push((reply, has_changed));
            }
            Ask::Again { step, attempt } => self.attempts.take_back(step, attempt),
            Ask::Leave => self.leaves = true,
        }
    }

    /// Folds the answer to an attempt that was handed over; whether it counts.
    fn answered(&mut self, answered: Answered) -> bool {
        let Answered {
            step,
            attempt,
            told,
            is_fenced,
        } = answered;
        if !self.kept.run().is_open(step, attempt) {
            return false;
        }
        self.attempts.take_back(step, attempt);
        if !is_fenced {
            self.kept.unfenced(step, attempt);
        }
        self.told(step, attempt, told);
        true
    }

    /// How the runner may leave the run now, if it may.
    fn may_leave(&self) -> Option<Left> {
        let run = self.kept.run();
        if run.is_ended() {
            return Some(Left::Ended {
                run: Arc::clone(run),
                resync_ms: self.kept.resync_ms(),
            });
        }
        if !self.attempts.is_idle() {
            return None;
        }
        if self.leaves {
            return Some(Left::Asked);
        }
        let until_ms = self.wake_ms()?;
        let has_time = clock::until(until_ms) >= REST_MIN && self.inbox.is_empty();
        // Of a run that waits for nothing but a time, or for others.
        let mut wanted = self.kept.wanted().iter();
        let rests = wanted.all(|effect| match *effect {
            Effect::Attempt { step, attempt, .. } => self.attempts.is_handed_over(step, attempt),
            Effect::Wake { .. } => true,
        });
        let has_stayed =
            !self.attempts.has_handed_over() || self.has_stayed || self.observer.is_crowded();
        (has_time && rests && has_stayed).then_some(Left::Resting { until_ms })
    }

    /// Makes what was written durable, and tells those who wait for it.
    async fn sync(&mut self) -> Result<(), RunnerError> {
        if let Some(took) = self.kept.sync().await? {
            self.observer.synced(took);
        }
        self.observer.durable(self.kept.run());
        for (reply, has_changed) in self.asked.drain(..) {
            reply(has_changed);
        }
        Ok(())
    }

    /// Writes what has changed. A run does not end before what its steps made is on disk.
    async fn save(&mut self) -> Result<(), RunnerError> {
        if self.kept.run().is_ended()
            && let Some(out) = self.attempts.out()
        {
            let since = clock::system_time(self.kept.run().head.created_ms) - CLOCK_TICK;
            durable::sync_tree(&out, since).map_err(RunnerError::Out)?;
        }
        loop {
            match self.kept.save().await {
                Err(error) if self.waits_for_room && error.is_full() => {
                    tokio::time::sleep(ROOM_PAUSE).await;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Stops what the state no longer wants, before that state is saved: an end on record has been one.
    async fn stop(&mut self) {
        let (stopped, withdrawn) = self.attempts.keep_only(self.kept.wanted());
        for used in stopped {
            self.observer.used(self.kept.run(), used.step, &used.ledger);
            self.kept.used(used);
        }
        if !withdrawn.is_empty() {
            let all = futures::future::join_all(withdrawn);
            let _ = tokio::time::timeout(WITHDRAW_TIME_MAX, all).await;
        }
    }

    /// Records the start of every attempt that is wanted, has room, and is neither performed nor about to be. One that
    /// somebody else has had since before this process is seen to, and not started again.
    fn start(&mut self) {
        while !self.leaves {
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
            let is_elsewhere = self.kept.is_elsewhere(step, attempt);
            let placement = self.attempts.placement(step);
            if !is_elsewhere
                && !self.kept.fold(&Input::Start {
                    step,
                    attempt,
                    placement,
                })
            {
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
            self.sync().await?;
        }
        self.attempts.begin(self.kept.run());
        Ok(())
    }

    /// When time has something to say.
    fn wake_ms(&self) -> Option<u64> {
        self.kept.wanted().iter().find_map(|effect| match *effect {
            Effect::Wake { at_ms } => Some(at_ms),
            Effect::Attempt { .. } => None,
        })
    }

    async fn next(&mut self) -> Happening {
        let wake = self.wake_ms();
        if let Some(at_ms) = wake {
            self.observer.waiting(at_ms);
        }
        let wake = wake.map(clock::until);
        let sync = self
            .kept
            .unsynced_for()
            .map(|since| UNSYNCED_MAX.saturating_sub(since));
        let stays = self.attempts.is_idle() && self.attempts.has_handed_over();
        let stay = (stays && !self.has_stayed).then_some(STAY);
        let happening = tokio::select! {
            biased;
            Some(ask) = self.inbox.recv() => Happening::Ask(ask),
            () = after(stay) => Happening::Stayed,
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
        self.observer.used(self.kept.run(), step, &used.ledger);
        self.kept.used(used);
        let ended = ended.map_err(|source| RunnerError::Fault {
            step: self.attempts.step_id(step),
            source,
        })?;
        self.told(step, attempt, answer::from(ended));
        Ok(())
    }

    fn told(&mut self, step: u32, attempt: u32, told: Told) {
        let Told {
            answer,
            output,
            requeue_after_ms,
        } = told;
        if let Some(after_ms) = requeue_after_ms {
            self.kept.requeue(after_ms);
        }
        self.kept.answer(step, attempt, answer, output);
        self.has_stayed = false;
    }

    fn tell(&mut self) {
        let events = self.kept.take_told();
        if !events.is_empty() {
            self.observer.written(self.kept.run(), &events);
        }
    }
}

async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
