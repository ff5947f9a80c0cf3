//! Runs as people read them: the table at a run's end, the list, the details.

mod used;

use super::connection::{Connection, block_on};
use crate::api::OutFile;
use crate::text;
use crate::view::{RunDriverView, RunView, StepView};
use anstyle::{AnsiColor, Style};
use beltline_engine::RunStatus;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write;

pub(super) const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Bytes of a message in a table.
const MESSAGE_MAX: usize = 76;

/// A coloured sign for a step's status.
pub(super) fn mark(status: &str) -> String {
    let (style, sign) = match status {
        "succeeded" => (GREEN, "✓"),
        "failed" | "timed_out" => (RED, "✗"),
        "retrying" => (YELLOW, "↻"),
        "running" | "waiting_for_driver" => (YELLOW, "…"),
        "cancelled" => (YELLOW, "■"),
        _ => (DIM, "·"),
    };
    format!("{style}{sign}{style:#}")
}

fn coloured(status: RunStatus) -> String {
    let style = match status {
        RunStatus::Succeeded => GREEN,
        RunStatus::Failed | RunStatus::TimedOut => RED,
        RunStatus::Cancelled | RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => {
            YELLOW
        }
    };
    format!("{style}{status}{style:#}")
}

/// A run with its steps, as it stands, and the files that it made.
pub(super) fn run(view: &RunView, made: &[String]) -> String {
    let mut text = String::new();
    let header = [
        "STEP", "DRIVER", "STATUS", "ATTEMPTS", "TIME", "CPU", "MEMORY", "MESSAGE",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(view.steps.iter().map(row));
    let marks = std::iter::once(" ".to_owned())
        .chain(view.steps.iter().map(|step| mark(step.status.as_str())));
    for (line, mark) in table(&rows).into_iter().zip(marks) {
        let _ = writeln!(text, "{mark} {line}");
    }
    if let Some(used) = used::in_all(view) {
        let _ = writeln!(text, "{DIM}  {used}{DIM:#}");
    }
    let time = view
        .elapsed_ms
        .map(|ms| format!(" in {}", text::duration(ms)))
        .unwrap_or_default();
    let _ = writeln!(text, "\nrun {} {}{time}", view.run, coloured(view.status));
    if let Some(failure) = &view.failure {
        let kind = failure.failure.kind.replace('_', " ");
        let (step, reason) = (&failure.step, text::shown(&failure.failure.reason));
        let _ = writeln!(text, "{RED}{step}{RED:#}: {kind}: {reason}");
    }
    for file in made {
        let _ = writeln!(text, "{DIM}made{DIM:#} {}", text::shown(file));
    }
    text
}

/// Runs, a line each.
pub(super) fn list(views: &[RunView]) -> String {
    if views.is_empty() {
        return "no runs yet".to_owned();
    }
    let mut rows =
        vec![["RUN", "STATUS", "PIPELINE", "RESOURCE", "CREATED", "TIME"].map(str::to_owned)];
    rows.extend(views.iter().map(|view| {
        let resource = format!("{} {}", view.resource.kind, view.resource.name);
        let time = view.elapsed_ms.map(text::duration).unwrap_or_default();
        let status = view.status.as_str().to_owned();
        [
            view.run.clone(),
            status,
            pipeline(view),
            resource,
            view.created_at.clone(),
            time,
        ]
    }));
    table(&rows).join("\n")
}

fn pipeline(view: &RunView) -> String {
    view.pipeline.clone().unwrap_or_else(|| "-".to_owned())
}

/// More of a run: what it is of, and every attempt with what it used.
pub(super) fn details(view: &RunView, made: &[String]) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{DIM}{name:<10}{DIM:#} {}", text::shown(value));
    };
    say("run", &view.run);
    say("pipeline", &pipeline(view));
    say(
        "resource",
        &format!("{} {}", view.resource.kind, view.resource.name),
    );
    say("created", &view.created_at);
    if let Some(ended) = &view.ended_at {
        say("ended", ended);
    }
    say("round", &view.round.to_string());
    if let Some(workspace) = &view.workspace {
        say("workspace", &workspace.display().to_string());
    }
    say("out", &view.out.display().to_string());
    for (name, driver) in &view.drivers {
        say("driver", &format!("{name} {}", driver_words(driver)));
    }
    text.push('\n');
    let attempts = used::attempts(view);
    if !attempts.is_empty() {
        text.push_str(&attempts);
        text.push('\n');
    }
    text.push_str(&run(view, made));
    text
}

/// A run's driver in a few words: its version and digest, or that it is native.
pub(super) fn driver_words(driver: &RunDriverView) -> String {
    let Some(digest) = driver.digest else {
        return driver.placement.to_string();
    };
    let version = driver.version.as_deref().unwrap_or("(no version)");
    format!("{} {digest}", text::shown(version))
}

/// The files in the out folder that steps say they made: `path` of an output, and of each of its `files`. Paths here,
/// addresses on a server.
pub(super) fn made(connection: &Connection, view: &RunView) -> Vec<String> {
    let outputs = view.steps.iter().filter_map(|step| step.output.as_ref());
    let named = outputs.flat_map(|output| {
        let files = output.get("files").and_then(Value::as_array);
        std::iter::once(output).chain(files.into_iter().flatten())
    });
    let paths = named.filter_map(|file| file.get("path")?.as_str());
    if connection.is_local() {
        let files = paths
            .map(|path| view.out.join(path))
            .filter(|path| path.is_file());
        return files.map(|path| path.display().to_string()).collect();
    }
    let listed = block_on(
        connection
            .client
            .get::<Vec<OutFile>>(&format!("/runs/{}/out", view.run)),
    );
    let listed = listed.unwrap_or_default();
    let is_there = |path: &&str| listed.iter().any(|file| file.path == *path);
    let address =
        |path: &str| format!("{}/runs/{}/out/{path}", connection.client.place(), view.run);
    paths.filter(is_there).map(address).collect()
}

fn row(step: &StepView) -> [String; 8] {
    let message = match (&step.message, &step.failure) {
        (Some(message), _) => first_line(message),
        (None, Some(failure)) => first_line(&failure.reason),
        (None, None) => Cow::Borrowed(""),
    };
    let message = text::cut(&message, MESSAGE_MAX);
    let time = step.elapsed_ms.map(text::duration).unwrap_or_default();
    let attempts = step.attempts.as_ref().map_or(0, Vec::len).to_string();
    let status = step.status.as_str().replace('_', " ");
    let [cpu, memory] = used::of_step(step);
    [
        step.id.clone(),
        step.driver.clone(),
        status,
        attempts,
        time,
        cpu,
        memory,
        message,
    ]
}

fn first_line(text: &str) -> Cow<'_, str> {
    text::shown(text.lines().next().unwrap_or_default())
}

/// Rows with each column as wide as its widest cell.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Named values of a log line, after its text.
pub(super) fn fields(fields: &Map<String, Value>) -> String {
    fields
        .iter()
        .map(|(name, value)| format!(" {DIM}{}={DIM:#}{value}", text::shown(name)))
        .collect()
}
