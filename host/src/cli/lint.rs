//! `belt lint`: says what is wrong with files, where, and what was probably meant. Offline, and runs nothing.

use super::stop::Stop;
use super::{Format, output};
use crate::documents::{self, Diagnostics, Documents};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct LintArgs {
    /// A file, a folder, or - for stdin; repeats. A belt.yaml among them is what drivers are checked against
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE", num_args = 1..)]
    files: Vec<PathBuf>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn lint(args: &LintArgs) -> Result<ExitCode, Stop> {
    let found = read(&args.files).and_then(|documents| report(&documents));
    match (found, args.output) {
        (Ok(summary), Format::Text) => {
            output::bytes(format!("{summary}\n").as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        (Ok(_), format) => {
            output::document(format, &Diagnostics::default(), Diagnostics::to_string)?;
            Ok(ExitCode::SUCCESS)
        }
        (Err(diagnostics), Format::Text) => Err(diagnostics.into()),
        (Err(diagnostics), format) => {
            output::document(format, &diagnostics, Diagnostics::to_string)?;
            Ok(ExitCode::from(Stop::INVALID))
        }
    }
}

/// Reads the files and, where they hold no configuration, the `belt.yaml` beside each pipeline, as a run would.
fn read(files: &[PathBuf]) -> Result<Documents, Diagnostics> {
    let documents = documents::read_files(files)?;
    if !documents.configs.is_empty() {
        return Ok(documents);
    }
    let folders = documents
        .pipelines
        .iter()
        .filter_map(|pipeline| Path::new(pipeline.file()).parent());
    let mut beside: Vec<_> = folders.map(|folder| folder.join("belt.yaml")).collect();
    beside.dedup();
    let (there, missing): (Vec<_>, Vec<_>) = beside.into_iter().partition(|path| path.exists());
    for path in missing {
        let path = path.display();
        output::note(&format!(
            "there is no `{path}`, so the drivers of that pipeline are unchecked"
        ));
    }
    documents::read_files(&[files, &there].concat())
}

fn report(documents: &Documents) -> Result<String, Diagnostics> {
    documents::lint(documents).into_result()?;
    let counts = [
        ("pipeline", documents.pipelines.len()),
        ("resource", documents.resources.len()),
        ("definition", documents.definitions.len()),
        ("configuration", documents.configs.len()),
    ];
    let found = counts.into_iter().filter(|(_, count)| *count > 0);
    let found =
        found.map(|(what, count)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    Ok(format!(
        "nothing wrong with {}",
        found.collect::<Vec<_>>().join(", ")
    ))
}
