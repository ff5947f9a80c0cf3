//! How a run goes, on stderr while it goes: a line a step with a spinner on a terminal, plain lines elsewhere.
//!
//! What is shown here is provisional: it may not be durable yet. With `-o json` or `yaml` only a terminal gets it.

use super::print::{self, DIM, mark};
use super::{Format, output};
use crate::logs::{Level, LogLine};
use crate::text;
use crate::view::{EventView, RunView};
use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::OnceLock;
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
    state: Mutex<State>,
}

enum Shown {
    /// The lines are drawn once the run is told to have begun, below its title.
    Lines(MultiProgress, OnceLock<Vec<ProgressBar>>),
    Plain,
    Nothing,
}

/// What has been told of the run.
#[derive(Default)]
struct State {
    has_begun: bool,
    steps: HashMap<String, Step>,
}

/// What has been told of a step in its round.
#[derive(Default)]
struct Step {
    first_started: Option<Timestamp>,
    first_attempt: u32,
    attempt: u32,
    message: String,
}

impl Progress {
    pub(super) fn new(run: &RunView, format: Format) -> Self {
        let pipeline = run.pipeline.as_deref().unwrap_or("-");
        let (kind, name) = (&run.resource.kind, &run.resource.name);
        let title = format!("run {} · {pipeline} · {kind} {name}", run.run);
        let steps: Vec<_> = run.steps.iter().map(|step| step.id.clone()).collect();
        let width = steps.iter().map(|id| id.chars().count()).max();
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
            width: width.unwrap_or_default(),
            shown,
            state: Mutex::default(),
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

    /// Something happened to the run.
    pub(super) fn event(&self, event: &EventView) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.has_begun, true) {
            self.begin();
        }
        if event.event == "round_started" {
            state.steps.clear();
        }
        let Some(id) = &event.step else { return };
        let step = state.steps.entry(id.clone()).or_default();
        let at: Option<Timestamp> = event.at.parse().ok();
        match &*event.event {
            "attempt_started" | "attempt_waiting" => {
                step.attempt = event.attempt.unwrap_or_default();
                if step.first_started.is_none() {
                    step.first_attempt = step.attempt;
                    step.first_started = at;
                }
                if let Shown::Lines(..) = self.shown {
                    self.step(id, step, "running", at);
                }
            }
            "attempt_ended" => {
                let failure = event.failure.as_ref().map(|failure| &failure.reason);
                let message = event.message.as_ref().or(failure);
                step.message = message.cloned().unwrap_or_default();
            }
            "retry_scheduled" | "step_ended" => {
                let status = event.status.as_deref().unwrap_or_default();
                self.step(id, step, status, at);
            }
            _ => {}
        }
    }

    fn begin(&self) {
        self.say(&self.title);
        if let Shown::Lines(all, lines) = &self.shown {
            let draw = || {
                self.steps
                    .iter()
                    .map(|id| line(all, id, self.width))
                    .collect()
            };
            lines.get_or_init(draw);
        }
    }

    fn step(&self, id: &str, step: &Step, status: &str, at: Option<Timestamp>) {
        let message = step.message.lines().next().unwrap_or_default();
        let message = text::cut(&text::shown(message), MESSAGE_MAX);
        let tries = if step.attempt > step.first_attempt {
            format!(" (attempt {})", step.attempt)
        } else {
            String::new()
        };
        let has_ended = !matches!(status, "running" | "retrying" | "skipped");
        let time = at.zip(step.first_started).filter(|_| has_ended);
        let time = time
            .map(|(at, started)| at.duration_since(started).as_millis())
            .map(|ms| text::duration(u64::try_from(ms).unwrap_or_default()))
            .unwrap_or_default();
        match &self.shown {
            Shown::Lines(_, lines) => {
                let place = self.steps.iter().position(|known| known == id);
                let line = place.and_then(|place| lines.get()?.get(place));
                let Some(line) = line else { return };
                line.set_message(format!("{message}{tries}"));
                if status == "running" {
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
