//! One attempt: a fresh store, the call, and how it ended.
//!
//! The future runs wholly on the thread that polls it, file calls included, and yields at each epoch tick. To
//! stop an attempt, drop the future: when the drop returns, the attempt has ended and nothing of it goes on.

use super::bindings::beltline::driver::types::{Failure, Outcome, Request};
use super::context::RunContext;
use super::ended::{self, Ended};
use super::guest::{Given, Guest};
use super::limits::{HOST_CALL_BYTES, MESSAGE_BYTES, OverLimit};
use super::meter::Meter;
use super::step_log::StepLog;
use super::{CancelFlag, Folder, Loaded};
use crate::logs::LogSink;
use crate::{clock, documents, text};
use serde::de::IgnoredAny;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use wasmtime::{CallHook, PoolConcurrencyLimitError, Store, StoreContextMut, UpdateDeadline};

/// What one attempt is made with.
pub struct Attempt {
    /// What `reconcile` is called with.
    pub request: Request,
    /// The run, as `run-context` shows it.
    pub context: Arc<dyn RunContext>,
    /// Where the guest's lines go.
    pub log: Arc<dyn LogSink>,
    /// Set when the run is asked to stop; the guest may look.
    pub cancel: CancelFlag,
    /// The granted folders.
    pub folders: Arc<[Folder]>,
    /// Counts what it uses; whoever stops the attempt reads it all the same.
    pub meter: Arc<Meter>,
}

impl Loaded {
    /// Calls the driver once.
    ///
    /// # Errors
    /// A fault of the host: a granted folder that cannot be opened, an instance that cannot be had, a store
    /// that does not answer. It is not the driver's, and the attempt has not ended by itself.
    pub async fn attempt(&self, attempt: Attempt) -> anyhow::Result<Ended> {
        let Attempt {
            request,
            context,
            log,
            cancel,
            folders,
            meter,
        } = attempt;
        let info = &request.info;
        let log = StepLog::new(log, &info.step_id, info.attempt, self.limits, &meter);
        let ending = log.ending();
        let guest = Guest::new(Given {
            limits: self.limits,
            meter: Arc::clone(&meter),
            log,
            cancel,
            context,
            config: Arc::clone(&self.config),
            folders: &folders,
        })?;
        let mut store = Store::new(self.pre.engine(), guest);
        store.call_hook(count_host_calls);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|guest| {
            // The hook has counted this look-up as a call; the guest made none.
            guest.data().meter.host_calls.take_back(1);
            Ok(UpdateDeadline::Yield(1))
        });
        let call = self.call(&mut store, &request);
        let called = within(self.limits.cpu, &meter, call).await;
        drop(ending);
        match called {
            Err(over) => Ok(Ended::Limit(
                over,
                "it was stopped while it computed".to_owned(),
            )),
            Ok(Ok(Ok(outcome))) => Ok(checked(outcome, self.limits.output_bytes)),
            Ok(Ok(Err(failure))) => Ok(Ended::Failure(failure)),
            Ok(Err(error)) => match ended::from_error(&error, store.data()) {
                Some(ended) => Ok(ended),
                None => Err(store
                    .into_data()
                    .fault
                    .unwrap_or_else(|| super::fault(error))),
            },
        }
    }

    async fn call(
        &self,
        store: &mut Store<Guest>,
        request: &Request,
    ) -> wasmtime::Result<Result<Outcome, Failure>> {
        let instance = self.pre.instantiate_async(&mut *store).await;
        let driver = instance.map_err(|error| blame(error, store.data_mut()))?;
        driver
            .beltline_driver_reconciler()
            .call_reconcile(store, request)
            .await
    }
}

/// An instance that cannot be had is the driver's doing, unless it is the machine that has no room for it.
fn blame(error: wasmtime::Error, guest: &mut Guest) -> wasmtime::Error {
    let ours = error.downcast_ref::<io::Error>().is_some()
        || error.downcast_ref::<PoolConcurrencyLimitError>().is_some();
    if !ours {
        return error;
    }
    guest.fault = Some(super::fault(error).context("no room for an instance"));
    wasmtime::Error::msg("a fault of the host")
}

/// Memory that grows is counted with them: that is a call into the host as well.
fn count_host_calls(guest: StoreContextMut<'_, Guest>, hook: CallHook) -> wasmtime::Result<()> {
    if let CallHook::CallingHost = hook {
        guest.data().meter.host_calls.add(1);
    }
    Ok(())
}

/// Runs a future for as long as it spends no more CPU time than that: its thread's clock, read around each poll. A
/// guest looks up at each epoch tick, so that is how closely the limit is held.
async fn within<F: Future>(
    limit: Duration,
    meter: &Meter,
    future: F,
) -> Result<F::Output, OverLimit> {
    let mut future = pin!(future);
    let limit_us = micros(limit);
    poll_fn(|context| {
        let watch = clock::CpuWatch::start();
        let polled = future.as_mut().poll(context);
        match (polled, meter.cpu_us.add(micros(watch.spent())) > limit_us) {
            (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
            (Poll::Pending, true) => Poll::Ready(Err(OverLimit {
                limit: "cpu",
                value: documents::format_duration(limit),
            })),
            (Poll::Pending, false) => Poll::Pending,
        }
    })
    .await
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An outcome within its limits, or the limit or the lie.
fn checked(outcome: Outcome, output_bytes_max: u64) -> Ended {
    let Outcome {
        message,
        output,
        requeue_after_ms,
        extra: _,
    } = outcome;
    if let Some(output) = &output {
        let bytes = output.len() as u64;
        if bytes > output_bytes_max {
            let over = OverLimit::bytes("output", output_bytes_max);
            let reason = format!("the output has {bytes} bytes");
            return Ended::Limit(over, reason);
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(output) {
            return Ended::Trap(format!("the output is not JSON: {error}"));
        }
    }
    let message = text::cut(&message, MESSAGE_BYTES);
    Ended::Outcome {
        message,
        output: output.map(Arc::from),
        requeue_after_ms,
    }
}
