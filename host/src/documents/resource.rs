//! The resource: what the drivers shall make true; and the definition of its kind.
//!
//! Owns the form and bounds of both. Conveyor's JSON is the same form.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::diagnostics::Report;
use super::fields::{self, Fields, Hints, hint, renamed};
use super::names;
use super::tree::{Content, Node};

/// The largest resource, in bytes of its canonical JSON: it is part of every dispatch.
pub const RESOURCE_BYTES_MAX: usize = 256 * 1024;
/// The largest JSON Schema of a kind, in bytes of JSON: compiling it takes time with its size.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;

/// A resource, checked. Serialised, it is its canonical JSON, and reads back as the same resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The id that a server gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name, unique among those of its kind.
    pub name: String,
    /// Its kind.
    pub resource: String,
    /// The pipeline that it goes through; without one it goes to every driver that listens for its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// What is said about it; drivers may add to it.
    pub metadata: Map<String, Value>,
    /// What is wished, in the form that the kind's definition asks for.
    pub spec: Value,
}

/// A kind of resource and the JSON Schema of its `spec`. Serialised, it is its canonical JSON, and reads
/// back as the same definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The id that a server gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The kind.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The author's own numbering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A JSON Schema; not yet known to be a valid one.
    pub schema: Value,
}

/// What stands before a driver's name in a resource's `metadata`, where a server shows what that driver answered.
pub const DRIVER_RESULT: &str = "driverresults.";

/// What a server shows of a resource beside what people write. It is passed over, so that what was read can be sent back.
const SHOWN: [&str; 2] = ["generation", "last_run"];

pub(super) const HINTS: Hints = &[
    hint(
        "apiVersion",
        "documents here have no version of their form, leave it out",
    ),
    renamed(
        "kind",
        "resource",
        "here the kind of a resource is `resource`",
    ),
    renamed(
        "type",
        "resource",
        "here the kind of a resource is `resource`",
    ),
    hint(
        "status",
        "what became of a resource is told by its runs, leave it out",
    ),
    hint(
        "context",
        "a context belongs to the pipeline; here it is `spec` or `metadata`",
    ),
];

pub(super) const DEFINITION_HINTS: Hints = &[
    hint(
        "apiVersion",
        "documents here have no version of their form, leave it out",
    ),
    renamed(
        "kind",
        "name",
        "here a definition's `name` is the kind that it defines",
    ),
    renamed(
        "resource",
        "name",
        "here a definition's `name` is the kind that it defines",
    ),
];

pub(super) fn read(node: &Node, report: &Report) -> Option<Resource> {
    let mut fields = Fields::open("a resource", node, report)?;
    let name = fields.required("name", fields::named("resource name", names::check_name));
    let resource = fields.required(
        "resource",
        fields::named("kind", names::check_subject_token),
    );
    let pipeline = fields.optional(
        "pipeline",
        fields::named_or_empty("pipeline name", names::check_name),
    );
    let metadata = fields.optional("metadata", fields::map("metadata", RESOURCE_BYTES_MAX));
    let spec = fields.raw("spec").map(Node::to_json);
    let id = fields.optional("id", fields::note);
    // Not keys of ours to propose: they are asked for only where they stand.
    for shown in SHOWN.into_iter().filter(|key| node.get(key).is_some()) {
        fields.raw(shown);
    }
    fields.finish(HINTS);
    let mut metadata = metadata.unwrap_or_default();
    metadata.retain(|key, _| !key.starts_with(DRIVER_RESULT));
    let resource = Resource {
        id,
        name: name?,
        resource: resource?,
        pipeline,
        metadata,
        spec: spec?,
    };
    fields::json_size_fits("the resource", &resource, RESOURCE_BYTES_MAX, node, report)?;
    Some(resource)
}

pub(super) fn read_definition(node: &Node, report: &Report) -> Option<Definition> {
    let mut fields = Fields::open("a definition", node, report)?;
    let name = fields.required("name", fields::named("kind", names::check_subject_token));
    let description = fields.optional("description", fields::note);
    let version = fields.optional("version", fields::note);
    let schema = fields.required("schema", read_schema);
    let id = fields.optional("id", fields::note);
    fields.finish(DEFINITION_HINTS);
    Some(Definition {
        id,
        name: name?,
        description,
        version,
        schema: schema?,
    })
}

fn read_schema(node: &Node, report: &Report) -> Option<Value> {
    if !matches!(node.content, Content::Object(_) | Content::Bool(_)) {
        let found = node.content.sort();
        report.at(
            node.mark,
            format!("a schema is a mapping (JSON Schema), found {found}"),
        );
        return None;
    }
    let schema = node.to_json();
    fields::json_size_fits("the schema", &schema, SCHEMA_BYTES_MAX, node, report)?;
    Some(schema)
}
