//! The files that people write: pipelines, resources, definitions and the operator's configuration.
//!
//! Owns their forms, their checks, alone and against each other, and the words in which mistakes are
//! explained. Never opens a driver, a store or a network: `belt lint` is this module and nothing else.
//!
//! Text becomes a tree with places ([`read_files`] to `tree`), the tree is read into plain types by one
//! typed reader that collects every mistake (`fields`), and what takes several documents to see is in
//! `check`. A document whose types exist is valid by itself.

mod check;
mod config;
mod diagnostics;
mod fields;
mod json;
mod misfit;
mod names;
mod overrides;
mod pipeline;
mod quantity;
mod resource;
mod schema;
mod sort;
mod source;
mod tree;
mod yaml;

#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::{check_run, lint};
pub use config::{
    Compile, Config, DriverEntry, Grants, Limits, NativeDriver, Retention, Token, WasmDriver, Wire,
};
pub use diagnostics::{Diagnostic, Diagnostics, Mark, Position};
pub use misfit::{Misfit, misfits};
pub use names::{NameError, RESERVED, check_name, check_subject_token, check_token, near};
pub use overrides::{Override, OverrideError, apply_overrides};
pub use pipeline::{
    OnLost, Pipeline, QUEUE_TIMEOUT_DEFAULT, RUN_TIMEOUT_DEFAULT, Retry, STEP_TIMEOUT_DEFAULT,
    StepDocument,
};
pub use quantity::{QuantityError, format_duration, format_size, parse_duration, parse_size};
pub use resource::{DRIVER_RESULT, Definition, Resource};
pub use schema::SpecCheck;
pub use source::STDIN;

/// Every limit on what people write, each documented where it is enforced.
pub mod limits {
    pub use super::config::{
        CONFIG_BYTES_MAX, DRIVERS_MAX, FILES_MAX, GUEST_MEMORY_BYTES_MAX, KINDS_MAX, LOG_BYTES_MAX,
        LOG_LINES_MAX, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX, PATH_BYTES_MAX, RETENTION_AGE,
        RETENTION_COUNT, RUNS_MAX, TABLE_ELEMENTS_MAX, WRITTEN_BYTES_MAX,
    };
    pub use super::diagnostics::SHOWN_MAX;
    pub use super::fields::NOTE_BYTES_MAX;
    pub use super::names::{NAME_LENGTH_MAX, TOKEN_LENGTH_MAX};
    pub use super::pipeline::{
        ATTEMPTS_MAX, CONTEXT_BYTES_MAX, FACTOR_MAX, STEPS_MAX, WITH_BYTES_MAX,
    };
    pub use super::quantity::DURATION_MAX;
    pub use super::resource::{RESOURCE_BYTES_MAX, SCHEMA_BYTES_MAX};
    pub use super::source::{FILE_BYTES_MAX, FOLDER_FILES_MAX};
    pub use super::tree::{DEPTH_MAX, TEXT_BYTES_MAX, VALUES_MAX};
}

use diagnostics::Report;
use sort::{Sort, sort_of};
use source::FILE_BYTES_MAX;
use tree::Node;

/// A checked document and where its parts were written. It derefs to its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<T> {
    /// The document itself.
    pub value: T,
    file: Arc<str>,
    tree: Node,
}

impl<T: serde::Serialize> Document<T> {
    /// A checked value as a document of that name: its places are those of its canonical JSON.
    ///
    /// # Panics
    /// Never: what was checked has JSON of its own.
    #[must_use]
    pub fn of(name: &str, value: T) -> Document<T> {
        let text = serde_json::to_string(&value).expect("a checked document has string keys");
        let tree = json::parse(&text, &Report::new(name)).pop();
        Document {
            value,
            file: name.into(),
            tree: tree.expect("JSON of our own is JSON"),
        }
    }
}

impl<T> Document<T> {
    /// The file that it stands in, as it was named; `stdin` for standard input.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where a part of it was written, by a JSON pointer into the document as written: `/steps/2/driver`.
    /// Where the path ends early, the last part that exists; `""` is the whole.
    #[must_use]
    pub fn position(&self, pointer: &str) -> Position {
        Position {
            file: Arc::clone(&self.file),
            mark: Some(self.tree.mark_at(pointer)),
        }
    }

    /// A mistake at [`Document::position`].
    #[must_use]
    pub fn mistake(&self, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            position: self.position(pointer),
            message: message.into(),
        }
    }
}

