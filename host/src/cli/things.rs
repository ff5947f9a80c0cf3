//! `belt get`, `describe` and `delete`: what has been applied, by type and name.

use super::connection::{Connection, Place, block_on};
use super::print::table;
use super::stop::Stop;
use super::{Format, output};
use crate::api::RunsPage;
use crate::client::Payload;
use crate::text;
use axum::http::Method;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

/// What people are told where there is nothing.
const NONE: &str = "none yet";

/// Runs that are shown with a resource.
const RUNS: usize = 10;

#[derive(Args)]
pub(super) struct GetArgs {
    /// definitions, pipelines, drivers, or a kind of resources
    #[arg(value_name = "TYPE")]
    sort: String,
    /// Only the one of this name
    name: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Args)]
pub(super) struct DeleteArgs {
    /// definition, pipeline, driver, or a kind of resources
    #[arg(value_name = "TYPE")]
    sort: String,
    /// Its name; without one nothing is removed
    name: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What people call a sort of things, and where it is.
enum Sort {
    Definitions,
    Pipelines,
    Drivers,
    /// Resources of this kind.
    Kind(String),
}

impl Sort {
    fn of(word: &str) -> Result<Self, Stop> {
        match word {
            "definition" | "definitions" => Ok(Sort::Definitions),
            "pipeline" | "pipelines" => Ok(Sort::Pipelines),
            "driver" | "drivers" => Ok(Sort::Drivers),
            "run" | "runs" => Err(Stop::invalid(anyhow::anyhow!(
                "runs have verbs of their own: `belt runs list`, `get`, `logs`"
            ))),
            kind => {
                check(kind)?;
                Ok(Sort::Kind(kind.to_owned()))
            }
        }
    }

    fn path(&self, name: Option<&str>) -> Result<String, Stop> {
        let base = match self {
            Sort::Definitions => "/resource-definitions".to_owned(),
            Sort::Pipelines => "/pipelines".to_owned(),
            Sort::Drivers => "/drivers".to_owned(),
            Sort::Kind(kind) => format!("/resources/{kind}"),
        };
        match name {
            None => Ok(base),
            Some(name) => {
                check(name)?;
                Ok(format!("{base}/{name}"))
            }
        }
    }

    /// Two columns beside the name, as the JSON has them.
    fn columns(&self) -> [&'static str; 2] {
        match self {
            Sort::Definitions => ["version", "description"],
            Sort::Pipelines => ["resource", "description"],
            Sort::Drivers => ["status", "digest"],
            Sort::Kind(_) => ["pipeline", "last_run"],
        }
    }
}

fn check(name: &str) -> Result<(), Stop> {
    let is_plain = |part: char| part.is_ascii_alphanumeric() || "-_.".contains(part);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => Ok(()),
        false => Err(Stop::invalid(anyhow::anyhow!("nothing is called `{name}`"))),
    }
}

pub(super) fn get(args: &GetArgs) -> Result<ExitCode, Stop> {
    let sort = Sort::of(&args.sort)?;
    let connection = args.place.look()?;
    let all = match &args.name {
        Some(name) => vec![one(&connection, &sort.path(Some(name))?)?],
        None => list(&connection, &sort)?,
    };
    let shown = match &args.name {
        Some(_) => all.first().cloned().unwrap_or_default(),
        None => Value::Array(all.clone()),
    };
    output::document(args.output, &shown, |_| rows(&sort, &all))?;
    Ok(ExitCode::SUCCESS)
}

fn one(connection: &Connection, path: &str) -> Result<Value, Stop> {
    Ok(block_on(connection.client.get(path))?)
}

/// All of them, a page at a time.
fn list(connection: &Connection, sort: &Sort) -> Result<Vec<Value>, Stop> {
    let path = sort.path(None)?;
    if let Sort::Drivers = sort {
        let view = one(connection, &path)?;
        let drivers = view.get("drivers").and_then(Value::as_array);
        return Ok(drivers.cloned().unwrap_or_default());
    }
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().and_then(|last| last.get("name")?.as_str());
        let after = after
            .map(|name| format!("&after={name}"))
            .unwrap_or_default();
        let page = one(connection, &format!("{path}?limit=1000{after}"))?;
        let page = page.as_array().cloned().unwrap_or_default();
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn rows(sort: &Sort, all: &[Value]) -> String {
    if all.is_empty() {
        return NONE.to_owned();
    }
    let [first, second] = sort.columns();
    let title = |column: &str| column.to_uppercase().replace('_', " ");
    let header = ["NAME".to_owned(), title(first), title(second)];
    let cell = |value: &Value| match value {
        Value::String(text) => text::shown(text).into_owned(),
        Value::Object(run) => run
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => "-".to_owned(),
    };
    let of = |one: &Value, column: &str| one.get(column).map_or_else(|| "-".to_owned(), cell);
    let row = |one: &Value| [of(one, "name"), of(one, first), of(one, second)];
    let rows: Vec<_> = std::iter::once(header).chain(all.iter().map(row)).collect();
    table(&rows).join("\n")
}

pub(super) fn describe(args: &GetArgs) -> Result<ExitCode, Stop> {
    let sort = Sort::of(&args.sort)?;
    let connection = args.place.look()?;
    let described = |thing| described(&connection, &sort, thing);
    let shown = match &args.name {
        Some(name) => described(one(&connection, &sort.path(Some(name))?)?)?,
        None => {
            let all = list(&connection, &sort)?.into_iter();
            all.map(described).collect::<Result<Value, Stop>>()?
        }
    };
    let is_none = shown.as_array().is_some_and(Vec::is_empty);
    // For people it is YAML, which shows texts of several lines as such.
    let format = match args.output {
        Format::Text if !is_none => Format::Yaml,
        format @ (Format::Text | Format::Json | Format::Yaml) => format,
    };
    output::document(format, &shown, |_| NONE.to_owned())?;
    Ok(ExitCode::SUCCESS)
}

/// A thing as it is; a resource with its last runs.
fn described(connection: &Connection, sort: &Sort, mut thing: Value) -> Result<Value, Stop> {
    let name = thing.get("name").and_then(Value::as_str);
    if let (Sort::Kind(kind), Some(name)) = (sort, name) {
        let query = format!("/runs?limit={RUNS}&kind={kind}&resource={name}");
        let page: RunsPage = block_on(connection.client.get(&query))?;
        let runs = page
            .runs
            .iter()
            .map(|run| format!("{} {} {}", run.run, run.status, run.created_at));
        let runs = runs.collect();
        if let Value::Object(fields) = &mut thing {
            fields.insert("runs".to_owned(), runs);
        }
    }
    Ok(thing)
}

pub(super) fn delete(args: &DeleteArgs) -> Result<ExitCode, Stop> {
    let sort = Sort::of(&args.sort)?;
    let Some(name) = &args.name else {
        let sort = &args.sort;
        return Err(Stop::invalid(anyhow::anyhow!(
            "`belt delete {sort}` wants the name of the one that is to go, for it never removes all of them; `belt get {sort}` lists them"
        )));
    };
    let connection = args.place.open(args.output)?;
    let path = sort.path(Some(name))?;
    block_on(async {
        let sent = connection
            .client
            .send(Method::DELETE, &path, &[], Payload::None);
        sent.await?.successful().await
    })?;
    output::document(args.output, &Value::Null, |_| {
        format!("{} {name} is gone", args.sort)
    })?;
    connection.finish("");
    Ok(ExitCode::SUCCESS)
}
