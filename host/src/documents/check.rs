//! What takes several documents to see: whether they fit together.
//!
//! Owns the checks across a pipeline, the resource that goes through it, its kind's definition and the
//! operator's configuration. Each document is already valid by itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::misfit::Misfit;
use super::names::{ADVISED_MAX, did_you_mean, listed};
use super::{Config, Definition, Document, Documents, Pipeline, Resource, schema};

/// How many names a message lists before it only counts.
const LISTED_MAX: usize = 8;

/// Checks one resource that shall go through one pipeline. Without a definition the resource's `spec` is
/// unchecked; without a configuration the drivers' names are.
#[must_use]
pub fn check_run(
    pipeline: &Document<Pipeline>,
    resource: &Document<Resource>,
    definition: Option<&Document<Definition>>,
    config: Option<&Document<Config>>,
) -> Diagnostics {
    let misfits = misfits(pipeline, resource, placed(pipeline));
    let mistake = |one: Misfit| resource.mistake(&one.pointer, one.why);
    let mut found: Vec<_> = misfits.map(mistake).collect();
    if let Some(config) = config {
        check_drivers(pipeline, config, &mut found);
    }
    if let Some(definition) = definition {
        schema::check_resource(resource, definition, &mut found);
    }
    Diagnostics::new(found)
}

/// Checks a set of documents as it is: each pipeline against the configuration beside it (in its folder,
/// or the only one), each resource against the pipeline and the definition that it names, each definition's
/// schema, and names given twice.
#[must_use]
pub fn lint(documents: &Documents) -> Diagnostics {
    let mut found = Vec::new();
    check_unique(documents, &mut found);
    for pipeline in &documents.pipelines {
        if let Some(config) = config_beside(pipeline, &documents.configs) {
            check_drivers(pipeline, config, &mut found);
        }
    }
    for definition in &documents.definitions {
        schema::check_definition(definition, &mut found);
    }
    for resource in &documents.resources {
        check_pipeline_of(resource, &documents.pipelines, &mut found);
        if let Some(definition) = definition_of(&documents.definitions, &resource.resource) {
            schema::check_resource(resource, definition, &mut found);
        }
    }
    Diagnostics::new(found)
}

/// The definition of a kind.
pub(super) fn definition_of<'d>(
    definitions: &'d [Document<Definition>],
    kind: &str,
) -> Option<&'d Document<Definition>> {
    definitions
        .iter()
        .find(|definition| definition.name == kind)
}

fn config_beside<'d>(
    pipeline: &Document<Pipeline>,
    configs: &'d [Document<Config>],
) -> Option<&'d Document<Config>> {
    let folder = Path::new(pipeline.file()).parent();
    let beside = configs
        .iter()
        .find(|config| Path::new(config.file()).parent() == folder);
    match configs {
        [only] => Some(only),
        _ => beside,
    }
}

/// Why a resource cannot go through a pipeline, by pointers into the resource. `placed` says where a part of the pipeline
/// was written, for the end of a clause.
pub(super) fn misfits(
    pipeline: &Pipeline,
    resource: &Resource,
    placed: impl Fn(&str) -> String,
) -> impl Iterator<Item = Misfit> {
    let name = &pipeline.name;
    let named = resource.pipeline.as_ref();
    let other = named.filter(|named| *named != name).map(|named| Misfit {
        pointer: "/pipeline".to_owned(),
        why: format!(
            "the resource names pipeline `{named}`, but this one is `{name}`{place}; give the other, \
             or take `pipeline` out",
            place = placed("/name"),
        ),
    });
    other
        .into_iter()
        .chain(misfit_of_kind(pipeline, resource, placed))
}

fn misfit_of_kind(
    pipeline: &Pipeline,
    resource: &Resource,
    placed: impl Fn(&str) -> String,
) -> Option<Misfit> {
    let (kind, name, carried) = (&resource.resource, &pipeline.name, &pipeline.resource);
    (kind != carried).then(|| Misfit {
        pointer: "/resource".to_owned(),
        why: format!(
            "the resource is of kind `{kind}`, but pipeline `{name}` carries `{carried}`{place}",
            place = placed("/resource"),
        ),
    })
}

/// Of a pipeline that people have written.
fn placed(pipeline: &Document<Pipeline>) -> impl Fn(&str) -> String {
    |pointer| format!(" ({})", pipeline.position(pointer))
}

