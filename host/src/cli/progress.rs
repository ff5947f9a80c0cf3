//! How a run goes, on stderr while it goes: a line a step with a spinner on a terminal, plain lines elsewhere.
//!
//! What is shown here is provisional: it may not be durable yet. With `-o json` or `yaml` only a terminal gets it.

use super::print::{self, DIM, mark};
use super::{Format, output};
use crate::clock;
use crate::logs::{Level, LogLine};
use crate::runner::Observer;
use crate::runs::StoredRun;
use crate::text;
use crate::view;
use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use beltline_engine::{Event, Run, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(90);

/// Steps that get a line of their own on a terminal; a longer pipeline shows only those that run.
const LINES_MAX: usize = 40;

/// How much later than its deadline the runner may look up, in milliseconds: a long file call on a slow disk takes
/// less, and one that never returns is told apart from it soon enough.
const HELD_UP_MS: u64 = 5_000;

/// Bytes of a message beside its step.
const MESSAGE_MAX: usize = 100;

pub(super) struct Progress {
    title: String,
    steps: Vec<String>,
    width: usize,
    shown: Shown,
    waiting_until_ms: AtomicU64,
}

enum Shown {
    /// The lines are drawn once the run is accepted, below its title.
    Lines(MultiProgress, OnceLock<Vec<ProgressBar>>),
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
            Shown::Lines(MultiProgress::new(), OnceLock::new())
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
            waiting_until_ms: AtomicU64::new(0),
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
            lines
                .get()
                .into_iter()
                .flatten()
                .for_each(ProgressBar::finish_and_clear);
            let _ = all.clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.shown {
            Shown::Lines(all, _) => all.suspend(|| output::notice(text)),
            Shown::Plain => output::notice(text),
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
                let Some(line) = lines.get().and_then(|lines| lines.get(place)) else {
                    return;
                };
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
                output::notice(&format!(
                    "{mark} {id:width$}  {status}{tries}  {time}  {message}",
                    width = self.width
                ));
            }
            Shown::Nothing => {}
        }
    }
}

impl Progress {
    /// Whether the runner should have looked up long ago: a file call of a guest holds its thread up.
    pub(super) fn is_held_up(&self) -> bool {
        let until_ms = self.waiting_until_ms.load(Ordering::Relaxed);
        until_ms > 0 && clock::now_ms() > until_ms.saturating_add(HELD_UP_MS)
    }
}

impl Observer for Progress {
    fn waiting(&self, until_ms: u64) {
        self.waiting_until_ms.store(until_ms, Ordering::Relaxed);
    }

    fn accepted(&self, _: &Run) {
        self.say(&self.title);
        if let Shown::Lines(all, lines) = &self.shown {
            lines.get_or_init(|| {
                self.steps
                    .iter()
                    .map(|id| line(all, id, self.width))
                    .collect()
            });
        }
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

/// indicatif writes a template as it is: the colours in it are for here to drop.
fn style(template: &str) -> ProgressStyle {
    let is_plain = AutoStream::choice(&std::io::stderr()) == ColorChoice::Never;
    let template = if is_plain {
        strip_str(template).to_string()
    } else {
        template.to_owned()
    };
    let template = template.as_str();
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
