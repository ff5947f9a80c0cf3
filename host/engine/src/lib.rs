//! The run machine of Beltline: what a run is, and what becomes of it with each input.
//!
//! This crate owns the rules of a run: which step may begin when, what is retried and when, what a
//! deadline that passed means, how a cancel and a retry go, and how a run ends. It never does
//! anything: no I/O, no clock, no threads, no randomness. Time comes in as an argument (`now_ms`,
//! Unix milliseconds), and jitter is derived from the run's id.
//!
//! Its caller, the shell, owns everything else, and goes round this loop:
//!
//! 1. load the run, or make one ([`Run::new`]);
//! 2. fold an input ([`Run::on`]); `None` says that nothing changed;
//! 3. save the new state, comparing the revision it replaces; what changed are the head and the
//!    steps that are no longer the same `Arc`; what it means for a person says [`events`];
//! 4. see to what the state wants ([`Run::wanted`]), and to nothing else: an attempt no longer
//!    wanted is stopped.
//!
//! Dying between any two of these is harmless: after a crash the shell loads the open runs and goes
//! on at 4. There is no path for recovery and no current step. A shell that comes back starts what
//! it wants first and feeds [`Input::Tick`] after that, so that a wasm attempt, which did not run while
//! the host was down, is not timed out for it.
//!
//! ```
//! # use std::sync::Arc;
//! # use beltline_engine::*;
//! # let plan = Plan { timeout_ms: 3_600_000, steps: vec![PlanStep {
//! #     id: "sbom".into(), driver: "sbom".into(), after: vec![], timeout_ms: 600_000,
//! #     queue_timeout_ms: 3_600_000, retry: Retry::default(), on_lost: OnLost::Retry,
//! # }] };
//! plan.check()?;
//! let mut now_ms = 1_700_000_000_000;
//! let run = Run::new("0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e".parse()?, Arc::new(plan), 1, now_ms);
//! let Some(Effect::Attempt { step, attempt, started: false, .. }) = run.wanted().first().copied()
//! else { panic!("its first step is wanted") };
//!
//! let placement = Placement::Wasm { effects: false };
//! let run = run.on(&Input::Start { step, attempt, placement }, now_ms).expect("the start counts");
//! // Save `run`, and, if `placement.has_effects()`, sync. Then let the driver do it, and:
//! now_ms += 36_000;
//! let answer = Answer::Succeeded { message: "214 packages".to_owned(), output: true };
//! let run = run.on(&Input::Answer { step, attempt, answer }, now_ms).expect("the answer counts");
//! assert_eq!(run.status(), RunStatus::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - One outcome for each (run, step, round): an answer counts only while its attempt is open
//!   ([`Run::is_open`]).
//! - Every open run has a deadline that [`Run::wanted`] names; an [`Input::Tick`] enforces all that have
//!   passed, and leaves none in the past.
//! - [`Run::key`] is the same for all attempts of a step in a round and differs between rounds.
//! - The cost of a transition depends on the number of steps, never on what happened before.
//!
//! # Assumptions
//!
//! - The plan passed [`Plan::check`].
//! - The clock may jump only across restarts of the shell. Forwards, deadlines expire; backwards, no
//!   state gets more time than its whole allowance.

mod id;
mod plan;

mod failure;
mod run;
mod status;
mod step;

mod answer;
mod cancel;
mod change;
mod deadlines;
mod input;
mod retry;
mod rounds;
mod settle;
mod start;

mod events;
mod refusal;
mod wanted;

pub use events::{AttemptEnd, Event, events};
pub use failure::{Answer, Failure, FailureKind};
pub use id::{ParseRunIdError, RunId};
pub use input::Input;
pub use plan::{OnLost, Plan, PlanError, PlanStep, Retry};
pub use refusal::Refusal;
pub use run::{End, Head, Phase, Run};
pub use status::{RunStatus, StepStatus};
pub use step::{Placement, Step, StepState};
pub use wanted::Effect;

pub use cancel::CANCEL_GRACE_MS;
pub use plan::{ATTEMPTS_MAX, FACTOR_MAX, STEPS_MAX, TIMEOUT_MS_MAX};
pub use start::STARTS_MAX;
