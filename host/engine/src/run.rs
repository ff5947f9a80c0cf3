//! The run: its head, its steps, and the fold of one input into the next state. The rules of each
//! input are in the file of its name; this one only puts them in order.

use std::sync::Arc;

use crate::change::Change;
use crate::{Failure, Input, Plan, Step};

/// A run. Cloning it copies pointers only.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: crate::RunId,
    /// What it does.
    pub plan: Arc<Plan>,
    /// What concerns the run as a whole.
    pub head: Head,
    /// One for each step of the plan, in its order.
    pub steps: Vec<Arc<Step>>,
}

/// What concerns the run as a whole. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 1 when the run is made, and one more with each change.
    pub revision: u64,
    /// The epoch of its owner.
    pub epoch: u64,
    /// The round it is in, or ended in. Rounds count from 1.
    pub round: u32,
    /// When it was made.
    pub created_ms: u64,
    /// When it last changed. Never goes backwards, even where the clock did.
    pub updated_ms: u64,
    /// Whether it goes on.
    pub phase: Phase,
}

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It goes on: pending, running or waiting, as its steps are.
    Running {
        /// When it is timed out unless it has ended by then.
        deadline_ms: u64,
    },
    /// It was asked to stop: attempts under way may still answer, nothing new begins.
    Cancelling {
        /// When it ends whether they have answered or not.
        until_ms: u64,
    },
    /// It is over. Only a retry goes on from here.
    Ended {
        /// When.
        at_ms: u64,
        /// How.
        end: End,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every step succeeded.
    Succeeded,
    /// A step failed, or an attempt of it timed out, for good.
    Failed {
        /// The step that failed first, by index.
        step: u32,
        /// How it failed.
        failure: Failure,
    },
    /// It was cancelled.
    Cancelled,
    /// Its own timeout passed.
    TimedOut,
}

impl Head {
    /// Whether the run is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }
}

impl Run {
    /// A new run of this plan, in its first round. A plan without steps has succeeded at once.
    pub fn new(id: crate::RunId, plan: Arc<Plan>, epoch: u64, now_ms: u64) -> Run {
        let phase = if plan.steps.is_empty() {
            Phase::Ended {
                at_ms: now_ms,
                end: End::Succeeded,
            }
        } else {
            Phase::Running {
                deadline_ms: now_ms.saturating_add(plan.timeout_ms),
            }
        };
        let head = Head {
            revision: 1,
            epoch,
            round: 1,
            created_ms: now_ms,
            updated_ms: now_ms,
            phase,
        };
        let steps = plan.steps.iter().map(|_| Arc::new(Step::begin(1, 0)));
        let steps = steps.collect();
        Run {
            id,
            plan,
            head,
            steps,
        }
    }

    /// Folds one input into the next state. `None` says that nothing changes: the answer is late,
    /// repeated or of another attempt, the request is refused, or nothing is due.
    ///
    /// Deadlines are enforced by [`Input::Tick`]; that of the run by [`Input::Start`] too. So an answer
    /// that is here counts even if its deadline was over before anybody looked, and attempts that died
    /// with the host are started again, one by one, before its downtime is held against them.
    pub fn on(&self, input: &Input, now_ms: u64) -> Option<Run> {
        let mut change = Change::of(self, now_ms);
        change.clamp();
        match input {
            Input::Tick => change.enforce(),
            &Input::Start {
                step,
                attempt,
                placement,
            } => change.start(step, attempt, placement),
            &Input::Delivered { step, attempt } => change.delivered(step, attempt),
            Input::Answer {
                step,
                attempt,
                answer,
            } => change.answer(*step, *attempt, answer),
            &Input::Cancel { force } => change.cancel(force),
            &Input::Retry { from } => change.retry_from(from),
            &Input::Claim { epoch } => change.claim(epoch),
        }
        change.settle();
        change.done()
    }

    /// The key of a step in its round, `<run id>/<step id>/<round>`: the same for all its attempts, so
    /// that whoever is called can tell a repetition.
    ///
    /// # Panics
    ///
    /// If the run has no such step. Those that [`Run::wanted`] names it has.
    pub fn key(&self, step: u32) -> String {
        let (Some(plan), Some(step)) = (self.plan.step(step), self.step(step)) else {
            panic!(
                "run {} has {} steps, none of number {step}",
                self.id,
                self.steps.len()
            );
        };
        format!("{}/{}/{}", self.id, plan.id, step.round)
    }

    /// When the attempt of this step that is under way is ended unless it has answered: its own deadline or that of
    /// the run, whichever comes first.
    pub fn attempt_deadline_ms(&self, step: u32) -> Option<u64> {
        let own_ms = self.step(step)?.deadline_ms()?;
        match self.head.phase {
            Phase::Running {
                deadline_ms: run_ms,
            }
            | Phase::Cancelling { until_ms: run_ms } => Some(own_ms.min(run_ms)),
            Phase::Ended { .. } => None,
        }
    }

    /// Whether an answer of this attempt would count. After an [`Input::Start`], whether the attempt
    /// is to run: it is not where it was the start too many.
    pub fn is_open(&self, step: u32, attempt: u32) -> bool {
        self.step(step).and_then(Step::open_attempt) == Some(attempt)
    }

    /// Whether the run is over.
    pub fn is_ended(&self) -> bool {
        self.head.is_ended()
    }

    pub(crate) fn step(&self, step: u32) -> Option<&Step> {
        self.steps.get(step as usize).map(Arc::as_ref)
    }
}
