//! `belt runs`: looks at runs, and has them go on.

use super::stop::{Stop, exit_code};
use super::workbench::{self, Workbench, block_on, no_such_run};
use super::{Format, output, print};
use crate::clock::rfc3339;
use crate::documents::{Config, read_files};
use crate::launch::{self, Launch, Order};
use crate::logs::{self, LogLine};
use crate::runs::Runs;
use crate::runs::StoredRun;
use crate::state::StateFolder;
use crate::store::Embedded;
use crate::text;
use crate::view::RunView;
use beltline_engine::{Input, Refusal, RunId};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Subcommand)]
pub(super) enum RunsVerb {
    /// List runs, latest first
    List {
        #[command(flatten)]
        common: Common,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show a run: what it is of, every attempt, outputs in JSON and YAML
    Get {
        #[command(flatten)]
        which: Which,
    },
    /// Show what the drivers of a run said
    Logs {
        #[command(flatten)]
        which: Which,
        /// Of one step only
        #[arg(long, value_name = "STEP")]
        step: Option<String>,
    },
    /// Have an ended run go on with a new round
    Retry {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        anew: Anew,
        /// From this step on [default: the first that did not succeed]
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
    },
    /// Take a run's snapshots through the pipeline once more, as a new run
    Rerun {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        anew: Anew,
    },
    /// Have a run go on that was cut off, by a crash or a kill
    Resume {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        anew: Anew,
    },
}

#[derive(Args)]
pub(super) struct Common {
    /// The state folder [default: the nearest .belt upwards]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Args)]
pub(super) struct Which {
    #[command(flatten)]
    common: Common,
    /// The run [default: the latest]
    #[arg(value_name = "RUN")]
    run: Option<RunId>,
}

/// Paths that a run keeps, where they are no longer what they were.
#[derive(Args)]
pub(super) struct Anew {
    /// The operator's file, instead of the one that the run was made with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory to work on, instead of the run's
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// The out folder, instead of the run's
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Anew {
    fn is_given(&self) -> bool {
        self.config.is_some() || self.workspace.is_some() || self.out.is_some()
    }
}

pub(super) fn runs(verb: RunsVerb) -> Result<ExitCode, Stop> {
    match verb {
        RunsVerb::List { common, limit } => list(&common, limit),
        RunsVerb::Get { which } => get(&which),
        RunsVerb::Logs { which, step } => show_logs(&which, step.as_deref()),
        RunsVerb::Retry { which, anew, from } => retry(&which, &anew, from.as_deref()),
        RunsVerb::Rerun { which, anew } => rerun(&which, anew),
        RunsVerb::Resume { which, anew } => resume(&which, &anew),
    }
}

fn list(common: &Common, limit: usize) -> Result<ExitCode, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    let views = if state.has_store() {
        views(&read(state)?, limit)?
    } else {
        Vec::new()
    };
    output::document(common.output, &views, |views| print::list(views))?;
    Ok(ExitCode::SUCCESS)
}

/// The runs that can be read. One that cannot be does not hide the others.
fn views(bench: &Workbench, limit: usize) -> Result<Vec<RunView>, Stop> {
    block_on(async {
        let mut views = Vec::new();
        for id in bench.runs.latest(limit).await? {
            match bench.runs.load(id).await {
                Ok(Some(stored)) => views.push(RunView::new(&stored, &[], &[])),
                Ok(None) => {}
                Err(error) => anstream::eprintln!("run {id} cannot be read: {error}"),
            }
        }
        Ok(views)
    })
}

fn get(which: &Which) -> Result<ExitCode, Stop> {
    let bench = read_runs(&which.common)?;
    let id = pick(&bench.runs, which)?;
    output::document(which.common.output, &bench.view(id)?, print::details)?;
    Ok(ExitCode::SUCCESS)
}

fn show_logs(which: &Which, step: Option<&str>) -> Result<ExitCode, Stop> {
    let bench = read_runs(&which.common)?;
    let id = pick(&bench.runs, which)?;
    let stored = load(&bench.runs, id)?;
    if let Some(step) = step {
        step_index(&stored, step)?;
    }
    let mut lines = logs::read(&bench.state.logs(), &id.to_string()).map_err(Stop::fault)?;
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

fn retry(which: &Which, anew: &Anew, from: Option<&str>) -> Result<ExitCode, Stop> {
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

fn resume(which: &Which, anew: &Anew) -> Result<ExitCode, Stop> {
    let bench = write(&which.common)?;
    let stored = load(&bench.runs, pick(&bench.runs, which)?)?;
    if stored.run.is_ended() {
        anstream::eprintln!("note: the run has ended already, there is nothing to resume");
        let status = stored.run.status();
        output::document(which.common.output, &bench.view(stored.run.id)?, print::run)?;
        return Ok(exit_code(status));
    }
    go_on(&bench, stored, anew, None, which.common.output)
}

fn go_on(
    bench: &Workbench,
    stored: StoredRun,
    anew: &Anew,
    input: Option<Input>,
    format: Format,
) -> Result<ExitCode, Stop> {
    let epoch = stored.run.head.epoch.saturating_add(1);
    let launch = reopen(bench, stored, anew)?;
    if anew.is_given() {
        block_on(bench.runs.amend(&launch.stored))?;
    }
    let inputs = std::iter::once(Input::Claim { epoch }).chain(input);
    finish(bench, launch, Some(inputs.collect()), format)
}

fn rerun(which: &Which, anew: Anew) -> Result<ExitCode, Stop> {
    let bench = write(&which.common)?;
    let mut stored = load(&bench.runs, pick(&bench.runs, which)?)?;
    let wasm = workbench::sandbox()?;
    let (config, entries) = operator(&stored, &anew)?;
    Arc::make_mut(&mut stored.record).config = config.clone();
    let order = Order {
        pipeline: (*stored.pipeline).clone(),
        resource: (&stored).into(),
        config,
        workspace: anew.workspace.or_else(|| stored.record.workspace.clone()),
        out: anew.out,
        rerun_of: Some(stored.run.id),
    };
    let used = launch::kept(&stored, &entries, &bench.state)?;
    let launch = launch::new_run(order, used, &wasm, &bench.state)?;
    launch::keep(&launch, &bench.state)?;
    finish(&bench, launch, None, which.common.output)
}

fn finish(
    bench: &Workbench,
    launch: Launch,
    inputs: Option<Vec<Input>>,
    format: Format,
) -> Result<ExitCode, Stop> {
    let run = bench.drive(launch, inputs, format)?;
    output::document(format, &bench.view(run.id)?, print::run)?;
    Ok(exit_code(run.status()))
}

fn reopen(bench: &Workbench, mut stored: StoredRun, anew: &Anew) -> Result<Launch, Stop> {
    let wasm = workbench::sandbox()?;
    let (config, entries) = operator(&stored, anew)?;
    let record = Arc::make_mut(&mut stored.record);
    record.config = config;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Stop::fault);
    if let Some(workspace) = &anew.workspace {
        record.workspace = Some(absolute(workspace)?);
    }
    if let Some(out) = &anew.out {
        record.out = absolute(out)?;
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

fn read_runs(common: &Common) -> Result<Workbench, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    if state.has_store() {
        read(state)
    } else {
        Err(no_runs())
    }
}

fn read(state: StateFolder) -> Result<Workbench, Stop> {
    let store = Embedded::open_read_only(&state.store())?;
    for damage in store.damage() {
        anstream::eprintln!("damaged: {damage}");
    }
    Ok(Workbench {
        state,
        runs: Runs::new(Arc::new(store)),
    })
}

fn write(common: &Common) -> Result<Workbench, Stop> {
    let state = StateFolder::find(common.state.as_deref())?;
    if state.has_store() {
        Workbench::open(state)
    } else {
        Err(no_runs())
    }
}

fn pick(runs: &Runs, which: &Which) -> Result<RunId, Stop> {
    match which.run {
        Some(id) => Ok(id),
        None => {
            let latest = block_on(runs.latest(1))?;
            latest.first().copied().ok_or_else(no_runs)
        }
    }
}

fn no_runs() -> Stop {
    Stop::invalid(anyhow::anyhow!("there are no runs yet"))
}

fn load(runs: &Runs, id: RunId) -> Result<StoredRun, Stop> {
    block_on(runs.load(id))?.ok_or_else(|| no_such_run(id))
}

fn step_index(stored: &StoredRun, id: &str) -> Result<u32, Stop> {
    let steps = &stored.pipeline.steps;
    let found = (0_u32..).zip(steps).find(|(_, step)| step.id == id);
    found.map(|(index, _)| index).ok_or_else(|| {
        let known = steps
            .iter()
            .map(|step| step.id.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let known = if known.is_empty() { "none" } else { &known };
        Stop::invalid(anyhow::anyhow!(
            "the run has no step `{id}`; it has {known}"
        ))
    })
}
