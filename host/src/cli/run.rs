//! `belt run`: a resource through a pipeline, on this machine or on a server.

use super::broker::BrokerArgs;
use super::connection::{self, Connection, Place, TRY_PAUSE, block_on};
use super::follow::{follow, go_on};
use super::stop::{Stop, exit_code};
use super::{Format, output, print};
use crate::api::{LocalRun, NewRun};
use crate::client::{ClientError, new_key};
use crate::documents::{
    Config, Definition, Document, Documents, Override, Pipeline, Resource, apply_overrides,
    check_run, read_files,
};
use crate::launch::{self, Order, Places, Subject};
use crate::state::StateFolder;
use crate::view::RunView;
use crate::wasm::WasmHost;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `--help` says beside its arguments.
pub(super) const HELP: &str = "Where another process owns the state folder it carries the run, and where that dies this \
command takes its place: runs go on that somebody follows, others are cut off, and `belt runs resume` has them go on. \
A server that is started again is waited for.";

#[derive(Args)]
pub(super) struct RunArgs {
    /// The pipeline: a file, a folder, or - for stdin; may hold definitions too, and repeats
    #[arg(short = 'f', long = "file", required = true, value_name = "PIPELINE")]
    files: Vec<PathBuf>,
    /// The resource: a file, or - for stdin
    #[arg(short, long, value_name = "RESOURCE")]
    resource: Vec<PathBuf>,
    /// The directory to work on, at /workspace for drivers that are granted it; a server gets a copy
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Where steps put what they make [default: a folder of the run's own in the state]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    broker: BrokerArgs,
    /// The operator's file [default: belt.yaml beside the pipeline]; a server has its own
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
    let format = args.output;
    let (mut connection, written, order) = match args.place.server()? {
        Some(connection) => to_server(&args, connection)?,
        None => to_folder(&args)?,
    };
    let run = begin(&mut connection, &written, &order, format)?;
    say(&run, format);
    let view = follow(&mut connection, &run, format)?;
    let made = print::made(&connection, &view);
    output::document(format, &view, |view| print::run(view, &made))?;
    connection.finish(&view.run);
    Ok(exit_code(view.status))
}

/// On a server: it has an operator's file of its own, and paths of this machine mean nothing there.
fn to_server(
    args: &RunArgs,
    connection: Connection,
) -> Result<(Connection, Written, NewRun), Stop> {
    let of_here = [
        ("--config", args.config.is_some()),
        ("--out", args.out.is_some()),
        ("--locked", args.locked),
    ];
    let flag = of_here.iter().find(|(_, is_given)| *is_given);
    if let Some(flag) = flag.map(|(flag, _)| *flag).or(args.broker.flag()) {
        return Err(invalid(format!(
            "`{flag}` is for runs on this machine; the server's operator decides that"
        )));
    }
    let written = Written::of(args, &read(args)?, None)?;
    let workspace = args.workspace.as_deref();
    let workspace = workspace
        .map(|folder| super::archive::send(&connection, folder))
        .transpose()?;
    let order = NewRun {
        workspace,
        ..written.order(args)
    };
    Ok((connection, written, order))
}

/// On this machine. A state that is there is opened before drivers are compiled: whoever is refused is refused at once.
/// A new one is made after: a run that cannot be leaves nothing behind.
fn to_folder(args: &RunArgs) -> Result<(Connection, Written, NewRun), Stop> {
    let documents = read(args)?;
    let pipeline = one("pipeline", "`steps`", &documents.pipelines)?;
    // Before the operator's file, which is looked for beside it.
    one("resource", "`spec`", &documents.resources)?;
    let (config_path, config) = operator(args, pipeline, &documents)?;
    let written = Written::of(args, &documents, Some(&config))?;
    let state = StateFolder::locate(args.place.state.as_deref())?;
    let mut wasm = None;
    if !state.has_store() {
        wasm = Some(written.try_out(args, &config, &config_path, &state)?);
        state.make()?;
    }
    let connection = Connection::of_folder(state, args.output, wasm, args.broker.clone())?;
    if connection.owned.is_none() && args.broker.is_given() {
        output::note("another process owns the state, and its broker is taken");
    }
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Stop::fault);
    let order = NewRun {
        local: Some(LocalRun {
            config: Some(config_path),
            workspace: args.workspace.as_ref().map(absolute).transpose()?,
            out: args.out.as_ref().map(absolute).transpose()?,
            locked: args.locked,
        }),
        ..written.order(args)
    };
    Ok((connection, written, order))
}

