//! The host's side of our own imports: `log`, `run-context`, `cancel`, `config`.
//!
//! Each answers from what the attempt was given; none reaches outside the run.

use super::bindings::beltline::driver::{cancel, config, log, run_context, types};
use super::guest::Guest;
use crate::logs::Level;
use serde_json::{Map, Value};
use std::sync::atomic::Ordering;

/// Lines below this are not kept: a driver asks before it builds them.
const LEVEL_KEPT: Level = Level::Debug;

impl types::Host for Guest {}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        }
    }
}

impl log::Host for Guest {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = Level::from(level);
        if level >= LEVEL_KEPT {
            let fields = fields.into_iter().map(|(name, value)| {
                (
                    name,
                    serde_json::from_str(&value).unwrap_or(Value::String(value)),
                )
            });
            self.log
                .write(level, &message, fields.collect::<Map<_, _>>());
        }
        Ok(())
    }

    fn enabled(&mut self, level: log::Level) -> wasmtime::Result<bool> {
        Ok(Level::from(level) >= LEVEL_KEPT)
    }
}

impl run_context::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.context.values().get(&key).map(Value::to_string))
    }

    async fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.context.values().keys().cloned().collect())
    }

    async fn output(&mut self, step_id: String) -> wasmtime::Result<Option<String>> {
        match self.context.output(&step_id).await {
            Ok(output) => Ok(output.map(|text| text.to_string())),
            Err(fault) => {
                self.fault = Some(fault.context(format!("cannot read the output of `{step_id}`")));
                Err(wasmtime::Error::msg("a fault of the host"))
            }
        }
    }

    async fn outputs(&mut self) -> wasmtime::Result<Vec<String>> {
        let steps = self.context.steps().into_iter();
        let left = steps.filter(|step| step.has_output);
        Ok(left.map(|step| step.step_id).collect())
    }

    async fn steps(&mut self) -> wasmtime::Result<Vec<run_context::StepSummary>> {
        let summary = |step: super::context::StepSummary| run_context::StepSummary {
            step_id: step.step_id,
            driver: step.driver,
            status: step.status.to_owned(),
            message: step.message,
            attempts: step.attempts,
            elapsed_ms: step.elapsed_ms,
        };
        Ok(self.context.steps().into_iter().map(summary).collect())
    }
}

impl cancel::Host for Guest {
    fn requested(&mut self) -> wasmtime::Result<bool> {
        Ok(self.cancel.load(Ordering::Relaxed))
    }
}

impl config::Host for Guest {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(serde_json::to_string(&*self.config)?)
    }
}
