//! `belt runs list`, `get` and `logs`: what there is, from the state as it lies there. While a run is under way its
//! process has the state to itself, so what is open here was cut off.

use super::super::stop::Stop;
use super::super::workbench::{Workbench, block_on};
use super::super::{output, print};
use super::{Common, Which, load, no_runs, pick, say_cut_off, step_index};
use crate::clock::rfc3339;
use crate::logs::{self, LogLine};
use crate::state::StateFolder;
use crate::text;
use crate::view::RunView;
use beltline_engine::RunStatus;
use std::process::ExitCode;

const LOST: &str = "something of the state is lost, and nobody can tell what";

pub(super) fn list(common: &Common, limit: usize) -> Result<ExitCode, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    let (views, damaged, unsure) = if state.has_store() {
        let bench = Workbench::open_read_only(state)?;
        let (views, damaged) = views(&bench, limit)?;
        (views, damaged, bench.is_unsure())
    } else {
        (Vec::new(), 0, false)
    };
    output::document(common.output, &views, |views| print::list(views))?;
    for view in views.iter().filter(|view| is_open(view.status)) {
        say_cut_off(&view.run);
    }
    if damaged > 0 {
        let more = if unsure {
            format!(", and {LOST}")
        } else {
            String::new()
        };
        return Err(Stop::fault(anyhow::anyhow!(
            "{damaged} of the runs cannot be read{more}"
        )));
    }
    sure(unsure)
}

/// The runs that can be read, and how many cannot. One that cannot be does not hide the others.
fn views(bench: &Workbench, limit: usize) -> Result<(Vec<RunView>, usize), Stop> {
    block_on(async {
        let (mut views, mut damaged) = (Vec::new(), 0);
        for id in bench.runs.latest(limit).await? {
            match bench.runs.load(id).await {
                Ok(Some(stored)) => views.push(RunView::outline(&stored)),
                Ok(None) => {}
                Err(error) => {
                    output::notice(&format!("run {id} cannot be read: {error}"));
                    damaged += 1;
                }
            }
        }
        Ok((views, damaged))
    })
}

pub(super) fn get(which: &Which) -> Result<ExitCode, Stop> {
    let (view, unsure) = {
        // Whoever reads slowly holds up nobody: the state is closed before anything is printed.
        let bench = read_runs(&which.common)?;
        let found = pick(&bench.runs, which).and_then(|id| bench.view(id));
        (
            found.map_err(|stop| doubted(&bench, stop))?,
            bench.is_unsure(),
        )
    };
    output::document(which.common.output, &view, print::details)?;
    if is_open(view.status) {
        say_cut_off(&view.run);
    }
    sure(unsure)
}

pub(super) fn logs(which: &Which, step: Option<&str>) -> Result<ExitCode, Stop> {
    let mut lines = {
        let bench = read_runs(&which.common)?;
        let found = pick(&bench.runs, which).and_then(|id| Ok((id, load(&bench.runs, id)?)));
        let (id, stored) = found.map_err(|stop| doubted(&bench, stop))?;
        if let Some(step) = step {
            step_index(&stored, step)?;
        }
        logs::read(&bench.state.logs(), &id.to_string()).map_err(Stop::fault)?
    };
    lines.retain(|line| step.is_none_or(|step| line.step == step));
    output::document(which.common.output, &lines, |lines| log_lines(lines))?;
    Ok(ExitCode::SUCCESS)
}

fn log_lines(lines: &[LogLine]) -> String {
    let width = lines
        .iter()
        .map(|line| line.step.chars().count())
        .max()
        .unwrap_or_default();
    let line = |line: &LogLine| {
        let (at, level) = (rfc3339(line.at_ms), line.level.as_str());
        let fields = print::fields(&line.fields);
        format!(
            "{at} {:>width$} {level:<5} {}{fields}\n",
            line.step,
            text::shown(&line.message)
        )
    };
    lines.iter().map(line).collect()
}

/// A run that is not found in a state of which something is lost may have been there.
fn doubted(bench: &Workbench, stop: Stop) -> Stop {
    match bench.is_unsure() {
        true => stop.because(LOST),
        false => stop,
    }
}

fn sure(unsure: bool) -> Result<ExitCode, Stop> {
    if unsure {
        return Err(Stop::fault(anyhow::anyhow!(
            "{LOST}: what is shown may lack it"
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_open(status: RunStatus) -> bool {
    match status {
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => true,
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
            false
        }
    }
}

fn read_runs(common: &Common) -> Result<Workbench, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    if state.has_store() {
        Workbench::open_read_only(state)
    } else {
        Err(no_runs())
    }
}
