//! What ran in this process, told on the broker beside the answers of native drivers, so that those who watch see one stream.
//!
//! Told after it is stored, and off the path of the run: where the broker cannot keep up, something is left out and counted.

use super::Bridge;
use crate::runs::RunsError;
use beltline_engine::{AttemptEnd, FailureKind, RunId};
use beltline_wire::subjects::RESULT_SUBJECT;
use beltline_wire::{DriverFailure, DriverOutcome, DriverResult};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;

/// Attempts that wait to be told.
const QUEUE_MAX: usize = 10_000;

/// An attempt that has ended in this process.
#[derive(Debug, Clone)]
pub(crate) struct EndedHere {
    pub(crate) run: RunId,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    pub(crate) end: AttemptEnd,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<EndedHere>>,
    more: Notify,
}

impl Bridge {
    /// An attempt has ended here, durably.
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
        let EndedHere {
            run,
            step,
            attempt,
            end,
        } = ended;
        let Some(stored) = owner.runs().load(run).await? else {
            return Ok(None);
        };
        let Some(plan) = stored.run.plan.steps.get(step as usize) else {
            return Ok(None);
        };
        let output = owner.runs().output(run, step, attempt).await?;
        let data = output.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Some(DriverResult {
            event: "driver.result".to_owned(),
            run_id: run.to_string(),
            resource: serde_json::from_str(&stored.resource).unwrap_or_default(),
            driverresult: outcome(end, plan.driver.clone(), data.unwrap_or_default()),
            step_id: Some(plan.id.clone()),
            attempt: Some(attempt),
            token: None,
            log_sequence: None,
            host: Some(self.identity.host.clone()),
        }))
    }
}

fn outcome(end: AttemptEnd, driver: String, data: Value) -> DriverOutcome {
    let (failure, message) = match end {
        AttemptEnd::Succeeded { message, .. } => (None, message),
        AttemptEnd::Failed(failure) => {
            let kind = match failure.kind {
                FailureKind::Permanent => DriverFailure::Permanent,
                FailureKind::Retryable { .. } => DriverFailure::Retryable,
                FailureKind::Cancelled => DriverFailure::Cancelled,
                FailureKind::Other
                | FailureKind::Trap
                | FailureKind::Limit
                | FailureKind::Lost
                | FailureKind::AttemptTimeout
                | FailureKind::QueueTimeout
                | FailureKind::RunTimeout => DriverFailure::Other,
            };
            (Some(kind), failure.reason)
        }
        AttemptEnd::Cancelled { reason } => {
            (Some(DriverFailure::Cancelled), reason.unwrap_or_default())
        }
    };
    DriverOutcome {
        success: failure.is_none(),
        message,
        data,
        driver,
        failure,
        ..DriverOutcome::default()
    }
}