impl<T> Document<T> {
    /// A mistake at the key under which a pointer's last part stands.
    fn mistake_at_key(&self, pointer: &str, message: String) -> Diagnostic {
        let mark = Some(self.tree.key_mark_at(pointer));
        Diagnostic {
            position: Position {
                file: Arc::clone(&self.file),
                mark,
            },
            message,
        }
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Document<Config> {
    /// A path of the configuration, which is relative to its file; to the current folder if that is
    /// standard input.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        Path::new(self.file())
            .parent()
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// What a set of files holds, each sort in the order of the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents {
    /// Documents with `steps`.
    pub pipelines: Vec<Document<Pipeline>>,
    /// Documents with `spec`.
    pub resources: Vec<Document<Resource>>,
    /// Documents with `schema`.
    pub definitions: Vec<Document<Definition>>,
    /// Documents with `drivers`.
    pub configs: Vec<Document<Config>>,
}

/// Reads files, folders (their `*.yaml`, `*.yml` and `*.json`, sorted, not those of folders inside) and,
/// for `-`, standard input. Each file may hold several documents.
///
/// # Errors
/// Every mistake of every file that can be told from one document alone, and files that cannot be read or
/// are larger than [`limits::FILE_BYTES_MAX`].
pub fn read_files(paths: &[PathBuf]) -> Result<Documents, Diagnostics> {
    let mut documents = Documents::default();
    let mut found = Vec::new();
    for source in source::read(paths) {
        if let Some(bytes) = &source.bytes {
            documents.read(bytes, &source.report);
        }
        found.extend(source.report.into_found());
    }
    Diagnostics::new(found).into_result().map(|()| documents)
}

/// Reads one text. `file` is its name in messages; one that ends in `.json` holds JSON and nothing else.
///
/// # Errors
/// Every mistake that can be told from one document alone, and more than [`limits::FILE_BYTES_MAX`].
pub fn read_bytes(file: &str, bytes: &[u8]) -> Result<Documents, Diagnostics> {
    let mut documents = Documents::default();
    let report = Report::new(file);
    documents.read(bytes, &report);
    Diagnostics::new(report.into_found())
        .into_result()
        .map(|()| documents)
}

/// The field that each mistake in a JSON text is about, as a JSON pointer; none where it is about the text as a whole.
#[must_use]
pub fn fields_of(bytes: &[u8], diagnostics: &Diagnostics) -> Vec<Option<String>> {
    let trees = match std::str::from_utf8(bytes) {
        Ok(text) => json::parse(text, &Report::new("body.json")),
        Err(_) => Vec::new(),
    };
    let field = |diagnostic: &Diagnostic| {
        let mark = diagnostic.position.mark?;
        trees.iter().find_map(|tree| tree.pointer_to(mark))
    };
    diagnostics.iter().map(field).collect()
}

/// Checks a definition by itself: that its schema is one.
#[must_use]
pub fn check_definition(definition: &Document<Definition>) -> Diagnostics {
    let mut found = Vec::new();
    schema::check_definition(definition, &mut found);
    Diagnostics::new(found)
}

/// Checks that the drivers that a pipeline names are in a configuration.
#[must_use]
pub fn check_drivers(pipeline: &Document<Pipeline>, config: &Document<Config>) -> Diagnostics {
    let mut found = Vec::new();
    check::check_drivers(pipeline, config, &mut found);
    Diagnostics::new(found)
}

impl Documents {
    /// The definition of a kind, if one is here.
    #[must_use]
    pub fn definition_of(&self, kind: &str) -> Option<&Document<Definition>> {
        check::definition_of(&self.definitions, kind)
    }

    fn read(&mut self, bytes: &[u8], report: &Report) {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let (length, limit) = (bytes.len(), format_size(FILE_BYTES_MAX));
            report.whole(format!("{length} bytes; the limit for a file is {limit}"));
            return;
        }
        let Some(text) = source::decode(bytes, report) else {
            return;
        };
        let trees = parse(text, report);
        if trees.is_empty() && report.count() == 0 {
            report
                .whole("the file is empty; a document has `steps`, `spec`, `schema` or `drivers`");
        }
        for tree in trees {
            self.take(tree, report);
        }
    }

    fn take(&mut self, tree: Node, report: &Report) {
        let Some(sort) = sort_of(&tree, report) else {
            return;
        };
        match sort {
            Sort::Pipeline => keep(&mut self.pipelines, pipeline::read, tree, report),
            Sort::Resource => keep(&mut self.resources, resource::read, tree, report),
            Sort::Definition => keep(
                &mut self.definitions,
                resource::read_definition,
                tree,
                report,
            ),
            Sort::Config => keep(&mut self.configs, config::read, tree, report),
        }
    }
}

fn keep<T>(
    documents: &mut Vec<Document<T>>,
    read: fn(&Node, &Report) -> Option<T>,
    tree: Node,
    report: &Report,
) {
    if let Some(value) = read(&tree, report) {
        documents.push(Document {
            value,
            file: Arc::clone(report.file()),
            tree,
        });
    }
}

/// JSON where the name says so; otherwise YAML, and JSON that YAML would not take (it begins like JSON and
/// is JSON to its end).
fn parse(text: &str, report: &Report) -> Vec<Node> {
    if report.file().ends_with(".json") {
        return json::parse(text, report);
    }
    if text.trim_start().starts_with('{') {
        let attempt = Report::new(Arc::clone(report.file()));
        let trees = json::parse(text, &attempt);
        if attempt.count() == 0 {
            return trees;
        }
    }
    yaml::parse(text, report)
}
