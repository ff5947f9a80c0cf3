//! Writing the transcript: events, wants and times in words.

use beltline_engine::{AttemptEnd, Effect, Event, Placement};

use crate::script::{MADE_MS, Player};

impl Player {
    pub(crate) fn want(&self, effect: &Effect) -> String {
        match effect {
            Effect::Attempt {
                step,
                attempt,
                started,
                cancel,
            } => {
                let what = match (started, cancel) {
                    (false, _) => " to start",
                    (true, false) => "",
                    (true, true) => " to stop",
                };
                format!("{} {attempt}{what}", self.name(*step))
            }
            Effect::Wake { at_ms } => format!("to wake at {}", since(*at_ms)),
        }
    }

    pub(crate) fn name(&self, step: u32) -> &str {
        &self.run.plan.steps[step as usize].id
    }

    pub(crate) fn sentence(&self, event: &Event) -> String {
        match event {
            Event::RunStarted { steps } => format!("run started, {steps} steps"),
            Event::RoundStarted { round, steps } => {
                let steps: Vec<&str> = steps.iter().map(|step| self.name(*step)).collect();
                format!("round {round} started: {}", steps.join(", "))
            }
            Event::RunClaimed { epoch } => format!("claimed by epoch {epoch}"),
            Event::RunCancelling { until_ms } => format!("stopping until {}", since(*until_ms)),
            Event::AttemptWaiting {
                step,
                attempt,
                deadline_ms,
            } => {
                let until = since(*deadline_ms);
                format!(
                    "{} {attempt} waits for its driver until {until}",
                    self.name(*step)
                )
            }
            Event::AttemptStarted {
                step,
                attempt,
                start,
                placement,
            } => {
                let place = match placement {
                    Placement::Wasm { effects: false } => "wasm",
                    Placement::Wasm { effects: true } => "effects",
                    Placement::Native => "native",
                };
                format!(
                    "{} {attempt} started, start {start}, {place}",
                    self.name(*step)
                )
            }
            Event::AttemptEnded { step, attempt, end } => {
                let end = match end {
                    AttemptEnd::Succeeded {
                        message,
                        output: false,
                    } => message.clone(),
                    AttemptEnd::Succeeded {
                        message,
                        output: true,
                    } => format!("{message}, output"),
                    AttemptEnd::Failed(failure) => failure.to_string(),
                    AttemptEnd::Cancelled { reason: None } => "cancelled".to_owned(),
                    AttemptEnd::Cancelled {
                        reason: Some(reason),
                    } => format!("cancelled: {reason}"),
                };
                format!("{} {attempt} ended: {end}", self.name(*step))
            }
            Event::RetryScheduled {
                step,
                attempt,
                at_ms,
            } => {
                format!("{} {attempt} is due at {}", self.name(*step), since(*at_ms))
            }
            Event::StepEnded { step, status } => format!("{} {status}", self.name(*step)),
            Event::RunEnded { status, step: None } => format!("run {status}"),
            Event::RunEnded {
                status,
                step: Some(step),
            } => {
                format!("run {status} by {}", self.name(*step))
            }
        }
    }
}

pub(crate) fn list(words: &[String]) -> String {
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

pub(crate) fn since(ms: u64) -> String {
    if ms < MADE_MS {
        return format!("-{}s", (MADE_MS - ms) as f64 / 1_000.0);
    }
    format!("{}s", (ms - MADE_MS) as f64 / 1_000.0)
}
