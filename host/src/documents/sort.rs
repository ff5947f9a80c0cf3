//! Which sort of document a tree is.
//!
//! Owns the keys that tell documents apart, and the answer to documents that come from elsewhere.

use super::diagnostics::Report;
use super::fields::{self, Hints};
use super::names::{self, near};
use super::tree::{Content, Entry, Node};
use super::{pipeline, resource};

#[derive(Clone, Copy)]
pub(super) enum Sort {
    Pipeline,
    Resource,
    Definition,
    Config,
}

/// The keys that tell documents apart.
const SORTS: [(&str, Sort, &str); 4] = [
    ("steps", Sort::Pipeline, "a pipeline"),
    ("spec", Sort::Resource, "a resource"),
    ("schema", Sort::Definition, "a definition"),
    ("drivers", Sort::Config, "a configuration"),
];

pub(super) fn sort_of(tree: &Node, report: &Report) -> Option<Sort> {
    let Content::Object(entries) = &tree.content else {
        let message = if tree.content == Content::Null {
            "the document is empty; take it out, or give it `steps`, `spec`, `schema` or `drivers`"
                .to_owned()
        } else {
            format!(
                "a document is a mapping of keys to values, found {}",
                tree.content.sort()
            )
        };
        report.at(tree.mark, message);
        return None;
    };
    if foreign_shape(tree, report) {
        return None;
    }
    let found: Vec<_> = SORTS
        .iter()
        .filter(|(key, ..)| tree.get(key).is_some())
        .collect();
    match found.as_slice() {
        [(_, sort, _)] => Some(*sort),
        [] => {
            let near = entries.iter().find_map(|entry| {
                let near = near(&entry.key, SORTS.iter().map(|(key, ..)| *key))?;
                Some((entry, near))
            });
            match near {
                Some((Entry { key, key_mark, .. }, near)) => {
                    report.at(*key_mark, format!("unknown key `{key}`; did you mean `{near}`?"));
                }
                None => report.at(
                    tree.mark,
                    "a document has `steps` (a pipeline), `spec` (a resource), `schema` (a definition) or \
                     `drivers` (a configuration); this one has none of them",
                ),
            }
            None
        }
        several => {
            let keys = names::listed(several.iter().map(|(key, ..)| *key));
            let sorts: Vec<_> = several.iter().map(|(_, _, sort)| *sort).collect();
            let message = format!(
                "{keys} in one document: it cannot be {} at once; part them with a line `---`",
                sorts.join(" and ")
            );
            report.at(tree.mark, message);
            None
        }
    }
}

/// Kubernetes keeps all of an object under `spec`. A document of that shape is answered key by key with
/// ours, rather than read as a resource.
fn foreign_shape(tree: &Node, report: &Report) -> bool {
    let foreign = ["kind", "apiVersion"]
        .iter()
        .any(|key| tree.get(key).is_some());
    let Some(spec) = tree
        .get("spec")
        .filter(|_| foreign && tree.get("resource").is_none())
    else {
        return false;
    };
    let moved: [(&str, Hints); 3] = [
        ("steps", pipeline::HINTS),
        ("schema", resource::DEFINITION_HINTS),
        ("drivers", &[]),
    ];
    let found = moved
        .iter()
        .find_map(|(key, hints)| Some((spec.value.get(key)?, *hints)));
    let (Some((entry, hints)), Content::Object(entries)) = (found, &tree.content) else {
        return false;
    };
    let key = &entry.key;
    report.at(
        entry.key_mark,
        format!("`spec.{key}` is not read; here `{key}` stands at the top"),
    );
    for entry in entries {
        if let Some(hint) = hints.iter().find(|hint| hint.theirs == entry.key) {
            report.at(
                entry.key_mark,
                format!("unknown key `{}`; {}", entry.key, hint.advice),
            );
        }
    }
    fields::report_metadata_name(entries, report);
    true
}
