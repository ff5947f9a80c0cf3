//! The stock driver `report`: what a run did, as Markdown and as an HTML page.
//!
//! Shows the steps before it and what they left; of outputs that look like a bill of materials or like policy
//! findings it makes more than their JSON. It judges nothing: a run that was not good enough has failed before.
//! The page asks nobody for anything: no script, no font, no picture.

mod html;
mod markdown;
mod model;
mod page;
#[cfg(test)]
mod tests;
mod text;

use std::fs;

use beltline_sdk::{Explain, Failure, Outcome, Request};
use serde::{Deserialize, Serialize};

use crate::model::Report;

beltline_sdk::driver! {
    name: "report",
    kinds: [],
    wants: { out: rw },
    reconcile
}

/// The step's `with`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct With {
    /// What stands at the top; by default the pipeline's and the resource's names.
    title: Option<String>,
    /// Where the Markdown goes, below the out folder.
    markdown: String,
    /// Where the page goes.
    html: String,
}

impl Default for With {
    fn default() -> Self {
        With {
            title: None,
            markdown: "report.md".to_owned(),
            html: "report.html".to_owned(),
        }
    }
}

/// The step's output.
#[derive(Serialize)]
struct Output {
    title: String,
    files: Vec<File>,
}

/// A file that was written, below the out folder.
#[derive(Serialize)]
struct File {
    path: String,
    bytes: usize,
}

fn reconcile(request: Request<serde_json::Value, With>) -> Result<Outcome<Output>, Failure> {
    let report = Report::gather(
        &request.run,
        &request.resource,
        request.with.title.as_deref(),
    )?;
    let files = vec![
        write(&request.with.markdown, &markdown::render(&report))?,
        write(&request.with.html, &page::render(&report))?,
    ];
    let message = format!("{} and {}", request.with.markdown, request.with.html);
    Ok(Outcome::new(message).output(Output {
        title: report.title,
        files,
    }))
}

fn write(path: &str, text: &str) -> Result<File, Failure> {
    fs::write(beltline_sdk::out_path(path)?, text).explain(path)?;
    log::info!(path, bytes = text.len(); "written");
    Ok(File {
        path: path.to_owned(),
        bytes: text.len(),
    })
}
