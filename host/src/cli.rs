//! The command line: arguments in, words and exit codes out.
//!
//! Owns the verbs, how things look on a terminal, and the exit codes. Decides nothing about a run.

mod apply;
mod archive;
mod broker;
mod connection;
mod drivers;
mod follow;
mod lint;
mod log;
mod output;
mod print;
mod progress;
mod run;
mod runs;
mod signals;
mod stop;
mod things;
mod up;

use crate::wasm::{self, Order};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;
use stop::Stop;

/// Runs pipelines of drivers: sandboxed WASI components, in order, with a record that survives a crash.
#[derive(Parser)]
#[command(name = "belt", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Take a resource through a pipeline
    #[command(after_help = run::HELP)]
    Run(run::RunArgs),
    /// Stay up: an HTTP API, its runs, live events
    Up(up::UpArgs),
    /// Bring definitions, pipelines and resources; a changed resource starts a run
    Apply(apply::ApplyArgs),
    /// List what has been applied, or show one of it
    Get(things::GetArgs),
    /// Show all that is known of a definition, pipeline, driver or resource, or of each
    Describe(things::GetArgs),
    /// Remove a definition, pipeline, driver or resource
    #[command(override_usage = "belt delete [OPTIONS] <TYPE> <NAME>")]
    Delete(things::DeleteArgs),
    /// Check pipelines, resources, definitions and belt.yaml without running anything
    Lint(lint::LintArgs),
    /// Look at runs, and have them go on
    #[command(subcommand)]
    Runs(runs::RunsVerb),
    /// Look at driver files
    #[command(subcommand)]
    Drivers(drivers::DriversVerb),
    /// Print a completion script: belt completions bash > /etc/bash_completion.d/belt
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Before anything else: a host asks for it, no person does.
    if args.next().is_some_and(|verb| verb == wasm::VERB) {
        return match Order::read(args) {
            Some(order) => wasm::compile_driver(order),
            None => {
                let kept = anyhow::anyhow!("`{}` is for belt itself", wasm::VERB);
                Stop::invalid(kept).report()
            }
        };
    }
    let cli = Cli::parse();
    raise_open_files();
    let done = match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Up(args) => up::up(&args),
        Verb::Apply(args) => apply::apply(&args),
        Verb::Get(args) => things::get(&args),
        Verb::Describe(args) => things::describe(&args),
        Verb::Delete(args) => things::delete(&args),
        Verb::Lint(args) => lint::lint(&args),
        Verb::Runs(verb) => runs::runs(verb),
        Verb::Drivers(verb) => drivers::drivers(verb),
        Verb::Completions { shell } => completions(shell),
    };
    done.unwrap_or_else(Stop::report)
}

/// Allows this process as many open files as it may allow itself: guests hold some, and must not leave the host without.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is refused the limit stays as it is.
    let _ = setrlimit(Resource::Nofile, raised);
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "belt", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
