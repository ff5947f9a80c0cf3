//! What happened to a run, as people and programs see it: one event each, in one flat form.

use super::{FailureView, LedgerView, placement_word};
use crate::clock::rfc3339;
use crate::records::EventRecord;
use beltline_engine::{AttemptEnd, Event, Plan, RunStatus, StepStatus};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// Something that happened to a run. Which fields are there goes by `event`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The revision of the run that it led to, a dot, and its place among those of that revision: grows within a run.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// What: `run_started`, `round_started`, `run_claimed`, `run_cancelling`, `attempt_waiting`, `attempt_started`,
    /// `attempt_ended`, `retry_scheduled`, `step_ended` or `run_ended`.
    pub event: Cow<'static, str>,
    /// The step's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The round that begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// The steps of a run that begins, or those that a new round covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<String>>,
    /// How a step or the run ended, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Cow<'static, str>>,
    /// The driver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How an attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// What an attempt used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerView>,
    /// Where an attempt runs: `wasm` or `native`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Cow<'static, str>>,
    /// Which start of this very attempt it is; more than 1 after a crash of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// When the next attempt begins, or until when something is waited for at most, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The epoch of the run's new owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// What one commit meant, in order. `revision` is that which it led to.
pub fn events(plan: &Plan, revision: u64, record: &EventRecord) -> Vec<EventView> {
    let all = record.events.iter().enumerate();
    all.map(|(place, event)| EventView {
        id: format!("{revision}.{place}"),
        at: rfc3339(record.at_ms),
        ..view(plan, record, event)
    })
    .collect()
}

fn view(plan: &Plan, record: &EventRecord, event: &Event) -> EventView {
    let id = |step: &u32| plan.steps.get(*step as usize).map(|step| step.id.clone());
    let none = EventView::default();
    match event {
        Event::RunStarted { .. } => EventView {
            event: "run_started".into(),
            steps: Some(plan.steps.iter().map(|step| step.id.clone()).collect()),
            ..none
        },
        Event::RoundStarted { round, steps } => EventView {
            event: "round_started".into(),
            round: Some(*round),
            steps: Some(steps.iter().filter_map(id).collect()),
            ..none
        },
        Event::RunClaimed { epoch } => EventView {
            event: "run_claimed".into(),
            epoch: Some(*epoch),
            ..none
        },
        Event::RunCancelling { until_ms } => EventView {
            event: "run_cancelling".into(),
            until: Some(rfc3339(*until_ms)),
            ..none
        },
        Event::AttemptWaiting {
            step,
            attempt,
            deadline_ms,
        } => EventView {
            event: "attempt_waiting".into(),
            step: id(step),
            attempt: Some(*attempt),
            until: Some(rfc3339(*deadline_ms)),
            ..none
        },
        Event::AttemptStarted {
            step,
            attempt,
            start,
            placement,
        } => EventView {
            event: "attempt_started".into(),
            step: id(step),
            attempt: Some(*attempt),
            start: Some(*start),
            placement: Some(placement_word(*placement).into()),
            ..none
        },
        Event::AttemptEnded { step, attempt, end } => {
            let mut ledgers = record.ledgers.iter();
            let ledger = ledgers.find(|one| (one.step, one.attempt) == (*step, *attempt));
            let (message, failure) = ended(end);
            EventView {
                event: "attempt_ended".into(),
                step: id(step),
                attempt: Some(*attempt),
                message,
                failure,
                ledger: ledger.map(|one| one.ledger.into()),
                ..none
            }
        }
        Event::RetryScheduled {
            step,
            attempt,
            at_ms,
        } => EventView {
            event: "retry_scheduled".into(),
            step: id(step),
            attempt: Some(*attempt),
            status: Some(StepStatus::Retrying.as_str().into()),
            until: Some(rfc3339(*at_ms)),
            ..none
        },
        Event::StepEnded { step, status } => EventView {
            event: "step_ended".into(),
            step: id(step),
            status: Some(status.as_str().into()),
            ..none
        },
        Event::RunEnded { status, step } => EventView {
            event: "run_ended".into(),
            step: step.as_ref().and_then(id),
            status: Some(RunStatus::as_str(*status).into()),
            ..none
        },
    }
}

/// The words of an attempt's end: the driver's, or why it failed.
pub(super) fn ended(end: &AttemptEnd) -> (Option<String>, Option<FailureView>) {
    match end {
        AttemptEnd::Succeeded { message, .. } => (Some(message.clone()), None),
        AttemptEnd::Failed(failure) => (None, Some(failure.into())),
        AttemptEnd::Cancelled { reason } => {
            let reason = reason.clone();
            let reason = reason.unwrap_or_else(|| "the run was cancelled".to_owned());
            let kind = "cancelled".into();
            (None, Some(FailureView { kind, reason }))
        }
    }
}
