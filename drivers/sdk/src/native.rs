//! A driver outside a component: as a value, and with a host of the caller's choice.
//!
//! [`crate::driver!`] defines a `DRIVER` of type [`Driver`] wherever the target is not wasm. Whoever has it runs it with
//! [`Driver::call`], and answers what it asks (`context`, `config`, `workspace`, `cancel`, its log) as a [`Host`]:
//! `testing::Harness` does, and `beltline-sdk-native`, which makes a program of it. A driver itself needs none of this.
//!
//! Owns the host of each thread while a driver runs on it. A driver that starts threads of its own asks from the one it
//! was called on; what others log goes nowhere.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::bindings::beltline::driver::types;
use crate::context::Step;
use crate::{Failure, Outcome};

pub(crate) mod asked;

/// A driver: what it says about itself, and its function behind the encoding that a component has.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Driver {
    /// Its name, a single subject token.
    pub name: &'static str,
    /// The kinds it reconciles; empty for any.
    pub kinds: &'static [&'static str],
    /// Its manifest, JSON text.
    pub manifest: &'static str,
    reconcile: Reconcile,
}

type Reconcile = fn(types::Request) -> Result<types::Outcome, types::Failure>;

/// A call of a driver, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Why: `create`, `update`, `delete`, `resync`.
    pub event: String,
    /// The resource's kind.
    pub kind: String,
    /// The resource, JSON.
    pub resource: String,
    /// The step's `with`, JSON.
    pub with: String,
    /// The run.
    pub run_id: String,
    /// The pipeline, where there is one.
    pub pipeline: Option<String>,
    /// The step.
    pub step_id: String,
    /// Which try of it, from 1.
    pub attempt: u32,
    /// The idempotency key.
    pub key: String,
    /// When the attempt ends, in milliseconds since the Unix epoch.
    pub deadline_ms: Option<u64>,
    /// W3C trace context, where there is one.
    pub traceparent: Option<String>,
}

/// What a driver can ask while it runs. Every method is called on the driver's thread and may block it.
pub trait Host {
    /// The folder that the run works on; a path that is no folder where none was granted.
    ///
    /// # Errors
    /// Why one that was granted cannot be had.
    fn workspace(&self) -> Result<PathBuf, Failure>;

    /// The run's folder for what its steps make; as [`Host::workspace`].
    ///
    /// # Errors
    /// Why one that was granted cannot be had.
    fn out(&self) -> Result<PathBuf, Failure>;

    /// Whether the run has been asked to stop.
    fn cancel_requested(&self) -> bool;

    /// Whether nothing that the driver answers counts any more.
    fn is_over(&self) -> bool {
        false
    }

    /// The operator's settings for the driver, a JSON object.
    fn config(&self) -> String;

    /// A value of the pipeline's context, JSON.
    fn context(&self, key: &str) -> Option<String>;

    /// The keys of the context, sorted.
    fn context_keys(&self) -> Vec<String>;

    /// What a step left, JSON; none where it left nothing or is not there.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn output(&self, step_id: &str) -> Result<Option<String>, Failure>;

    /// The steps that have left an output, in pipeline order.
    fn outputs(&self) -> Vec<String>;

    /// The steps, in pipeline order.
    fn steps(&self) -> Vec<Step>;

    /// Takes a line of the step's log; the values of the fields are JSON.
    fn log(&self, level: log::Level, message: &str, fields: &[(String, String)]);

    /// What is worth writing at all, for the whole process.
    fn log_filter(&self) -> log::LevelFilter;
}

impl Driver {
    /// For the expansion of [`crate::driver!`].
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        kinds: &'static [&'static str],
        manifest: &'static str,
        reconcile: Reconcile,
    ) -> Driver {
        Driver {
            name,
            kinds,
            manifest,
            reconcile,
        }
    }

    /// Runs the driver on this thread, with `host` for what it asks.
    ///
    /// # Errors
    /// What the driver says, and what a call in a component would fail with: a resource or `with` of another shape, an
    /// output over its limit.
    ///
    /// # Panics
    /// If the driver does.
    pub fn call(&self, host: Rc<dyn Host>, call: Call) -> Result<Outcome<Value>, Failure> {
        serve(host, || decoded((self.reconcile)(call.into())))
    }
}

thread_local! {
    static HOST: RefCell<Option<Rc<dyn Host>>> = const { RefCell::new(None) };
}

/// Gives the thread back the host that it had, also where the driver panics.
struct Outer(Option<Rc<dyn Host>>);

impl Drop for Outer {
    fn drop(&mut self) {
        HOST.set(self.0.take());
    }
}

/// Serves what is called on this thread.
pub(crate) fn serve<T>(host: Rc<dyn Host>, call: impl FnOnce() -> T) -> T {
    let _outer = Outer(HOST.replace(Some(host)));
    call()
}

/// What a component would answer, as the driver said it.
pub(crate) fn decoded(
    answer: Result<types::Outcome, types::Failure>,
) -> Result<Outcome<Value>, Failure> {
    answer.map(outcome).map_err(failure)
}

fn outcome(outcome: types::Outcome) -> Outcome<Value> {
    Outcome {
        message: outcome.message,
        output: outcome
            .output
            .map(|text| serde_json::from_str(&text).expect("the SDK wrote it as JSON")),
        requeue_after: outcome.requeue_after_ms.map(Duration::from_millis),
    }
}

fn failure(failure: types::Failure) -> Failure {
    match failure {
        types::Failure::Permanent(reason) => Failure::Permanent(reason),
        types::Failure::Retryable(hint) => Failure::Retryable {
            reason: hint.reason,
            after: hint.after_ms.map(Duration::from_millis),
        },
        types::Failure::Cancelled => Failure::Cancelled,
        types::Failure::Other(reason) => Failure::Other(reason),
    }
}

impl From<Call> for types::Request {
    fn from(call: Call) -> types::Request {
        types::Request {
            event: call.event,
            kind: call.kind,
            resource: call.resource,
            with: call.with,
            info: types::RunInfo {
                run_id: call.run_id,
                pipeline: call.pipeline,
                step_id: call.step_id,
                attempt: call.attempt,
                key: call.key,
                deadline_ms: call.deadline_ms,
                traceparent: call.traceparent,
                dry_run: false,
            },
            extra: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::testing::Harness;

    mod panicking {
        crate::driver! { name: "panicking", kinds: ["app"], wants: {}, super::panics }
    }

    fn panics(_: Request) -> Result<Outcome, Failure> {
        panic!("on purpose")
    }

    #[test]
    fn a_driver_says_what_it_is() {
        let driver = panicking::DRIVER;
        assert_eq!((driver.name, driver.kinds), ("panicking", &["app"][..]));
        assert_eq!(driver.manifest, panicking::MANIFEST);
    }

    #[test]
    fn a_panic_leaves_the_thread_the_host_it_had() {
        let driver = |_: Request| {
            let inner =
                std::panic::catch_unwind(|| Harness::new().context("k", "inner").run(panics));
            assert!(inner.is_err());
            Ok::<_, Failure>(Outcome::new("").output(crate::context::get::<String>("k")?))
        };
        let report = Harness::new().context("k", "outer").run(driver);
        assert_eq!(report.output(), "outer");
    }
}
