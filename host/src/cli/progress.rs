//! How a run goes, on stderr while it goes: a line a step with a spinner on a terminal, plain lines elsewhere.
//!
//! What is shown here is provisional: it may not be durable yet. With `-o json` or `yaml` only a terminal gets it.

use super::Format;
use super::print::{self, DIM, mark};
use crate::logs::{Level, LogLine};
use crate::runner::Observer;
use crate::runs::StoredRun;
use crate::text;
use crate::view;
use beltline_engine::{Event, Run, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(90);

/// Steps that get a line of their own on a terminal; a longer pipeline shows only those that run.
const LINES_MAX: usize = 40;

/// Bytes of a message beside its step.
const MESSAGE_MAX: usize = 100;

pub(super) struct Progress {
    title: String,
    steps: Vec<String>,
    width: usize,
    shown: Shown,
}

enum Shown {
    Lines(MultiProgress, Vec<ProgressBar>),
    Plain,
    Nothing,
}

impl Progress {
    pub(super) fn new(stored: &StoredRun, format: Format) -> Self {
        let record = &stored.record;
        let title = format!(
            "run {} · {} · {} {}",
            stored.run.id, record.pipeline, record.kind, record.resource
        );
        let steps: Vec<_> = stored
            .pipeline
            .steps
            .iter()
            .map(|step| step.id.clone())
            .collect();
        let width = steps
            .iter()
            .map(|id| id.chars().count())
            .max()
            .unwrap_or_default();
        let terminal = std::io::stderr().is_terminal();
        let shown = if terminal && steps.len() <= LINES_MAX {
            let all = MultiProgress::new();
            let lines = steps.iter().map(|id| line(&all, id, width)).collect();
            Shown::Lines(all, lines)
        } else if format == Format::Text {
            Shown::Plain
        } else {
            Shown::Nothing
        };
        Progress {
            title,
            steps,
            width,
            shown,
        }
    }

    /// A line of a driver's log.
    pub(super) fn line(&self, line: &LogLine) {
        if line.level >= Level::Info {
            let step = format!("{:>width$}", line.step, width = self.width);
            self.say(&format!(
                "{DIM}{step} │{DIM:#} {}{}",
                text::shown(&line.message),
                print::fields(&line.fields)
            ));
        }
    }

    /// The run was asked to stop.
    pub(super) fn cancelling(&self, force: bool) {
        self.say(if force {
            "stopping now"
        } else {
            "stopping: steps under way may finish; Ctrl-C again to end them at once"
        });
    }

    /// Clears what was only there while the run went.
    pub(super) fn finish(&self) {
        if let Shown::Lines(all, lines) = &self.shown {
            lines.iter().for_each(ProgressBar::finish_and_clear);
            let _ = all.clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.shown {
            Shown::Lines(all, _) => all.suspend(|| anstream::eprintln!("{text}")),
            Shown::Plain => anstream::eprintln!("{text}"),
            Shown::Nothing => {}
        }
    }

    fn step(&self, run: &Run, index: u32) {
        let place = index as usize;
        let (Some(step), Some(id)) = (run.steps.get(place), self.steps.get(place)) else {
            return;
        };
        let status = step.state.status();
        let message = view::message(&step.state).lines().next();
        let message = text::cut(&text::shown(message.unwrap_or_default()), MESSAGE_MAX);
        let tries = if step.tries() > 1 {
            format!(" (attempt {})", step.attempts)
        } else {
            String::new()
        };
        let time = view::elapsed_ms(step)
            .map(text::duration)
            .unwrap_or_default();
        match &self.shown {
            Shown::Lines(_, lines) => {
                let Some(line) = lines.get(place) else { return };
                line.set_message(format!("{message}{tries}"));
                if matches!(
                    step.state,
                    StepState::Running { .. } | StepState::Waiting { .. }
                ) {
                    line.set_style(spinning());
                    line.reset_elapsed();
                    line.enable_steady_tick(TURN);
                } else {
                    line.disable_steady_tick();
                    let template =
                        format!("  {} {{prefix}}  {time:>8}  {{wide_msg}}", mark(status));
                    line.set_style(style(&template));
                    line.tick();
                }
            }
            Shown::Plain => {
                let mark = mark(status);
                anstream::eprintln!(
                    "{mark} {id:width$}  {status}{tries}  {time}  {message}",
                    width = self.width
                );
            }
            Shown::Nothing => {}
        }
    }
}

impl Observer for Progress {
    fn accepted(&self, _: &Run) {
        self.say(&self.title);
    }

    fn changed(&self, run: &Run, events: &[Event]) {
        for event in events {
            match event {
                Event::AttemptStarted { step, .. } | Event::AttemptWaiting { step, .. } => {
                    if matches!(self.shown, Shown::Lines(..)) {
                        self.step(run, *step);
                    }
                }
                Event::RetryScheduled { step, .. } | Event::StepEnded { step, .. } => {
                    self.step(run, *step);
                }
                Event::RunStarted { .. }
                | Event::RoundStarted { .. }
                | Event::RunClaimed { .. }
                | Event::RunCancelling { .. }
                | Event::AttemptEnded { .. }
                | Event::RunEnded { .. } => {}
            }
        }
    }
}

fn line(all: &MultiProgress, id: &str, width: usize) -> ProgressBar {
    let line = all.add(ProgressBar::new_spinner());
    line.set_style(style("  · {prefix}"));
    line.set_prefix(format!("{id:width$}"));
    line.tick();
    line
}

fn spinning() -> ProgressStyle {
    style("  {spinner:.cyan} {prefix}  {elapsed:>8}  {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
