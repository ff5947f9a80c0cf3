//! The one place where the records of a run become what people and programs see.
//!
//! Owns the JSON of a run and of what happens to it, the same from every command and from the API. Never reads a
//! store: what is shown was read by its caller.

mod event;

pub use event::{EventView, events};

use crate::clock::rfc3339;
use crate::digest::Digest;
use crate::documents::Grants;
use crate::ledger::Ledger;
use crate::records::{AttemptId, DriverRecord, EventRecord, IgnoredRecord, LedgerRecord};
use crate::runs::StoredRun;
use beltline_engine::{
    AttemptEnd, End, Event, Failure, Phase, Placement, Run, RunStatus, Step, StepState, StepStatus,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::ToSchema;

/// A run, whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    pub run: String,
    /// Its status in one word.
    #[schema(value_type = String, example = "succeeded")]
    pub status: RunStatus,
    /// The pipeline's name; none where its resource named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Why its drivers are called: `create`, `update` or `resync`.
    pub event: String,
    /// The resource that went through it.
    pub resource: ResourceView,
    /// Its round.
    pub round: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// From the begin of its round to its end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailureView>,
    /// Its steps, in order.
    pub steps: Vec<StepView>,
    /// Its drivers, by the operator's name for them.
    pub drivers: BTreeMap<String, RunDriverView>,
    /// The directory that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<PathBuf>,
    /// Where its steps put what they made.
    #[schema(value_type = String)]
    pub out: PathBuf,
    /// The run whose snapshots it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// Answers of native drivers that were not taken, the first of them; not in an outline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredView>,
    /// Whether it has not ended and nobody carries it: its owner is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
    /// How far it had come when it was told to go on; only in the answer to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<SinceView>,
    /// What whoever started it may want to know; only in the answer to that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How far a run had come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct SinceView {
    /// Its revision.
    pub revision: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
}

impl SinceView {
    /// The id, in the stream of a run's progress, of the last that had come about.
    pub fn id(self) -> String {
        let SinceView {
            revision,
            log_bytes,
        } = self;
        format!("{revision}.{}.{log_bytes}", u32::MAX)
    }
}

/// A driver, as it was when the run was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunDriverView {
    /// Where it runs: `wasm` or `native`.
    pub placement: Cow<'static, str>,
    /// Of its bytes, where it runs here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// Its own version, where its manifest has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it was granted.
    #[schema(value_type = Object)]
    pub grants: Grants,
}

impl From<&DriverRecord> for RunDriverView {
    fn from(record: &DriverRecord) -> Self {
        RunDriverView {
            placement: match record.digest {
                Some(_) => "wasm".into(),
                None => "native".into(),
            },
            digest: record.digest,
            version: record.version.clone(),
            grants: record.grants,
        }
    }
}

/// An answer that was not taken.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IgnoredView {
    /// When it came, RFC 3339.
    pub at: String,
    /// Whose it is, as it says.
    pub driver: String,
    /// The step that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The attempt that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why not.
    pub reason: String,
}

impl From<IgnoredRecord> for IgnoredView {
    fn from(record: IgnoredRecord) -> Self {
        IgnoredView {
            at: rfc3339(record.at_ms),
            driver: record.driver,
            step: record.step,
            attempt: record.attempt,
            reason: record.reason,
        }
    }
}

/// A resource, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResourceView {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunFailureView {
    /// The step that failed first.
    pub step: String,
    /// How.
    #[serde(flatten)]
    pub failure: FailureView,
}

/// A failure.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// Its kind in one word.
    pub kind: Cow<'static, str>,
    /// For a person.
    pub reason: String,
}

/// A step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// Its driver's name.
    pub driver: String,
    /// Its status in one word.
    #[schema(value_type = String, example = "succeeded")]
    pub status: StepStatus,
    /// The round that the status is of.
    pub round: u32,
    /// The outcome's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// From its first start of this round to its end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// All attempts of all rounds, oldest first; not in an outline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptView>>,
    /// What it left for later steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// An attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Its number, counted on through all rounds.
    pub attempt: u32,
    /// Its round.
    pub round: u32,
    /// Where it ran: `wasm` or `native`.
    pub placement: Cow<'static, str>,
    /// How often it was started; more than once where a host went down with it.
    pub starts: u32,
    /// When it was last started, RFC 3339.
    pub started_at: String,
    #[serde(skip)]
    pub(crate) started_ms: u64,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// From its last start to its end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The driver's words, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// `false`, where a native driver's answer did not show what it is the answer to, and was taken all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<bool>,
    /// What it used, where the host that performed it saw its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerView>,
}

