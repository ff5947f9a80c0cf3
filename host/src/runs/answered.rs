//! What each driver answered last about a resource, whichever of its runs that was.
//!
//! Written in the commit that ends a run, and kept when the run goes: then with the output, which goes with the run.

use super::results::{answer_of, conveyor_result};
use super::{Runs, RunsError};
use crate::documents::DRIVER_RESULT;
use crate::records::{AnsweredRecord, AttemptId, RunRecord, decode, encode};
use crate::store::{Batch, Order, StoreError};
use beltline_engine::{Run, RunId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Drivers of one resource that are looked at.
const DRIVERS_MAX: usize = 500;

/// Adds to a run's end what its drivers answered; of a driver with several steps, the last.
pub(super) fn answered(batch: Batch, kind: &str, resource: &str, run: &Run) -> Batch {
    let mut last = BTreeMap::new();
    for (step, (plan, now)) in (0_u32..).zip(run.plan.steps.iter().zip(&run.steps)) {
        if let Some((success, message)) = answer_of(&now.state) {
            let record = AnsweredRecord {
                run: run.id,
                success,
                message,
                output: Some(AttemptId {
                    step,
                    attempt: now.attempts,
                }),
                data: None,
            };
            last.insert(plan.driver.as_str(), record);
        }
    }
    let prefix = answered_prefix(kind, resource);
    last.into_iter().fold(batch, |batch, (driver, record)| {
        batch.put(format!("{prefix}{driver}"), encode(record))
    })
}

impl Runs {
    /// What each driver answered last about a resource, in runs that were made since that one: JSON text under its name in a
    /// resource's `metadata`.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn answers(
        &self,
        kind: &str,
        resource: &str,
        since: Option<RunId>,
    ) -> Result<Map<String, Value>, RunsError> {
        let prefix = answered_prefix(kind, resource);
        let mut answers = Map::new();
        for found in self.answered(&prefix).await? {
            let record: AnsweredRecord = decode(&found.key, &found.value)?;
            // That one was of another resource of this name, which has gone.
            if since.is_some_and(|since| record.run < since) {
                continue;
            }
            let driver = found.key.strip_prefix(&prefix).unwrap_or_default();
            let data = self.data(&record).await?;
            let result = conveyor_result(driver, record.success, &record.message, data.as_deref());
            answers.insert(format!("{DRIVER_RESULT}{driver}"), result);
        }
        Ok(answers)
    }

    /// Keeps what a run's drivers answered beyond the run itself, where none has answered since.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn keep_answers(&self, of: &RunRecord) -> Result<(), RunsError> {
        let prefix = answered_prefix(&of.kind, &of.resource);
        for found in self.answered(&prefix).await? {
            let record: AnsweredRecord = decode(&found.key, &found.value)?;
            if record.run != of.run || record.output.is_none() {
                continue;
            }
            let kept = AnsweredRecord {
                data: self.data(&record).await?,
                output: None,
                ..record
            };
            let batch = Batch::new().expect(&found.key, found.revision);
            match self.store.commit(batch.put(&found.key, encode(kept))).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Adds to the end of a resource that its answers go.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_answers(
        &self,
        batch: Batch,
        kind: &str,
        resource: &str,
    ) -> Result<Batch, RunsError> {
        let found = self.answered(&answered_prefix(kind, resource)).await?;
        Ok(found
            .iter()
            .fold(batch, |batch, one| batch.delete(&one.key)))
    }

    async fn answered(&self, prefix: &str) -> Result<Vec<crate::store::Record>, RunsError> {
        let found = self.store.scan(prefix, None, Order::Ascending, DRIVERS_MAX);
        Ok(found.await?)
    }

    async fn data(&self, record: &AnsweredRecord) -> Result<Option<String>, RunsError> {
        let Some(AttemptId { step, attempt }) = record.output else {
            return Ok(record.data.clone());
        };
        let output = self.output(record.run, step, attempt).await?;
        Ok(output.map(|text| text.to_string()))
    }
}

fn answered_prefix(kind: &str, resource: &str) -> String {
    format!("answered/{kind}/{resource}/")
}
