//! What ran in this process, told on the broker beside the answers of native drivers, so that those who watch see one stream.
//!
//! Told after it is stored, and off the path of the run: where the broker cannot keep up, something is left out and counted.

use super::Bridge;
use crate::runs::RunsError;
use beltline_engine::{Run, RunId, StepState};
use beltline_wire::subjects::RESULT_SUBJECT;
use beltline_wire::{DriverFailure, DriverOutcome, DriverResult};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;

/// Steps that wait to be told.
const QUEUE_MAX: usize = 10_000;

/// A step that has ended in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedHere {
    pub(crate) run: RunId,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<EndedHere>>,
    more: Notify,
}

impl Bridge {
    /// A step has ended here, durably.
    pub(crate) fn ended_here(&self, ended: EndedHere) {
        let mut waiting = self.announced.waiting.lock();
        if waiting.len() >= QUEUE_MAX {
            self.counts.unannounced.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(ended);
        drop(waiting);
        self.announced.more.notify_one();
    }

    /// Tells for as long as the host is there.
    pub(super) async fn announce(self: Arc<Self>) {
        loop {
            let next = self.announced.waiting.lock().pop_front();
            let Some(ended) = next else {
                self.announced.more.notified().await;
                continue;
            };
            let Some(owner) = self.owner() else { return };
            let result = self.result(&owner, ended).await;
            let is_told = match result {
                Ok(Some(result)) => {
                    let body = serde_json::to_vec(&result).expect("it has string keys");
                    let client = &self.connection.client;
                    let fits = body.len() <= client.max_payload();
                    fits && self.connection.is_there()
                        && client.publish(RESULT_SUBJECT, body.into()).await.is_ok()
                }
                Ok(None) => true,
                Err(_) => false,
            };
            if !is_told {
                self.counts.unannounced.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn result(
        &self,
        owner: &crate::owner::Owner,
        ended: EndedHere,
    ) -> Result<Option<DriverResult>, RunsError> {
        let EndedHere { run, step, attempt } = ended;
        let Some(stored) = owner.runs().load(run).await? else {
            return Ok(None);
        };
        let output = owner.runs().output(run, step, attempt).await?;
        let data = output.and_then(|text| serde_json::from_str(&text).ok());
        let plan = stored.run.plan.steps.get(step as usize);
        let outcome = outcome(&stored.run, step, data.unwrap_or(Value::Null));
        let (Some(plan), Some(driverresult)) = (plan, outcome) else {
            return Ok(None);
        };
        Ok(Some(DriverResult {
            event: "driver.result".to_owned(),
            run_id: run.to_string(),
            resource: serde_json::from_str(&stored.resource).unwrap_or_default(),
            driverresult,
            step_id: Some(plan.id.clone()),
            attempt: Some(attempt),
            token: None,
            log_sequence: None,
            host: Some(self.host.clone()),
        }))
    }
}

fn outcome(run: &Run, step: u32, data: Value) -> Option<DriverOutcome> {
    let driver = run.plan.steps.get(step as usize)?.driver.clone();
    let state = &run.steps.get(step as usize)?.state;
    let message = crate::view::message(state).to_owned();
    let failure = match state {
        StepState::Succeeded { .. } => None,
        StepState::Retrying { .. } => Some(DriverFailure::Retryable),
        StepState::Failed { .. } | StepState::TimedOut { .. } => Some(DriverFailure::Permanent),
        StepState::Cancelled { .. } => Some(DriverFailure::Cancelled),
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Skipped { .. } => return None,
    };
    Some(DriverOutcome {
        success: failure.is_none(),
        message,
        data,
        driver,
        failure,
        ..DriverOutcome::default()
    })
}
