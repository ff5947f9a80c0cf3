//! Runs a driver natively: no wasm, no host, and yet through the same decoding and encoding as in one.
//!
//! ```
//! use beltline_sdk::{Failure, Outcome, Request, context, testing::Harness};
//! use serde_json::json;
//!
//! fn reconcile(request: Request) -> Result<Outcome<u64>, Failure> {
//!     let limit = context::get("limit")?.unwrap_or(0);
//!     log::info!("looking at {}", request.resource.name);
//!     Ok(Outcome::new("counted").output(limit + 1))
//! }
//!
//! let report = Harness::new().context("limit", 3).run(reconcile);
//! assert_eq!(report.output(), &json!(4));
//! assert_eq!(report.logs[0].message, "looking at example");
//!
//! let report = Harness::new().context("limit", "three").run(reconcile);
//! assert!(report.failure().reason().contains("context.limit: invalid type"));
//! ```
//!
//! Owns the stand-in for the host and the folders that a driver is given. Limits of
//! time, memory and file access are the real host's and not imitated. Meant for tests: where a test was
//! written wrongly, it panics.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::context::Step;
use crate::native::{self, Call};
use crate::{Failure, Outcome, Request, reconcile};

mod host;

/// A call of a driver, to be furnished and run.
pub struct Harness {
    event: String,
    resource: Map<String, Value>,
    with: Value,
    attempt: u32,
    host: host::Host,
    workspace: Option<TempDir>,
    out: Option<TempDir>,
}

/// What came of a call.
pub struct Report {
    /// What the driver said, its output as JSON.
    pub result: Result<Outcome<Value>, Failure>,
    /// What it logged, in order.
    pub logs: Vec<Line>,
    out: Option<TempDir>,
}

/// A line of the step's log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its named values.
    pub fields: Map<String, Value>,
}

impl Default for Harness {
    fn default() -> Self {
        Harness::new()
    }
}

impl Harness {
    /// The call for a new resource `example` of kind `example` with an empty spec, in step `step`, with
    /// nothing granted.
    pub fn new() -> Harness {
        let resource =
            json!({"name": "example", "resource": "example", "spec": {}, "generation": 1});
        let Value::Object(resource) = resource else {
            unreachable!("it is written as one above")
        };
        Harness {
            event: "create".to_owned(),
            resource,
            with: json!({}),
            attempt: 1,
            host: host::Host::default(),
            workspace: None,
            out: None,
        }
    }

    /// Sets why the driver is called: `create`, `update`, `delete`, `resync`.
    #[must_use]
    pub fn event(mut self, event: &str) -> Self {
        event.clone_into(&mut self.event);
        self
    }

    /// Sets a key of the resource: `name`, `resource` (its kind), `spec`, `generation` or another.
    #[must_use]
    pub fn resource(mut self, key: &str, value: impl Serialize) -> Self {
        self.resource.insert(key.to_owned(), value_of(value));
        self
    }

    /// Sets the resource's spec.
    #[must_use]
    pub fn spec(self, spec: impl Serialize) -> Self {
        self.resource("spec", spec)
    }

    /// Sets the step's `with`.
    #[must_use]
    pub fn with(mut self, with: impl Serialize) -> Self {
        self.with = value_of(with);
        self
    }

    /// Sets which try this is, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets a value of the pipeline's context.
    #[must_use]
    pub fn context(mut self, key: &str, value: impl Serialize) -> Self {
        self.host.context.insert(key.to_owned(), value_of(value));
        self
    }

