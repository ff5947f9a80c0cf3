//! `belt apply`: definitions, pipelines and resources from files to an owner. A changed resource starts a run.

use super::connection::{Connection, Place, block_on};
use super::stop::Stop;
use super::{Format, output};
use crate::client::{ClientError, Payload, json};
use crate::documents::read_files;
use axum::http::{Method, StatusCode};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct ApplyArgs {
    /// A file, a folder, or - for stdin; repeats
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// How to print what was applied
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What became of a document.
#[derive(Serialize)]
struct Applied {
    what: &'static str,
    name: String,
    /// `created`, `changed` or `unchanged`.
    became: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
}

pub(super) fn apply(args: &ApplyArgs) -> Result<ExitCode, Stop> {
    let documents = read_files(&args.files)?;
    for config in &documents.configs {
        output::note(&format!(
            "{} is the operator's, who gives it to `belt up`; it is not applied",
            config.file()
        ));
    }
    let connection = args.place.open_or_make(args.output)?;
    let mut applied = Vec::new();
    for document in &documents.definitions {
        let path = format!("/resource-definitions/{}", document.name);
        let post = "/resource-definitions/apply";
        applied.push(one(
            &connection,
            "definition",
            &document.name,
            &path,
            post,
            &document.value,
        )?);
    }
    for document in &documents.pipelines {
        let path = format!("/pipelines/{}", document.name);
        applied.push(one(
            &connection,
            "pipeline",
            &document.name,
            &path,
            "/pipelines",
            &document.value,
        )?);
    }
    for document in &documents.resources {
        applied.push(resource(
            &connection,
            &document.resource,
            &document.name,
            &document.value,
        )?);
    }
    output::document(args.output, &applied, |applied| words(applied))?;
    connection.finish("");
    Ok(ExitCode::SUCCESS)
}

/// A document that is kept in the place of what was there.
fn one(
    connection: &Connection,
    what: &'static str,
    name: &str,
    path: &str,
    post: &str,
    value: &impl Serialize,
) -> Result<Applied, Stop> {
    let was = found(connection, path)?;
    block_on(connection.client.post::<Value>(post, value))?;
    let is = found(connection, path)?;
    Ok(Applied {
        what,
        name: name.to_owned(),
        became: match (was.is_some(), was == is) {
            (false, _) => "created",
            (true, true) => "unchanged",
            (true, false) => "changed",
        },
        run: None,
    })
}

fn found(connection: &Connection, path: &str) -> Result<Option<Value>, Stop> {
    match block_on(connection.client.get(path)) {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A resource: changed where it is there, else made.
fn resource(
    connection: &Connection,
    kind: &str,
    name: &str,
    value: &impl Serialize,
) -> Result<Applied, Stop> {
    let path = format!("/resources/{kind}/{name}");
    let ask = async || {
        let payload = Payload::Json(json(value));
        let client = &connection.client;
        client.send(Method::PUT, &path, &[], payload).await
    };
    // Of what is there already no second run comes: it can be asked again.
    let answer = block_on(connection.client.repeat(ask))?;
    let (answer, is_there) = match answer.status {
        StatusCode::NOT_FOUND => {
            let made: Value = block_on(connection.client.post("/resources", value))?;
            (made, false)
        }
        _ => (block_on(answer.json::<Value>())?, true),
    };
    let said = |key: &str| answer.get(key).and_then(Value::as_str);
    let is_unchanged = said("message") == Some("Resource unchanged");
    let run = said("runid").filter(|_| !is_unchanged);
    Ok(Applied {
        what: "resource",
        name: format!("{kind}/{name}"),
        became: match (is_there, is_unchanged) {
            (false, _) => "created",
            (true, true) => "unchanged",
            (true, false) => "changed",
        },
        run: run.map(str::to_owned),
    })
}

fn words(applied: &[Applied]) -> String {
    let lines = applied.iter().map(|one| {
        let run = one.run.as_ref().map(|run| format!(", run {run}"));
        let run = run.unwrap_or_default();
        format!("{} {} {}{run}\n", one.what, one.name, one.became)
    });
    lines.collect()
}
