//! Lockfile version 1: a tree of what is nested in what. Laid out as the folders that npm makes of it, it
//! reads like the later versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::Entry;

#[derive(Deserialize)]
pub(super) struct Node {
    version: String,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    optional: bool,
    /// Names and ranges, or `true`.
    #[serde(default)]
    requires: Value,
    #[serde(default)]
    dependencies: BTreeMap<String, Node>,
}

pub(super) fn entries(
    name: Option<String>,
    version: Option<String>,
    dependencies: BTreeMap<String, Node>,
) -> BTreeMap<String, Entry> {
    // Which of them the root itself asks for, version 1 does not say; what nothing else requires it does.
    let mut required = BTreeSet::new();
    names_required(&dependencies, &mut required);
    let direct = dependencies.keys().filter(|name| !required.contains(*name));
    let root = Entry {
        name,
        version,
        dependencies: direct.map(|name| (name.clone(), Value::Null)).collect(),
        ..Entry::default()
    };
    let mut entries = BTreeMap::from([(String::new(), root)]);
    lay_out("", dependencies, &mut entries);
    entries
}

fn names_required(nodes: &BTreeMap<String, Node>, names: &mut BTreeSet<String>) {
    for node in nodes.values() {
        if let Value::Object(requires) = &node.requires {
            names.extend(requires.keys().cloned());
        }
        names_required(&node.dependencies, names);
    }
}

fn lay_out(folder: &str, nodes: BTreeMap<String, Node>, entries: &mut BTreeMap<String, Entry>) {
    for (name, node) in nodes {
        let path = if folder.is_empty() {
            format!("node_modules/{name}")
        } else {
            format!("{folder}/node_modules/{name}")
        };
        lay_out(&path, node.dependencies, entries);
        let needs = match node.requires {
            Value::Object(requires) => requires.into_iter().collect(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => BTreeMap::new(),
        };
        // An optional one may be left out on this machine, and so may what it requires.
        let (dependencies, optional_dependencies) = if node.optional {
            (BTreeMap::new(), needs)
        } else {
            (needs, BTreeMap::new())
        };
        entries.insert(
            path,
            Entry {
                version: Some(node.version),
                resolved: node.resolved,
                integrity: node.integrity,
                dev: node.dev,
                optional: node.optional,
                dependencies,
                optional_dependencies,
                ..Entry::default()
            },
        );
    }
}
