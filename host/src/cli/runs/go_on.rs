//! `belt runs retry`, `rerun` and `resume`: a run goes on, or its snapshots go through once more.

use super::super::stop::{Stop, exit_code};
use super::super::workbench::{self, Workbench, block_on};
use super::super::{Format, output, print};
use super::{Anew, Common, Which, load, no_runs, pick, say_cut_off, step_index};
use crate::clock;
use crate::documents::{Config, read_files};
use crate::launch::{self, Launch, Order};
use crate::runs::{StoredRun, Traces};
use crate::state::StateFolder;
use beltline_engine::{Input, Phase, Refusal, Run, events};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs among which an open one is looked for, to name it.
const LOOKED_AT: usize = 100;

pub(super) fn retry(which: &Which, anew: &Anew, from: Option<&str>) -> Result<ExitCode, Stop> {
    let bench = write(&which.common)?;
    let stored = load(&bench.runs, pick(&bench.runs, which)?)?;
    let from = from.map(|step| step_index(&stored, step)).transpose()?;
    let input = Input::Retry { from };
    match stored.run.refuses(&input) {
        None => {}
        Some(Refusal::NotEnded { status }) => {
            return Err(Stop::invalid(anyhow::anyhow!(
                "the run has not ended: it is {status}; `belt runs resume` has it go on"
            )));
        }
        Some(refusal) => return Err(Stop::invalid(refusal)),
    }
    go_on(&bench, stored, anew, Some(input), which.common.output)
}

pub(super) fn resume(which: &Which, anew: &Anew) -> Result<ExitCode, Stop> {
    let bench = write(&which.common)?;
    let stored = load(&bench.runs, pick(&bench.runs, which)?)?;
    let format = which.common.output;
    if stored.run.is_ended() {
        output::notice("note: the run has ended already, there is nothing to resume");
        say_open(&bench)?;
        return show(&bench, &stored.run, format);
    }
    if let Some(ended) = overdue(&bench, &stored)? {
        return show(&bench, &ended, format);
    }
    go_on(&bench, stored, anew, None, format)
}

/// Ends a run whose own time is over. That takes no drivers, which may be gone by now. Attempts that died with their
/// host are not looked at: they start again.
fn overdue(bench: &Workbench, stored: &StoredRun) -> Result<Option<Run>, Stop> {
    let (before, now_ms) = (&stored.run, clock::now_ms());
    let until_ms = match before.head.phase {
        Phase::Running {
            deadline_ms: until_ms,
        }
        | Phase::Cancelling { until_ms } => until_ms,
        Phase::Ended { .. } => return Ok(None),
    };
    let after = before.on(&Input::Tick, now_ms);
    let Some(after) = after.filter(|_| until_ms <= now_ms) else {
        return Ok(None);
    };
    let traces = Traces {
        events: events(Some(before), &after),
        ..Traces::default()
    };
    block_on(async {
        let revision = bench
            .runs
            .save(before, &after, &traces, stored.head)
            .await?;
        bench.runs.store().sync(revision).await?;
        Ok(Some(after))
    })
}

/// Names the runs that were cut off.
fn say_open(bench: &Workbench) -> Result<(), Stop> {
    block_on(async {
        for id in bench.runs.latest(LOOKED_AT).await? {
            if let Ok(Some(stored)) = bench.runs.load(id).await
                && !stored.run.is_ended()
            {
                say_cut_off(&id.to_string());
            }
        }
        Ok(())
    })
}

fn go_on(
    bench: &Workbench,
    stored: StoredRun,
    anew: &Anew,
    input: Option<Input>,
    format: Format,
) -> Result<ExitCode, Stop> {
    let epoch = stored.run.head.epoch.saturating_add(1);
    let launch = reopen(bench, stored, anew, format)?;
    if anew.is_given() {
        block_on(bench.runs.amend(&launch.stored))?;
    }
    let inputs = std::iter::once(Input::Claim { epoch }).chain(input);
    finish(bench, launch, Some(inputs.collect()), format)
}

pub(super) fn rerun(which: &Which, anew: Anew) -> Result<ExitCode, Stop> {
    let bench = write(&which.common)?;
    let mut stored = load(&bench.runs, pick(&bench.runs, which)?)?;
    let (config, entries) = operator(&stored, &anew)?;
    let wasm = workbench::sandbox(&entries, which.common.output)?;
    Arc::make_mut(&mut stored.record).config = config.clone();
    let order = Order {
        pipeline: (*stored.pipeline).clone(),
        resource: (&stored).into(),
        config,
        workspace: anew.workspace.or_else(|| stored.record.workspace.clone()),
        out: anew.out.or_else(|| given_out(&stored)),
        rerun_of: Some(stored.run.id),
    };
    let used = launch::same(&stored, &entries, &bench.state)?;
    workbench::say_drivers(&used, which.common.output);
    let launch = launch::new_run(order, used, &entries, &wasm, &bench.state)?;
    launch::keep(&launch, &bench.state)?;
    finish(&bench, launch, None, which.common.output)
}

fn given_out(stored: &StoredRun) -> Option<PathBuf> {
    let record = &stored.record;
    record.out_given.then(|| record.out.clone())
}

fn finish(
    bench: &Workbench,
    launch: Launch,
    inputs: Option<Vec<Input>>,
    format: Format,
) -> Result<ExitCode, Stop> {
    let run = bench.drive(launch, inputs, format)?;
    show(bench, &run, format)
}

fn show(bench: &Workbench, run: &Run, format: Format) -> Result<ExitCode, Stop> {
    output::document(format, &bench.view(run.id)?, print::run)?;
    Ok(exit_code(run.status()))
}

fn reopen(
    bench: &Workbench,
    mut stored: StoredRun,
    anew: &Anew,
    format: Format,
) -> Result<Launch, Stop> {
    let (config, entries) = operator(&stored, anew)?;
    let wasm = workbench::sandbox(&entries, format)?;
    let record = Arc::make_mut(&mut stored.record);
    record.config = config;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Stop::fault);
    if let Some(workspace) = &anew.workspace {
        record.workspace = Some(absolute(workspace)?);
    }
    if let Some(out) = &anew.out {
        record.out = absolute(out)?;
        record.out_given = true;
    }
    Ok(launch::reopen(stored, &entries, &wasm, &bench.state)?)
}

/// The operator's file of a run: as it is today.
fn operator(stored: &StoredRun, anew: &Anew) -> Result<(PathBuf, Config), Stop> {
    let path = anew.config.as_deref().unwrap_or(&stored.record.config);
    let path = std::path::absolute(path).map_err(Stop::fault)?;
    let documents = read_files(std::slice::from_ref(&path))?;
    match documents.configs.into_iter().next() {
        Some(config) => Ok((path, config.value)),
        None => Err(not_a_config(&path)),
    }
}

fn not_a_config(path: &Path) -> Stop {
    let path = path.display();
    Stop::invalid(anyhow::anyhow!(
        "`{path}` has no `drivers`; name the operator's file with --config"
    ))
}

fn write(common: &Common) -> Result<Workbench, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    if state.has_store() {
        Workbench::open(state)
    } else {
        Err(no_runs())
    }
}
