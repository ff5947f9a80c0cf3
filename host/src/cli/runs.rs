//! `belt runs`: looks at runs, and has them go on.
//!
//! Owns how a run is named and how the state is opened: shared to look, alone to move a run.

mod go_on;
mod look;

use super::stop::Stop;
use super::workbench::{block_on, no_such_run};
use super::{Format, output};
use crate::runs::{Runs, StoredRun};
use beltline_engine::RunId;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs among which the begin of an id is looked for.
const IDS_MAX: usize = 100_000;

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
    /// The run: its id, or the begin of it that no other has [default: the latest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
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
        RunsVerb::List { common, limit } => look::list(&common, limit),
        RunsVerb::Get { which } => look::get(&which),
        RunsVerb::Logs { which, step } => look::logs(&which, step.as_deref()),
        RunsVerb::Retry { which, anew, from } => go_on::retry(&which, &anew, from.as_deref()),
        RunsVerb::Rerun { which, anew } => go_on::rerun(&which, anew),
        RunsVerb::Resume { which, anew } => go_on::resume(&which, &anew),
    }
}

/// The run that is meant: its id, a begin of it, or the latest.
fn pick(runs: &Runs, which: &Which) -> Result<RunId, Stop> {
    let Some(named) = &which.run else {
        return block_on(runs.latest(1))?
            .first()
            .copied()
            .ok_or_else(no_runs);
    };
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    let all = block_on(runs.latest(IDS_MAX))?;
    let found: Vec<_> = all
        .into_iter()
        .filter(|id| !named.is_empty() && id.to_string().starts_with(named))
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Stop::invalid(anyhow::anyhow!(
            "no run's id begins with `{named}`; `belt runs list` names those there are"
        ))),
        many => Err(Stop::invalid(anyhow::anyhow!(
            "{} runs' ids begin with `{named}`; give more of it",
            many.len()
        ))),
    }
}

fn say_cut_off(run: &str) {
    output::notice(&format!(
        "note: run {run} was cut off; `belt runs resume {run}` goes on with it"
    ));
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
