//! `belt run`: a resource through a pipeline, in this process.

use super::stop::{Stop, exit_code};
use super::workbench::{self, Workbench};
use super::{Format, output, print};
use crate::documents::{
    Config, Document, Documents, Override, Pipeline, Resource, apply_overrides, check_run,
    read_files,
};
use crate::launch::{self, Order};
use crate::state::StateFolder;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct RunArgs {
    /// The pipeline: a file, a folder, or - for stdin; may hold definitions too, and repeats
    #[arg(short = 'f', long = "file", required = true, value_name = "PIPELINE")]
    files: Vec<PathBuf>,
    /// The resource: a file, or - for stdin
    #[arg(short, long, value_name = "RESOURCE")]
    resource: Vec<PathBuf>,
    /// The directory to work on, at /workspace for drivers that are granted it
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Where steps put what they make [default: a folder of the run's own in the state]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The state folder [default: the nearest .belt upwards, else a new one here]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The operator's file [default: belt.yaml beside the pipeline]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a key of the pipeline's context; repeats
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<Override>,
    /// Refuse drivers that belt.yaml does not pin by digest
    #[arg(long)]
    locked: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Stop> {
    let written = Written::read(&args)?;
    let used = launch::resolve(
        &written.pipeline,
        &written.config,
        &written.config_path,
        args.locked,
    )?;
    let state = StateFolder::locate(args.state.as_deref())?;
    // A state that is there is opened before drivers are compiled: whoever is refused is refused at once. A new one is
    // made after: a run that cannot be leaves nothing behind.
    let opened = state
        .has_store()
        .then(|| Workbench::open(state.clone()))
        .transpose()?;
    let wasm = workbench::sandbox(&written.config, args.output)?;
    workbench::say_drivers(&used, args.output);
    let order = Order {
        pipeline: written.pipeline,
        resource: (&written.resource).into(),
        config: written.config_path,
        workspace: args.workspace,
        out: args.out,
        rerun_of: None,
    };
    let launch = launch::new_run(order, used, &written.config, &wasm, &state)?;
    let bench = match opened {
        Some(bench) => bench,
        None => {
            state.make()?;
            Workbench::open(state)?
        }
    };
    launch::keep(&launch, &bench.state)?;
    let run = bench.drive(launch, None, args.output)?;
    output::document(args.output, &bench.view(run.id)?, print::run)?;
    Ok(exit_code(run.status()))
}

/// What people wrote, checked alone and against each other.
struct Written {
    pipeline: Pipeline,
    resource: Resource,
    config: Config,
    /// Absolute, for the run keeps it.
    config_path: PathBuf,
}

impl Written {
    fn read(args: &RunArgs) -> Result<Self, Stop> {
        let paths: Vec<_> = args.files.iter().chain(&args.resource).cloned().collect();
        let documents = read_files(&paths)?;
        let mut pipeline = one("pipeline", "`steps`", &documents.pipelines)?.clone();
        let resource = one("resource", "`spec`", &documents.resources)?.clone();
        let (config_path, config) = operator(args, &pipeline, &documents)?;
        let definition = documents.definition_of(&resource.resource);
        check_run(&pipeline, &resource, definition, Some(&config)).into_result()?;
        if definition.is_none() {
            let kind = &resource.resource;
            output::notice(&format!(
                "note: no definition of `{kind}` was given, so the spec is unchecked"
            ));
        }
        apply_overrides(&mut pipeline.value, &args.sets).map_err(Stop::invalid)?;
        Ok(Written {
            pipeline: pipeline.value,
            resource: resource.value,
            config: config.value,
            config_path: std::path::absolute(config_path).map_err(Stop::fault)?,
        })
    }
}

/// The operator's file: the one named, else the `belt.yaml` beside the pipeline. No other document may set up
/// drivers: whoever writes a pipeline would grant himself what he likes.
fn operator(
    args: &RunArgs,
    pipeline: &Document<Pipeline>,
    documents: &Documents,
) -> Result<(PathBuf, Document<Config>), Stop> {
    let folder = Path::new(pipeline.file()).parent().unwrap_or(Path::new(""));
    let beside = folder.join("belt.yaml");
    let elsewhere = |config: &&Document<Config>| Path::new(config.file()) != beside;
    if let Some(config) = documents.configs.iter().find(elsewhere) {
        let place = config.position("/drivers");
        return Err(invalid(format!(
            "{place}: `drivers` are the operator's; put them into belt.yaml beside the pipeline, or name their file with --config"
        )));
    }
    let path = args.config.as_ref().unwrap_or(&beside);
    let shown = path.display();
    if args.config.is_none() && !path.exists() {
        return Err(invalid(format!(
            "there is no `{shown}` beside the pipeline; name the operator's file with --config FILE"
        )));
    }
    let configs = read_files(std::slice::from_ref(path))?.configs;
    if configs.is_empty() {
        return Err(invalid(format!(
            "`{shown}` has no `drivers`; name the operator's file with --config FILE"
        )));
    }
    Ok((
        path.clone(),
        one("configuration", "`drivers`", &configs)?.clone(),
    ))
}

fn invalid(message: String) -> Stop {
    Stop::invalid(anyhow::Error::msg(message))
}

fn one<'d, T>(what: &str, key: &str, found: &'d [Document<T>]) -> Result<&'d Document<T>, Stop> {
    match found {
        [one] => Ok(one),
        [] => Err(Stop::invalid(anyhow::anyhow!(
            "no {what} was given; it is a document with {key}"
        ))),
        [first, second, ..] => {
            let (first, second) = (first.position(""), second.position(""));
            Err(Stop::invalid(anyhow::anyhow!(
                "two {what}s were given, at {first} and {second}; a run takes one"
            )))
        }
    }
}
