//! The native driver `exec`: runs the commands that the operator allows, in the run's workspace.
//!
//! It is trusted: what it runs has the rights of its user, and the allow-list says who may ask for what, not what a command
//! may then do. So it runs nothing unless it is told, and asks the broker to know who sends.

mod command;
mod config;
mod environment;
mod files;
mod group;
mod mask;
mod process;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use beltline_sdk::{Failure, Outcome, Request};
use clap::Parser;
use serde_json::Value;

use crate::command::{Command, With};
use crate::config::Config;
use crate::files::Files;

beltline_sdk::driver! {
    name: "exec",
    kinds: [],
    wants: { workspace: rw, out: rw },
    reconcile
}

/// The Beltline driver `exec`: runs the commands that its config allows
#[derive(Parser)]
#[command(name = "belt-exec", version)]
struct Program {
    /// What may be run by whom; without it nothing may
    #[arg(long, value_name = "FILE", env = "BELT_EXEC_CONFIG")]
    config: Option<PathBuf>,
    /// Take commands from a broker that asks nobody who they are
    #[arg(long)]
    insecure_broker: bool,
    #[command(flatten)]
    options: beltline_sdk_native::Options,
}

/// The file that is read where no other is named, if it is there.
const CONFIG: &str = "exec.yaml";

static ALLOWED: OnceLock<Config> = OnceLock::new();

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == group::KEEP)
    {
        return group::keep();
    }
    let program = Program::parse();
    if !program.insecure_broker && !program.options.has_credentials() {
        return refuse(
            "the broker is reached without credentials, so anyone who reaches it could run commands here: put a user and \
             password or a token into the URL, name a file with --creds, show a certificate with --tls-cert, or accept that with --insecure-broker",
        );
    }
    let file = program
        .config
        .or_else(|| Some(PathBuf::from(CONFIG)).filter(|file| file.exists()));
    let config = match file.map_or_else(|| Ok(Config::default()), |file| Config::read(&file)) {
        Ok(config) => ALLOWED.get_or_init(|| config),
        Err(error) => return refuse(&error.to_string()),
    };
    eprintln!(
        "belt-exec: trusted: what it runs has the rights of this user; {}",
        config.summary()
    );
    let options = beltline_sdk_native::Options {
        only_guarded: !program.insecure_broker,
        ..program.options
    };
    beltline_sdk_native::run(DRIVER, options)
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("belt-exec: {why}");
    ExitCode::from(2)
}

fn reconcile(request: Request<Value, With>) -> Result<Outcome<Value>, Failure> {
    let config = ALLOWED.get_or_init(Config::default);
    let masks = &config.masks;
    run(config, &request)
        .map_err(|failure| masked(failure, config))
        .map(|mut outcome| {
            outcome.message = masks.text(&outcome.message);
            outcome.output = outcome.output.map(|output| masks.json(output));
            outcome
        })
}

fn run(config: &Config, request: &Request<Value, With>) -> Result<Outcome<Value>, Failure> {
    let command = Command::of(&request.with)?;
    config.allows(request.run.pipeline.as_deref(), &command)?;
    let workspace = beltline_sdk::workspace()?;
    let folder = command::folder(&workspace, request.with.cwd.as_deref())?;
    let files = Files::write(&request.resource)?;
    let environment = environment::of(config, &request.with.env, &request.run, &workspace, &files)?;
    let program = command.program(&environment.search)?;
    log::info!("{}", config.masks.text(&format!("runs {command}")));
    let ended = process::run(&program, &command, &folder, &environment, config)?;
    ended.checked(&command, request.with.retryable.as_ref())?;
    let outcome = Outcome::new(format!("{command} succeeded"));
    Ok(match files.output()? {
        Some(output) => outcome.output(output),
        None => outcome,
    })
}

fn masked(failure: Failure, config: &Config) -> Failure {
    let mask = |reason: String| config.masks.text(&reason);
    match failure {
        Failure::Permanent(reason) => Failure::Permanent(mask(reason)),
        Failure::Retryable { reason, after } => Failure::Retryable {
            reason: mask(reason),
            after,
        },
        Failure::Cancelled => Failure::Cancelled,
        Failure::Other(reason) => Failure::Other(mask(reason)),
    }
}