/// Applies what the run needs and begins it. A request whose answer did not come is sent again under the same key, so
/// that one run comes of it; an owner that died may have made it, and then it goes on here.
fn begin(
    connection: &mut Connection,
    written: &Written,
    order: &NewRun,
    format: Format,
) -> Result<RunView, Stop> {
    let key = new_key();
    let mut is_repeated = false;
    loop {
        let client = connection.client.clone();
        let begun: Result<RunView, ClientError> = block_on(async {
            for definition in &written.definitions {
                let path = "/resource-definitions/apply";
                client.post::<Value>(path, &definition.value).await?;
            }
            let key = Some(key.clone());
            client.post_under(key, "/runs", order).await
        });
        match begun {
            Err(error)
                if error.is_absence() && connection.is_local() && connection.owned.is_none() =>
            {
                match error {
                    // It may have made the run.
                    ClientError::Unreachable { .. } => is_repeated = true,
                    // It takes no more, and is about to end.
                    ClientError::Problem(_)
                    | ClientError::Foreign { .. }
                    | ClientError::Address(_) => {
                        block_on(async { tokio::time::sleep(TRY_PAUSE).await })
                    }
                }
                connection.again(format)?;
            }
            done => {
                let run = done?;
                if is_repeated {
                    go_on(connection, &run.run, format)?;
                }
                return Ok(run);
            }
        }
    }
}

/// Which bytes run, and what whoever ordered the run may want to know.
pub(super) fn say(run: &RunView, format: Format) {
    if format == Format::Text {
        for (name, driver) in &run.drivers {
            output::notice(&format!("driver {name} {}", print::driver_words(driver)));
        }
    }
    for note in &run.notes {
        output::note(note);
    }
}

/// What people wrote, checked alone and against each other.
struct Written {
    pipeline: Document<Pipeline>,
    resource: Document<Resource>,
    definitions: Vec<Document<Definition>>,
}

impl Written {
    fn of(
        args: &RunArgs,
        documents: &Documents,
        config: Option<&Document<Config>>,
    ) -> Result<Self, Stop> {
        let pipeline = one("pipeline", "`steps`", &documents.pipelines)?.clone();
        let resource = one("resource", "`spec`", &documents.resources)?.clone();
        let definition = documents.definition_of(&resource.resource);
        check_run(&pipeline, &resource, definition, config).into_result()?;
        apply_overrides(&mut pipeline.value.clone(), &args.sets).map_err(Stop::invalid)?;
        Ok(Written {
            pipeline,
            resource,
            definitions: documents.definitions.clone(),
        })
    }

    fn order(&self, args: &RunArgs) -> NewRun {
        let sets = args.sets.iter().cloned();
        NewRun {
            pipeline: Some(json!(self.pipeline.value)),
            resource: json!(self.resource.value),
            context: sets.map(|one| (one.key, one.value)).collect(),
            ..NewRun::default()
        }
    }

    /// Makes everything of the run that can be made without writing. Returns the sandbox that it took.
    fn try_out(
        &self,
        args: &RunArgs,
        config: &Document<Config>,
        path: &Path,
        state: &StateFolder,
    ) -> Result<WasmHost, Stop> {
        let mut pipeline = self.pipeline.value.clone();
        apply_overrides(&mut pipeline, &args.sets).map_err(Stop::invalid)?;
        let used = launch::resolve(&pipeline, config, path, args.locked)?;
        let wasm = connection::sandbox(config, args.output)?;
        let places = Places::here(&wasm);
        let has_natives = used.values().any(|driver| driver.wasm().is_none());
        let prepared = launch::prepare(pipeline, used, config, path.to_owned(), places, state)?;
        if has_natives && args.broker.is_given() {
            // What they need is seen when there is a broker.
            return Ok(wasm);
        }
        prepared.new_run(
            Order {
                id: launch::new_id(),
                event: "create".to_owned(),
                resource: Subject::new(&self.resource, 1),
                workspace: args.workspace.clone(),
                archive: None,
                out: args.out.clone(),
                set: Map::new(),
                locked: args.locked,
                rerun_of: None,
            },
            state,
        )?;
        Ok(wasm)
    }
}

fn read(args: &RunArgs) -> Result<Documents, Stop> {
    let paths: Vec<_> = args.files.iter().chain(&args.resource).cloned().collect();
    Ok(read_files(&paths)?)
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
    // Absolute, for the run keeps it.
    let absolute = std::path::absolute(path).map_err(Stop::fault)?;
    Ok((
        absolute,
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
