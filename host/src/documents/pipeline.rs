//! The pipeline: which drivers run, in which order, with what.
//!
//! Owns its form, defaults and bounds. Conveyor's JSON is read as well: its `metadata` is our `context`.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::diagnostics::{Mark, Report};
use super::fields::{self, Fields, Hints, hint, renamed};
use super::names;
use super::quantity::duration_text;
use super::tree::Node;

/// How many steps a pipeline may have: its run is one record in memory and one row each on a screen.
pub const STEPS_MAX: usize = 1_000;
/// The largest `with` of a step, in bytes of JSON: it is copied into every dispatch.
pub const WITH_BYTES_MAX: usize = 64 * 1024;
/// The largest `context`, in bytes of JSON: every driver of the run may ask for it.
pub const CONTEXT_BYTES_MAX: usize = 256 * 1024;
/// The most attempts that one step may have in a round.
pub const ATTEMPTS_MAX: u64 = 100;
/// The largest `factor` of a backoff; with more, the second pause is already the longest.
pub const FACTOR_MAX: f64 = 10.0;

/// How long a run may take where the pipeline says nothing.
pub const RUN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// How long an attempt may take where the step says nothing.
pub const STEP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// How long a step waits for its native driver where it says nothing.
pub const QUEUE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// A pipeline, checked, its defaults filled in. Serialised, it is its canonical JSON: the snapshot that a
/// run keeps, and itself a document that reads back as the same pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The kind of resource that it carries.
    pub resource: String,
    /// What every driver may read.
    pub context: Map<String, Value>,
    /// How long a run may take, from its start.
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    /// In order; may be none.
    pub steps: Vec<StepDocument>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The author's own numbering; it means nothing to a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether no step waits for another: only of what a host makes for a resource that names no pipeline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub independent: bool,
}

impl Pipeline {
    /// What a resource of this kind goes through that names no pipeline: each of these drivers, none after another.
    #[must_use]
    pub fn of_drivers<'n>(kind: &str, drivers: impl Iterator<Item = &'n str>) -> Pipeline {
        Pipeline {
            name: String::new(),
            resource: kind.to_owned(),
            context: Map::new(),
            timeout: RUN_TIMEOUT_DEFAULT,
            steps: drivers.map(StepDocument::of_driver).collect(),
            description: None,
            version: None,
            independent: true,
        }
    }
}

impl StepDocument {
    fn of_driver(driver: &str) -> StepDocument {
        StepDocument {
            id: driver.to_owned(),
            name: None,
            driver: driver.to_owned(),
            with: Map::new(),
            timeout: STEP_TIMEOUT_DEFAULT,
            queue_timeout: QUEUE_TIMEOUT_DEFAULT,
            retry: Retry::default(),
            on_lost: OnLost::default(),
        }
    }
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDocument {
    /// Unique in the pipeline; the driver's name where none was given.
    pub id: String,
    /// A label for people, as Conveyor's steps have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The driver's name.
    pub driver: String,
    /// What the driver is given besides the resource.
    pub with: Map<String, Value>,
    /// How long one attempt may take.
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    /// How long a native driver may be waited for.
    #[serde(with = "duration_text")]
    pub queue_timeout: Duration,
    /// What becomes of a retryable failure.
    pub retry: Retry,
    /// What becomes of an attempt with effects whose end nobody recorded.
    pub on_lost: OnLost,
}

/// How often a step is tried, and the pauses between: `backoff`, then each time `factor` longer, up to
/// `max_backoff`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// From 1 (no retry) to [`ATTEMPTS_MAX`].
    pub max_attempts: u32,
    /// The first pause.
    #[serde(with = "duration_text")]
    pub backoff: Duration,
    /// From 1 to [`FACTOR_MAX`].
    #[serde(serialize_with = "whole_if_possible")]
    pub factor: f64,
    /// The longest pause.
    #[serde(with = "duration_text")]
    pub max_backoff: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            max_attempts: 1,
            backoff: Duration::from_secs(1),
            factor: 2.0,
            max_backoff: Duration::from_secs(60),
        }
    }
}

