//! `belt run`: a resource through a pipeline, in this process.

use super::stop::{Stop, exit_code};
use super::workbench::{self, Workbench};
use super::{Format, output, print};
use crate::documents::{
    Config, Document, Documents, Override, Pipeline, Resource, apply_overrides, check_run,
    read_files,
};
use crate::drivers::Driver;
use crate::launch::{self, Order};
use crate::state::StateFolder;
use crate::text;
use clap::Args;
use std::collections::BTreeMap;
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
    let wasm = workbench::sandbox()?;
    let state = StateFolder::locate(args.state.as_deref())?;
    say_drivers(&used, args.output);
    let order = Order {
        pipeline: written.pipeline,
        resource: (&written.resource).into(),
        config: written.config_path,
        workspace: args.workspace,
        out: args.out,
        rerun_of: None,
    };
    let launch = launch::new_run(order, used, &wasm, &state)?;
    state.make()?;
    let bench = Workbench::open(state)?;
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
        let mut documents = read_files(&paths)?;
        let config_path = config_path(args, &documents);
        if args.config.is_some() || documents.configs.is_empty() {
            documents.configs = read_files(std::slice::from_ref(&config_path))?.configs;
        }
        let mut pipeline = one("pipeline", "`steps`", &documents.pipelines)?.clone();
        let resource = one("resource", "`spec`", &documents.resources)?.clone();
        let config = one("configuration", "`drivers`", &documents.configs)?.clone();
        let definition = documents.definition_of(&resource.resource);
        check_run(&pipeline, &resource, definition, Some(&config)).into_result()?;
        if definition.is_none() {
            let kind = &resource.resource;
            anstream::eprintln!(
                "note: no definition of `{kind}` was given, so the spec is unchecked"
            );
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

/// The operator's file: the one named, else the one beside the pipeline.
fn config_path(args: &RunArgs, documents: &Documents) -> PathBuf {
    match (
        &args.config,
        documents.configs.first(),
        documents.pipelines.first(),
    ) {
        (Some(named), _, _) => named.clone(),
        (None, Some(config), _) => PathBuf::from(config.file()),
        (None, None, Some(pipeline)) => Path::new(pipeline.file())
            .parent()
            .unwrap_or(Path::new(""))
            .join("belt.yaml"),
        (None, None, None) => PathBuf::from("belt.yaml"),
    }
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

/// Which bytes run, and what they are not granted though they want it.
fn say_drivers(used: &BTreeMap<String, Driver>, format: Format) {
    for driver in used.values() {
        if format == Format::Text {
            let version = text::shown(driver.version.as_deref().unwrap_or("(no version)"));
            anstream::eprintln!("driver {} {version} {}", driver.name, driver.digest);
        }
        for lacking in &driver.lacks {
            let name = &driver.name;
            anstream::eprintln!(
                "note: driver `{name}` wants `{lacking}` and belt.yaml grants less"
            );
        }
    }
}