fn check_pipeline_of(
    resource: &Document<Resource>,
    pipelines: &[Document<Pipeline>],
    found: &mut Vec<Diagnostic>,
) {
    // Without any pipeline at hand the one named may well be on a server.
    let Some(name) = resource.pipeline.as_ref().filter(|_| !pipelines.is_empty()) else {
        return;
    };
    match pipelines.iter().find(|pipeline| pipeline.name == *name) {
        Some(pipeline) => {
            let misfit = misfit_of_kind(pipeline, resource, placed(pipeline));
            found.extend(misfit.map(|one| resource.mistake(&one.pointer, one.why)));
        }
        None => {
            let near = did_you_mean(
                name,
                pipelines.iter().map(|pipeline| pipeline.name.as_str()),
            );
            let message = format!("pipeline `{name}` is in none of these files{near}");
            found.push(resource.mistake("/pipeline", message));
        }
    }
}

/// One mistake for each name that the configuration lacks, at the first step that uses it.
pub(super) fn check_drivers(
    pipeline: &Document<Pipeline>,
    config: &Document<Config>,
    found: &mut Vec<Diagnostic>,
) {
    let mut unknown: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for (index, step) in pipeline.steps.iter().enumerate() {
        if !config.drivers.contains_key(&step.driver) {
            unknown
                .entry(&step.driver)
                .or_default()
                .push((index, &step.id));
        }
    }
    for (nth, (driver, steps)) in unknown.into_iter().enumerate() {
        let Some(((index, _), _)) = steps.split_first() else {
            continue;
        };
        let (word, verb) = if steps.len() == 1 {
            ("step", "names")
        } else {
            ("steps", "name")
        };
        let ids = listed_briefly(steps.iter().map(|(_, id)| *id));
        let known = config
            .drivers
            .keys()
            .map(String::as_str)
            .filter(|_| nth < ADVISED_MAX);
        let near = did_you_mean(driver, known);
        let advice = if near.is_empty() {
            format!(
                "; it has {}",
                listed_briefly(config.drivers.keys().map(String::as_str))
            )
        } else {
            near
        };
        let file = config.file();
        let message =
            format!("{word} {ids} {verb} driver `{driver}`, which {file} does not have{advice}");
        found.push(pipeline.mistake(&format!("/steps/{index}/driver"), message));
    }
}

fn listed_briefly<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    let first = listed(names.take(LISTED_MAX));
    if more == 0 {
        first
    } else {
        format!("{first} and {more} more")
    }
}

fn check_unique(documents: &Documents, found: &mut Vec<Diagnostic>) {
    unique(
        &documents.pipelines,
        found,
        |one| (String::new(), one.name.clone()),
        "pipeline",
    );
    unique(
        &documents.definitions,
        found,
        |one| (String::new(), one.name.clone()),
        "definition",
    );
    unique(
        &documents.resources,
        found,
        |one| (one.resource.clone(), one.name.clone()),
        "resource",
    );
    let mut folders: HashMap<Option<&Path>, &Document<Config>> = HashMap::new();
    for config in &documents.configs {
        let folder = Path::new(config.file()).parent();
        if let Some(first) = folders.get(&folder) {
            let first = first.position("/drivers");
            let message =
                format!("a second configuration in one folder, the first is at {first}; keep one");
            found.push(config.mistake("/drivers", message));
        } else {
            folders.insert(folder, config);
        }
    }
}

/// The key of a document is its kind, where that counts, and its name.
fn unique<T>(
    documents: &[Document<T>],
    found: &mut Vec<Diagnostic>,
    key: fn(&T) -> (String, String),
    sort: &str,
) {
    let mut first_places = HashMap::new();
    for document in documents {
        let (kind, name) = key(&document.value);
        let place = document.position("/name");
        let of_kind = if kind.is_empty() {
            String::new()
        } else {
            format!(" of kind `{kind}`")
        };
        if let Some(first) = first_places.get(&(kind.clone(), name.clone())) {
            let message =
                format!("a second {sort} `{name}`{of_kind}, the first is at {first}; rename one");
            found.push(document.mistake("/name", message));
        } else {
            first_places.insert((kind, name), place);
        }
    }
}