/// What becomes of an attempt with effects whose end nobody recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It starts again under its own number.
    #[default]
    Retry,
    /// It fails as lost.
    Fail,
}

/// `2`, not `2.0`: one pipeline has one canonical text however its author wrote the number.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a whole number of at most FACTOR_MAX"
)]
fn whole_if_possible<S: Serializer>(factor: &f64, to: S) -> Result<S::Ok, S::Error> {
    if factor.fract() == 0.0 && factor.abs() <= FACTOR_MAX {
        to.serialize_i64(*factor as i64)
    } else {
        to.serialize_f64(*factor)
    }
}

pub(super) const HINTS: Hints = &[
    hint(
        "apiVersion",
        "documents here have no version of their form, leave it out",
    ),
    renamed(
        "kind",
        "resource",
        "here the kind a pipeline carries is `resource`",
    ),
    hint("params", "here what all steps may read is `context`"),
    hint("env", "here what all steps may read is `context`"),
];

const STEP_HINTS: Hints = &[
    renamed("uses", "driver", "here what a step runs is its `driver`"),
    renamed("image", "driver", "here what a step runs is its `driver`"),
    renamed("run", "driver", "here what a step runs is its `driver`"),
    hint("args", "here what a step gives its driver is `with`"),
    hint(
        "config",
        "here what a step gives its driver is `with`; the operator's settings are in `belt.yaml`",
    ),
    hint("env", "here what a step gives its driver is `with`"),
    hint("params", "here what a step gives its driver is `with`"),
    hint("spec", "here what a step gives its driver is `with`"),
    hint("grants", "grants are the operator's, in `belt.yaml`"),
    hint("limits", "limits are the operator's, in `belt.yaml`"),
    hint("needs", "steps run in the order in which they stand"),
    hint("depends_on", "steps run in the order in which they stand"),
    hint("dependsOn", "steps run in the order in which they stand"),
    hint("retries", "here it is `retry: {max_attempts: …}`"),
    hint("max_attempts", "here it is `retry: {max_attempts: …}`"),
    hint("backoff", "here it is `retry: {backoff: …}`"),
];

const RETRY_HINTS: Hints = &[
    hint("attempts", "here it is `max_attempts`"),
    hint("limit", "here it is `max_attempts`"),
    hint("delay", "here the first pause is `backoff`"),
];

pub(super) fn read(node: &Node, report: &Report) -> Option<Pipeline> {
    let mut fields = Fields::open("a pipeline", node, report)?;
    let name = fields.required("name", fields::named("pipeline name", names::check_name));
    let resource = fields.required(
        "resource",
        fields::named("kind", names::check_subject_token),
    );
    let context = read_context(&mut fields, node, report);
    let timeout = fields
        .optional("timeout", fields::timeout)
        .unwrap_or(RUN_TIMEOUT_DEFAULT);
    let steps = fields.required("steps", read_steps);
    let description = fields.optional("description", fields::note);
    let version = fields.optional("version", fields::note);
    fields.finish(HINTS);
    let (name, resource, steps) = (name?, resource?, steps?);
    Some(Pipeline {
        name,
        resource,
        context,
        timeout,
        steps,
        description,
        version,
        independent: false,
    })
}

/// `context`, or `metadata` as Conveyor calls it; both only where they are equal, as in what a server shows.
fn read_context(fields: &mut Fields<'_>, node: &Node, report: &Report) -> Map<String, Value> {
    let context = fields.optional("context", fields::map("context", CONTEXT_BYTES_MAX));
    // Not a key of ours to propose: it is asked for only where it stands.
    let Some(entry) = node.get("metadata") else {
        return context.unwrap_or_default();
    };
    let metadata = fields.optional("metadata", fields::map("metadata", CONTEXT_BYTES_MAX));
    if context.is_some() && metadata.is_some() && context != metadata {
        let message =
            "`metadata` is Conveyor's word for `context`, and the two differ; keep `context`";
        report.at(entry.key_mark, message);
    }
    context.or(metadata).unwrap_or_default()
}

