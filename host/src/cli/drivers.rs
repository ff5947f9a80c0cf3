//! `belt drivers`: looks at driver files without running them, and at the drivers of a host.

mod list;

use super::connection::Place;
use super::stop::Stop;
use super::{Format, output};
use crate::drivers::{Inspection, inspect};
use crate::text;
use anyhow::Context;
use beltline_wire::{OutAccess, Wants, WorkspaceAccess};
use clap::Subcommand;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand)]
pub(super) enum DriversVerb {
    /// List the drivers of a host, where they run, and who of them is there
    List {
        #[command(flatten)]
        place: Place,
        /// How to print them
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Show what a driver file says about itself
    Inspect {
        /// The component
        file: PathBuf,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

pub(super) fn drivers(verb: DriversVerb) -> Result<ExitCode, Stop> {
    match verb {
        DriversVerb::List { place, output } => list::list(&place, output),
        DriversVerb::Inspect { file, output } => inspect_file(&file, output),
    }
}

fn inspect_file(file: &Path, output: Format) -> Result<ExitCode, Stop> {
    let bytes = crate::drivers::read_file(file)
        .with_context(|| format!("cannot read `{}`", file.display()))
        .map_err(Stop::invalid)?;
    let inspection = inspect(&bytes)
        .map_err(|error| anyhow::anyhow!("`{}` {error}", file.display()))
        .map_err(Stop::invalid)?;
    output::document(output, &DriverView::new(file, &inspection), words)?;
    Ok(ExitCode::SUCCESS)
}

/// What a driver file says about itself.
#[derive(Serialize)]
struct DriverView {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    digest: String,
    bytes: u64,
    wit: String,
    kinds: Vec<String>,
    wants: Wants,
    imports: Vec<String>,
}

impl DriverView {
    fn new(file: &Path, inspection: &Inspection) -> Self {
        let manifest = inspection.manifest.as_ref();
        DriverView {
            file: file.to_owned(),
            name: manifest.map(|manifest| manifest.name.clone()),
            version: manifest.map(|manifest| manifest.version.clone()),
            digest: inspection.digest.to_string(),
            bytes: inspection.bytes,
            wit: inspection.wit.clone(),
            kinds: manifest
                .map(|manifest| manifest.kinds.clone())
                .unwrap_or_default(),
            wants: manifest
                .map(|manifest| manifest.wants.clone())
                .unwrap_or_default(),
            imports: inspection.imports.clone(),
        }
    }
}

fn words(view: &DriverView) -> String {
    let mut words = String::new();
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(words, "{name:<8} {}", text::shown(value));
    };
    say("name", view.name.as_deref().unwrap_or("(no manifest)"));
    say("version", view.version.as_deref().unwrap_or("-"));
    say("digest", &view.digest);
    say("size", &text::size(view.bytes));
    say("wit", &format!("beltline:driver {}", view.wit));
    let kinds = if view.kinds.is_empty() {
        "any".to_owned()
    } else {
        view.kinds.join(", ")
    };
    say("kinds", &kinds);
    say("wants", &wants(&view.wants));
    for (index, import) in view.imports.iter().enumerate() {
        say(if index == 0 { "imports" } else { "" }, import);
    }
    words
}

/// The wants in the words of `belt.yaml`.
fn wants(wants: &Wants) -> String {
    let mut asked = Vec::new();
    match wants.workspace {
        WorkspaceAccess::None => {}
        WorkspaceAccess::Ro => asked.push("workspace: ro"),
        WorkspaceAccess::Rw => asked.push("workspace: rw"),
    }
    match wants.out {
        OutAccess::None => {}
        OutAccess::Rw => asked.push("out: rw"),
    }
    if asked.is_empty() {
        "nothing".to_owned()
    } else {
        asked.join(", ")
    }
}