    /// Adds an earlier step as it stands.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.host.steps.push(step);
        self
    }

    /// Sets what an earlier step left. One that [`Harness::step`] has not added is added: it has succeeded.
    #[must_use]
    pub fn output(mut self, step_id: &str, output: impl Serialize) -> Self {
        if !self.host.steps.iter().any(|step| step.id == step_id) {
            let mut step = Step::new(step_id, step_id, "succeeded");
            step.elapsed = Some(Duration::ZERO);
            self.host.steps.push(step);
        }
        self.host
            .outputs
            .insert(step_id.to_owned(), value_of(output));
        self
    }

    /// Sets the operator's settings for the driver.
    #[must_use]
    pub fn config(mut self, config: impl Serialize) -> Self {
        self.host.config = value_of(config);
        self
    }

    /// The run has been asked to stop.
    #[must_use]
    pub fn cancelled(mut self) -> Self {
        self.host.cancelled = true;
        self
    }

    /// The least important level that is kept; every one unless set.
    #[must_use]
    pub fn log_level(mut self, level: Level) -> Self {
        self.host.log_level = level;
        self
    }

    /// Grants an empty workspace, or keeps the one that is there.
    #[must_use]
    pub fn workspace(mut self) -> Self {
        self.workspace_dir();
        self
    }

    /// Grants a folder that is there as the workspace.
    #[must_use]
    pub fn workspace_at(mut self, folder: impl Into<PathBuf>) -> Self {
        self.host.workspace = Some(folder.into());
        self
    }

    /// Grants a workspace and puts a file into it; folders on its way are made.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.workspace_dir().join(path);
        let folder = path
            .parent()
            .expect("a path below the workspace has a parent");
        fs::create_dir_all(folder).expect("the workspace can be written");
        fs::write(path, content).expect("the workspace can be written");
        self
    }

    /// Grants the out folder, empty.
    #[must_use]
    pub fn out(mut self) -> Self {
        let out = temporary();
        self.host.out = Some(out.path().to_owned());
        self.out = Some(out);
        self
    }

    /// Calls the driver.
    ///
    /// # Panics
    /// If the driver does.
    pub fn run<S, W, O>(
        mut self,
        driver: impl FnOnce(Request<S, W>) -> Result<Outcome<O>, Failure>,
    ) -> Report
    where
        S: DeserializeOwned,
        W: DeserializeOwned,
        O: Serialize,
    {
        self.host.steps.push(Step::new("step", "driver", "running"));
        let request = self.call().into();
        let host = Rc::new(self.host);
        let result = native::serve(host.clone(), || reconcile::reconcile(driver, request));
        Report {
            result: native::decoded(result),
            logs: host.logs.take(),
            out: self.out,
        }
    }

    fn call(&self) -> Call {
        Call {
            event: self.event.clone(),
            kind: self
                .resource
                .get("resource")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned(),
            resource: json!(self.resource).to_string(),
            with: self.with.to_string(),
            run_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            pipeline: Some("example".to_owned()),
            step_id: "step".to_owned(),
            attempt: self.attempt,
            key: "example-key".to_owned(),
            deadline_ms: None,
            traceparent: None,
        }
    }

    fn workspace_dir(&mut self) -> &Path {
        let workspace = self.workspace.get_or_insert_with(temporary);
        self.host.workspace = Some(workspace.path().to_owned());
        workspace.path()
    }
}

impl Report {
    /// The outcome.
    ///
    /// # Panics
    /// With the reason, if the driver failed.
    pub fn outcome(&self) -> &Outcome<Value> {
        self.result
            .as_ref()
            .unwrap_or_else(|failure| panic!("the driver failed: {failure}"))
    }

    /// The output.
    ///
    /// # Panics
    /// If the driver failed or left none.
    pub fn output(&self) -> &Value {
        self.outcome()
            .output
            .as_ref()
            .expect("the driver left no output")
    }

    /// The failure.
    ///
    /// # Panics
    /// If the driver succeeded.
    pub fn failure(&self) -> &Failure {
        match &self.result {
            Ok(outcome) => panic!("the driver succeeded: {}", outcome.message),
            Err(failure) => failure,
        }
    }

    /// The text of a file that the driver left in the out folder.
    ///
    /// # Panics
    /// If the out folder was not granted, the file is not there, or it is not UTF-8.
    pub fn out_file(&self, path: &str) -> String {
        let out = self
            .out
            .as_ref()
            .expect("the harness was given no out folder")
            .path()
            .join(path);
        fs::read_to_string(&out).unwrap_or_else(|error| panic!("{path} in the out folder: {error}"))
    }
}

fn temporary() -> TempDir {
    TempDir::new().expect("a temporary folder can be made")
}

fn value_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("what a test gives can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context;

    #[test]
    fn steps_and_outputs_stand_in_pipeline_order() {
        let driver = |_: Request| {
            let ids: Vec<String> = context::steps().into_iter().map(|step| step.id).collect();
            assert_eq!(ids, ["zeta", "alpha", "step"]);
            assert_eq!(context::outputs(), ["zeta", "alpha"]);
            assert_eq!(context::keys(), ["a", "b"]);
            assert_eq!(context::output::<Value>("step")?, None);
            Ok::<_, Failure>(Outcome::<()>::new(""))
        };
        let call = Harness::new().context("b", 1).context("a", 2);
        call.output("zeta", 1)
            .output("alpha", 2)
            .run(driver)
            .outcome();
    }

    #[test]
    fn a_harness_in_a_driver_gives_the_outer_host_back() {
        let driver = |_: Request| {
            Harness::new()
                .context("k", "inner")
                .run(|_: Request| Ok(Outcome::<()>::new("")));
            Ok(Outcome::new("").output(context::get::<String>("k")?))
        };
        assert_eq!(
            Harness::new().context("k", "outer").run(driver).output(),
            "outer"
        );
    }

    #[test]
    fn what_a_driver_writes_is_read_after_it() {
        let driver = |_: Request| {
            let text = fs::read_to_string(crate::workspace()?.join("deep/in.txt"))?;
            fs::write(crate::out()?.join("out.txt"), text)?;
            Ok::<_, Failure>(Outcome::<()>::new(""))
        };
        let report = Harness::new()
            .file("deep/in.txt", "content")
            .out()
            .run(driver);
        assert_eq!(report.out_file("out.txt"), "content");
    }
}