fn read_steps(node: &Node, report: &Report) -> Option<Vec<StepDocument>> {
    let items = fields::list("steps", STEPS_MAX)(node, report)?;
    let steps: Vec<_> = items
        .iter()
        .filter_map(|item| read_step(item, report))
        .collect();
    check_ids(items, report);
    Some(steps)
}

fn check_ids(items: &[Node], report: &Report) {
    let mut first_places: HashMap<&str, Mark> = HashMap::new();
    for item in items {
        let Some((mark, id, explicit)) = id_of(item) else {
            continue;
        };
        let Some(first) = first_places.get(id) else {
            first_places.insert(id, mark);
            continue;
        };
        // What an alias repeats was written only once: the alias is the second place.
        let mark = if mark == *first { item.mark } else { mark };
        let message = if explicit {
            format!("step id `{id}` is used twice, first at {first}; give each its own")
        } else {
            format!(
                "a second step `{id}`, the first is at {first}: a step without `id` is called after \
                 its driver; give this one an `id`"
            )
        };
        report.at(mark, message);
    }
}

/// A step's id, its place, and whether it was written as such.
fn id_of(step: &Node) -> Option<(Mark, &str, bool)> {
    let named = |key| {
        step.get(key)
            .map(|entry| &entry.value)
            .and_then(Node::as_text)
    };
    match named("id") {
        Some((mark, id)) if !id.is_empty() => Some((mark, id, true)),
        _ => named("driver").map(|(mark, driver)| (mark, driver, false)),
    }
}

fn read_step(node: &Node, report: &Report) -> Option<StepDocument> {
    let mut fields = Fields::open("a step", node, report)?;
    let id = fields.optional("id", fields::named_or_empty("step id", names::check_token));
    let driver = fields.required(
        "driver",
        fields::named("driver name", names::check_subject_token),
    );
    let with = fields
        .optional("with", fields::map("`with`", WITH_BYTES_MAX))
        .unwrap_or_default();
    let timeout = fields
        .optional("timeout", fields::timeout)
        .unwrap_or(STEP_TIMEOUT_DEFAULT);
    let queue_timeout = fields
        .optional("queue_timeout", fields::timeout)
        .unwrap_or(QUEUE_TIMEOUT_DEFAULT);
    let retry = fields.optional("retry", read_retry).unwrap_or_default();
    let words = &[("retry", OnLost::Retry), ("fail", OnLost::Fail)];
    let on_lost = fields
        .optional("on_lost", fields::word(words))
        .unwrap_or_default();
    let name = fields.optional("name", fields::note);
    fields.finish(STEP_HINTS);
    let driver = driver?;
    let id = id.unwrap_or_else(|| driver.clone());
    Some(StepDocument {
        id,
        name,
        driver,
        with,
        timeout,
        queue_timeout,
        retry,
        on_lost,
    })
}

fn read_retry(node: &Node, report: &Report) -> Option<Retry> {
    let mut fields = Fields::open("`retry`", node, report)?;
    let default = Retry::default();
    let max_attempts = fields.optional("max_attempts", fields::whole(1, ATTEMPTS_MAX));
    let backoff = fields.optional("backoff", fields::duration);
    let factor = fields.optional("factor", fields::number(1.0, FACTOR_MAX));
    let max_backoff = fields.optional("max_backoff", fields::duration);
    fields.finish(RETRY_HINTS);
    if let (Some(backoff), Some(max_backoff)) = (backoff, max_backoff)
        && backoff > max_backoff
    {
        report.at(
            node.mark,
            "`backoff` is longer than `max_backoff`; the first pause is the shortest",
        );
        return None;
    }
    let backoff = backoff.unwrap_or(max_backoff.unwrap_or(default.backoff).min(default.backoff));
    Some(Retry {
        max_attempts: max_attempts
            .and_then(|attempts| u32::try_from(attempts).ok())
            .unwrap_or(default.max_attempts),
        backoff,
        factor: factor.unwrap_or(default.factor),
        max_backoff: max_backoff.unwrap_or(default.max_backoff.max(backoff)),
    })
}
