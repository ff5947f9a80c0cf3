//! One attempt: a fresh store, the call, and how it ended.
//!
//! The future runs wholly on the thread that polls it, file calls included, and yields at each epoch tick. To
//! stop an attempt, drop the future: when the drop returns, the attempt has ended and nothing of it goes on.

use super::bindings::beltline::driver::types::{Outcome, Request};
use super::context::RunContext;
use super::ended::{self, Ended};
use super::guest::Guest;
use super::limits::{HOST_CALL_BYTES, MESSAGE_BYTES, Memory, OUTPUT_BYTES, OverLimit};
use super::step_log::StepLog;
use super::{CancelFlag, Folder, Loaded};
use crate::text;
use serde::de::IgnoredAny;
use std::sync::Arc;
use wasmtime::{Store, UpdateDeadline};

/// What one attempt is made with.
pub struct Attempt {
    /// What `reconcile` is called with.
    pub request: Request,
    /// The run, as `run-context` shows it.
    pub context: RunContext,
    /// Where the guest's lines go.
    pub log: StepLog,
    /// Set when the run is asked to stop; the guest may look.
    pub cancel: CancelFlag,
    /// The granted folders.
    pub folders: Vec<Folder>,
}

impl Loaded {
    /// Calls the driver once.
    ///
    /// # Errors
    /// A fault of the host: a granted folder that cannot be opened, an instance that cannot be had, a store
    /// that does not answer. It is not the driver's, and the attempt has not ended by itself.
    pub async fn attempt(&self, attempt: Attempt) -> anyhow::Result<Ended> {
        let Attempt { request, context, log, cancel, folders } = attempt;
        let memory = Memory::new(self.limits);
        let config = Arc::clone(&self.config);
        let guest = Guest::new(memory, log.clone(), cancel, context, config, &folders)?;
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let called = self.call(&mut store, &request).await;
        log.finish();
        match called {
            Ok(Ok(outcome)) => Ok(checked(outcome)),
            Ok(Err(failure)) => Ok(Ended::Failure(failure)),
            Err(error) => match ended::from_error(&error, store.data()) {
                Some(ended) => Ok(ended),
                None => Err(store.into_data().fault.unwrap_or_else(|| super::fault(error))),
            },
        }
    }

    async fn call(
        &self,
        store: &mut Store<Guest>,
        request: &Request,
    ) -> wasmtime::Result<Result<Outcome, super::bindings::beltline::driver::types::Failure>> {
        let driver = self.pre.instantiate_async(&mut *store).await?;
        driver.beltline_driver_reconciler().call_reconcile(store, request).await
    }
}

/// An outcome within its limits, or the limit or the lie.
fn checked(outcome: Outcome) -> Ended {
    let Outcome { message, output, requeue_after_ms, extra: _ } = outcome;
    if let Some(output) = &output {
        if output.len() > OUTPUT_BYTES {
            let over = OverLimit::bytes("output", OUTPUT_BYTES as u64);
            let reason = format!("the output has {}", text::size(output.len() as u64));
            return Ended::Limit(over, reason);
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(output) {
            return Ended::Trap(format!("the output is not JSON: {error}"));
        }
    }
    let message = text::cut(&message, MESSAGE_BYTES);
    Ended::Outcome { message, output: output.map(Arc::from), requeue_after_ms }
}
