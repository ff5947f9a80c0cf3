//! What the host offers a driver: the world's imports in a component, elsewhere the host of the thread.

#[cfg(target_family = "wasm")]
mod component {
    use std::path::PathBuf;
    use std::time::Duration;

    use crate::Failure;
    use crate::bindings::beltline::driver::{
        cancel, config as operator, log as step_log, run_context,
    };
    use crate::context::Step;

    pub(crate) fn workspace() -> Result<PathBuf, Failure> {
        Ok(PathBuf::from("/workspace"))
    }

    pub(crate) fn out() -> Result<PathBuf, Failure> {
        Ok(PathBuf::from("/out"))
    }

    pub(crate) fn cancel_requested() -> bool {
        cancel::requested()
    }

    /// A component is ended then, and has no time to look.
    pub(crate) fn is_over() -> bool {
        false
    }

    pub(crate) fn config() -> String {
        operator::get()
    }

    pub(crate) fn context(key: &str) -> Option<String> {
        run_context::get(key)
    }

    pub(crate) fn context_keys() -> Vec<String> {
        run_context::keys()
    }

    pub(crate) fn output(step_id: &str) -> Result<Option<String>, Failure> {
        Ok(run_context::output(step_id))
    }

    pub(crate) fn outputs() -> Vec<String> {
        run_context::outputs()
    }

    pub(crate) fn steps() -> Vec<Step> {
        let step = |step: run_context::StepSummary| Step {
            id: step.step_id,
            driver: step.driver,
            status: step.status,
            message: step.message,
            attempts: step.attempts,
            elapsed: step.elapsed_ms.map(Duration::from_millis),
        };
        run_context::steps().into_iter().map(step).collect()
    }

    pub(crate) fn log(level: log::Level, message: &str, fields: &[(String, String)]) {
        step_log::write(wit_level(level), message, fields);
    }

    /// From the least to the most important: the first that is kept is the filter.
    pub(crate) fn log_filter() -> log::LevelFilter {
        use log::Level::{Debug, Error, Info, Trace, Warn};
        let kept = [Trace, Debug, Info, Warn, Error]
            .into_iter()
            .find(|level| step_log::enabled(wit_level(*level)));
        kept.map_or(log::LevelFilter::Off, |level| level.to_level_filter())
    }

    fn wit_level(level: log::Level) -> step_log::Level {
        match level {
            log::Level::Trace => step_log::Level::Trace,
            log::Level::Debug => step_log::Level::Debug,
            log::Level::Info => step_log::Level::Info,
            log::Level::Warn => step_log::Level::Warn,
            log::Level::Error => step_log::Level::Error,
        }
    }
}

#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::native::asked::*;
