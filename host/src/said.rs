//! What drivers say in Conveyor's form, as lines of a run's log: over the broker and over HTTP alike.

use crate::clock;
use crate::logs::{Level, LogLine};
use crate::text;
use beltline_engine::Run;
use beltline_wire::DriverLog;

/// The longest line that is kept.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// The line as the log has it. One that names no step is that of the driver's open step.
pub fn line(run: &Run, said: DriverLog) -> LogLine {
    let mut steps = run.plan.steps.iter().zip(&run.steps);
    let by = match &said.step_id {
        Some(id) => steps.find(|(plan, _)| plan.id == *id && plan.driver == said.driver),
        None => steps.find(|(plan, step)| plan.driver == said.driver && !step.state.is_ended()),
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
