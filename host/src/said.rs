//! What drivers say in Conveyor's form, as lines of a run's log: over the broker and over HTTP alike.

use crate::clock;
use crate::logs::{self, Level, LogLine};
use crate::text;
use beltline_engine::{Run, RunId};
use beltline_wire::DriverLog;
use serde_json::Map;
use std::path::Path;

/// The longest line that is kept.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// Up to here a run's log takes such lines: four times what a wasm attempt may say where nothing else is set.
pub const RUN_LOG_BYTES_MAX: u64 = 16 << 20;

/// Whether a run's log takes no more.
pub fn is_full(logs: &Path, run: RunId) -> bool {
    logs::bytes(logs, run) >= RUN_LOG_BYTES_MAX
}

/// What stands in a log for what it does not take any more.
pub fn last(line: &LogLine) -> LogLine {
    LogLine {
        level: Level::Warn,
        message: format!(
            "the log is at the limit of {} and takes no more lines of native drivers",
            text::size(RUN_LOG_BYTES_MAX)
        ),
        fields: Map::new(),
        ..line.clone()
    }
}

/// The line as the log has it. One that names no step is that of the driver's open step; where it has none any more, of the
/// last that it had.
pub fn line(run: &Run, said: DriverLog) -> LogLine {
    let steps = run.plan.steps.iter().zip(&run.steps);
    let mut own = steps.filter(|(plan, _)| plan.driver == said.driver);
    let by = match &said.step_id {
        Some(id) => own.find(|(plan, _)| plan.id == *id),
        None => {
            let own: Vec<_> = own.collect();
            let open = own.iter().find(|(_, step)| !step.state.is_ended());
            let last = || own.iter().rfind(|(_, step)| step.attempts > 0);
            open.or_else(last).copied()
        }
    };
    let level = match said.level.as_deref() {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some(_) | None => Level::Info,
    };
    LogLine {
        at_ms: said.at_ms.unwrap_or_else(clock::now_ms),
        step: by.map_or_else(|| said.driver.clone(), |(plan, _)| plan.id.clone()),
        attempt: said
            .attempt
            .or(by.map(|(_, step)| step.attempts))
            .unwrap_or_default(),
        level,
        message: text::cut(&said.message, LINE_BYTES_MAX),
        fields: said.fields,
    }
}
