//! `belt runs`: looks at runs, and has them stop and go on.
//!
//! Owns the verbs and how a run is named.

mod go_on;
mod look;

use super::broker::BrokerArgs;
use super::connection::Place;
use super::stop::Stop;
use super::{Format, output};
use beltline_engine::RunStatus;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(super) enum RunsVerb {
    /// List runs, latest first
    List {
        #[command(flatten)]
        common: Common,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only those of this status
        #[arg(long)]
        status: Option<String>,
        /// Only those of this pipeline
        #[arg(long)]
        pipeline: Option<String>,
        /// Only those of this resource
        #[arg(long, value_name = "KIND/NAME")]
        resource: Option<String>,
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
        /// Go on until the run has ended
        #[arg(short, long)]
        follow: bool,
    },
    /// Watch how a run goes, to its end
    Watch {
        #[command(flatten)]
        which: Which,
    },
    /// Wait for a run's end; the exit code is the run's
    Wait {
        #[command(flatten)]
        which: Which,
        /// No longer than this, `30s`
        #[arg(long, value_name = "DURATION")]
        timeout: Option<String>,
    },
    /// Ask a run to stop
    Cancel {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        broker: BrokerArgs,
        /// At once, rather than after its steps have had their time to stop
        #[arg(long)]
        force: bool,
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
    #[command(flatten)]
    place: Place,
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

/// What a run needs of this machine, where that is not what it was: paths that it keeps, and a broker.
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
    #[command(flatten)]
    broker: BrokerArgs,
}

impl Which {
    /// The path of the run, and what is below it.
    fn path(&self, below: &str) -> Result<String, Stop> {
        let named = self.run.as_deref().unwrap_or("latest");
        let is_id = |part: char| part.is_ascii_alphanumeric() || part == '-';
        match !named.is_empty() && named.chars().all(is_id) {
            true => Ok(format!("/runs/{named}{below}")),
            false => Err(Stop::invalid(anyhow::anyhow!(
                "no run's id begins with `{named}`; `belt runs list` names those there are"
            ))),
        }
    }
}

pub(super) fn runs(verb: RunsVerb) -> Result<ExitCode, Stop> {
    match verb {
        RunsVerb::List {
            common,
            limit,
            status,
            pipeline,
            resource,
        } => {
            let filters = look::Filters {
                limit,
                status,
                pipeline,
                resource,
            };
            look::list(&common, &filters)
        }
        RunsVerb::Get { which } => look::get(&which),
        RunsVerb::Logs {
            which,
            step,
            follow,
        } => look::logs(&which, step.as_deref(), follow),
        RunsVerb::Watch { which } => go_on::watch(&which),
        RunsVerb::Wait { which, timeout } => look::wait(&which, timeout.as_deref()),
        RunsVerb::Cancel {
            which,
            broker,
            force,
        } => go_on::cancel(&which, &broker, force),
        RunsVerb::Retry { which, anew, from } => go_on::retry(&which, &anew, from),
        RunsVerb::Rerun { which, anew } => go_on::rerun(&which, &anew),
        RunsVerb::Resume { which, anew } => go_on::resume(&which, &anew),
    }
}

fn say_cut_off(run: &str) {
    output::note(&format!(
        "run {run} was cut off; `belt runs resume {run}` goes on with it"
    ));
}

pub(super) fn is_open(status: RunStatus) -> bool {
    match status {
        RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => true,
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
            false
        }
    }
}