/// What an attempt used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LedgerView {
    /// CPU time in milliseconds, the host's on its behalf included.
    pub cpu_ms: f64,
    /// Wall time in milliseconds.
    pub wall_ms: f64,
    /// The most linear memory that it held, in bytes.
    pub memory_bytes: u64,
    /// Calls into the host: imports, and memory that grows.
    pub host_calls: u64,
    /// Calls that asked for what it was not granted.
    pub calls_denied: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Bytes of log lines kept.
    pub log_bytes: u64,
}

impl From<Ledger> for LedgerView {
    fn from(ledger: Ledger) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        LedgerView {
            cpu_ms: ms(ledger.cpu_us),
            wall_ms: ms(ledger.wall_us),
            memory_bytes: ledger.memory_bytes,
            host_calls: ledger.host_calls,
            calls_denied: ledger.calls_denied,
            bytes_read: ledger.bytes_read,
            bytes_written: ledger.bytes_written,
            log_bytes: ledger.log_bytes,
        }
    }
}

impl RunView {
    /// Of a run, what happened to it, and what its steps left (one for each step).
    pub fn new(stored: &StoredRun, events: &[EventRecord], outputs: &[Option<Arc<str>>]) -> Self {
        let mut view = RunView::outline(stored);
        let attempts = attempts(&stored.run, events);
        for ((step, attempts), output) in view.steps.iter_mut().zip(attempts).zip(outputs) {
            step.attempts = Some(attempts);
            step.output = output.as_deref().map(json);
        }
        view
    }

    /// Of a run, without its attempts and outputs.
    pub fn outline(stored: &StoredRun) -> Self {
        let (run, record) = (&stored.run, &stored.record);
        let ended_ms = ended_ms(run);
        let steps = run.plan.steps.iter().zip(&run.steps);
        let steps = steps.map(|(plan, step)| StepView {
            id: plan.id.clone(),
            driver: plan.driver.clone(),
            status: step.state.status(),
            round: step.round,
            message: outcome_message(&step.state),
            failure: failure(&step.state).map(FailureView::from),
            elapsed_ms: elapsed_ms(step),
            attempts: None,
            output: None,
        });
        RunView {
            run: run.id.to_string(),
            status: run.status(),
            pipeline: named(&record.pipeline),
            event: record.event.clone(),
            resource: ResourceView {
                kind: record.kind.clone(),
                name: record.resource.clone(),
            },
            round: run.head.round,
            created_at: rfc3339(record.created_ms),
            ended_at: ended_ms.map(rfc3339),
            elapsed_ms: ended_ms.map(|at| at.saturating_sub(round_began_ms(run))),
            failure: run_failure(run),
            steps: steps.collect(),
            drivers: record
                .drivers
                .iter()
                .map(|(name, driver)| (name.clone(), driver.into()))
                .collect(),
            workspace: record.workspace.clone(),
            out: record.out.clone(),
            rerun_of: record.rerun_of.map(|id| id.to_string()),
            ignored: Vec::new(),
            cut_off: false,
            since: None,
            notes: Vec::new(),
        }
    }
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        FailureView {
            kind: failure.kind.as_str().into(),
            reason: failure.reason.clone(),
        }
    }
}

/// What a step's state says to a person: the outcome's message or the failure's reason.
pub fn message(state: &StepState) -> &str {
    match state {
        StepState::Succeeded { message, .. } => message,
        StepState::Cancelled { reason, .. } => reason.as_deref().unwrap_or_default(),
        StepState::Retrying { .. }
        | StepState::Failed { .. }
        | StepState::TimedOut { .. }
        | StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Skipped { .. } => failure(state).map_or("", |failure| &failure.reason),
    }
}

/// From a step's first start of its round to its end, in milliseconds.
pub fn elapsed_ms(step: &Step) -> Option<u64> {
    let ended = match step.state {
        StepState::Succeeded { at_ms, .. }
        | StepState::Failed { at_ms, .. }
        | StepState::Cancelled { at_ms, .. }
        | StepState::TimedOut { at_ms, .. } => at_ms,
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Retrying { .. }
        | StepState::Skipped { .. } => return None,
    };
    step.first_started_ms
        .map(|started| ended.saturating_sub(started))
}

fn outcome_message(state: &StepState) -> Option<String> {
    let message = message(state);
    (failure(state).is_none() && !message.is_empty()).then(|| message.to_owned())
}

fn failure(state: &StepState) -> Option<&Failure> {
    match state {
        StepState::Retrying { failure, .. }
        | StepState::Failed { failure, .. }
        | StepState::TimedOut { failure, .. } => Some(failure),
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Succeeded { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. } => None,
    }
}

fn run_failure(run: &Run) -> Option<RunFailureView> {
    match &run.head.phase {
        Phase::Ended {
            end: End::Failed { step, failure },
            ..
        } => {
            let step = run.plan.steps.get(*step as usize)?.id.clone();
            Some(RunFailureView {
                step,
                failure: failure.into(),
            })
        }
        Phase::Ended {
            end: End::Succeeded | End::Cancelled | End::TimedOut,
            ..
        }
        | Phase::Running { .. }
        | Phase::Cancelling { .. } => None,
    }
}

/// When the run's round began: with the run, or with the first step that a retry covers.
fn round_began_ms(run: &Run) -> u64 {
    if run.head.round == 1 {
        return run.head.created_ms;
    }
    let covered = run.steps.iter().filter(|step| step.round == run.head.round);
    let began = covered.filter_map(|step| step.first_started_ms).min();
    began.unwrap_or(run.head.updated_ms)
}

fn placement_word(placement: Placement) -> &'static str {
    match placement {
        Placement::Wasm { .. } => "wasm",
        Placement::Native => "native",
    }
}

fn named(pipeline: &str) -> Option<String> {
    Some(pipeline.to_owned()).filter(|name| !name.is_empty())
}

fn ended_ms(run: &Run) -> Option<u64> {
    match run.head.phase {
        Phase::Ended { at_ms, .. } => Some(at_ms),
        Phase::Running { .. } | Phase::Cancelling { .. } => None,
    }
}

/// An output is checked when it is taken; one that is no JSON all the same is shown as the text that it is.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// The attempts of each step, from what happened.
fn attempts(run: &Run, records: &[EventRecord]) -> Vec<Vec<AttemptView>> {
    let mut all: Vec<Vec<AttemptView>> = run.steps.iter().map(|_| Vec::new()).collect();
    let mut round = 1;
    for record in records {
        for event in &record.events {
            match event {
                Event::RoundStarted { round: next, .. } => round = *next,
                Event::AttemptStarted {
                    step,
                    attempt,
                    start,
                    placement,
                } => {
                    if let Some(attempts) = all.get_mut(*step as usize) {
                        began(attempts, *attempt, round, *placement, *start, record.at_ms);
                    }
                }
                Event::AttemptWaiting { step, attempt, .. } => {
                    if let Some(attempts) = all.get_mut(*step as usize) {
                        began(
                            attempts,
                            *attempt,
                            round,
                            Placement::Native,
                            1,
                            record.at_ms,
                        );
                    }
                }
                Event::AttemptEnded { step, attempt, end } => {
                    if let Some(attempts) = all.get_mut(*step as usize) {
                        let of = |known: &&LedgerRecord| {
                            (known.step, known.attempt) == (*step, *attempt)
                        };
                        let ledger = record.ledgers.iter().find(of).map(|known| known.ledger);
                        ended(attempts, *attempt, end, ledger, record.at_ms);
                        let of =
                            |known: &AttemptId| (known.step, known.attempt) == (*step, *attempt);
                        if let Some(view) = attempts.last_mut()
                            && record.unfenced.iter().any(of)
                        {
                            view.fenced = Some(false);
                        }
                    }
                }
                Event::RunStarted { .. }
                | Event::RunClaimed { .. }
                | Event::RunCancelling { .. }
                | Event::RetryScheduled { .. }
                | Event::StepEnded { .. }
                | Event::RunEnded { .. } => {}
            }
        }
    }
    all
}

fn began(
    attempts: &mut Vec<AttemptView>,
    attempt: u32,
    round: u32,
    placement: Placement,
    starts: u32,
    at_ms: u64,
) {
    attempts.retain(|known| known.attempt != attempt);
    attempts.push(AttemptView {
        attempt,
        round,
        placement: placement_word(placement).into(),
        starts,
        started_at: rfc3339(at_ms),
        started_ms: at_ms,
        ended_at: None,
        elapsed_ms: None,
        message: None,
        failure: None,
        fenced: None,
        ledger: None,
    });
}

fn ended(
    attempts: &mut [AttemptView],
    attempt: u32,
    end: &AttemptEnd,
    ledger: Option<Ledger>,
    at_ms: u64,
) {
    let Some(view) = attempts.iter_mut().find(|known| known.attempt == attempt) else {
        return;
    };
    view.ended_at = Some(rfc3339(at_ms));
    view.elapsed_ms = Some(at_ms.saturating_sub(view.started_ms));
    view.ledger = ledger.map(LedgerView::from);
    (view.message, view.failure) = event::ended(end);
}
