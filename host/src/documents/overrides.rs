//! `--set key=value`: another value for a key that a pipeline's context has.
//!
//! Owns how the argument is read and where it lands. A key that the context lacks is a mistake and never a
//! new key: a driver would not look at it.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::Pipeline;
use super::diagnostics::Report;
use super::names::{did_you_mean, listed};
use super::pipeline::CONTEXT_BYTES_MAX;
use super::tree::Node;
use super::{json, yaml};

/// One `key=value`; a dot in the key leads into a mapping. The value is JSON, or a scalar of YAML, or text.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// As it was written: `a.b`.
    pub key: String,
    /// What it becomes.
    pub value: Value,
}

/// Why a `--set` cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Not of the form.
    #[error("`--set {0}` is not `key=value`")]
    NoPair(String),
    /// A number that JSON cannot hold.
    #[error("`--set {key}`: {reason}")]
    NoValue {
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// The context has no such key.
    #[error("`--set {key}`: {place} has no key `{part}`{advice}")]
    NoKey {
        /// The key as it was written.
        key: String,
        /// Where it was looked for.
        place: String,
        /// What was looked for there.
        part: String,
        /// A near one, or those that there are.
        advice: String,
    },
    /// The key leads into something that has no keys.
    #[error("`--set {key}`: `{place}` is not a mapping; set it as a whole")]
    NoMapping {
        /// The key as it was written.
        key: String,
        /// What has no keys.
        place: String,
    },
    /// The context grew beyond its limit.
    #[error("with `--set` the context takes {bytes} bytes as JSON; the limit is {}KiB", CONTEXT_BYTES_MAX >> 10)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Override, OverrideError> {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(OverrideError::NoPair(text.to_owned()));
        };
        let value = read_value(value).map_err(|reason| OverrideError::NoValue {
            key: key.to_owned(),
            reason,
        })?;
        Ok(Override {
            key: key.to_owned(),
            value,
        })
    }
}

fn read_value(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::String(String::new()));
    }
    if text.starts_with(['{', '[', '"']) {
        let report = Report::new("--set");
        let read = json::parse(text, &report);
        if let ([value], 0) = (read.as_slice(), report.count()) {
            return Ok(value.to_json());
        }
        return Ok(Value::String(text.to_owned()));
    }
    let mark = super::Mark { line: 1, column: 1 };
    yaml::plain(text).map(|content| Node { mark, content }.to_json())
}

/// Follows `--set` arguments, in order.
///
/// # Errors
/// The first that cannot be followed; or the context is too large afterwards. The pipeline is then partly
/// changed and not to be used.
pub fn apply_overrides(
    pipeline: &mut Pipeline,
    overrides: &[Override],
) -> Result<(), OverrideError> {
    for each in overrides {
        *find(&mut pipeline.context, &each.key, "", &each.key)? = each.value.clone();
    }
    let bytes = serde_json::to_vec(&pipeline.context).map_or(0, |text| text.len());
    if bytes > CONTEXT_BYTES_MAX {
        Err(OverrideError::TooLarge { bytes })
    } else {
        Ok(())
    }
}

/// The value that the rest of a key names. A key that itself has dots comes before a path.
fn find<'c>(
    map: &'c mut Map<String, Value>,
    rest: &str,
    place: &str,
    whole: &str,
) -> Result<&'c mut Value, OverrideError> {
    let dots = rest.match_indices('.').filter_map(|(at, _)| {
        let (head, tail) = rest.split_at_checked(at)?;
        Some((head, tail.strip_prefix('.')))
    });
    let parts = std::iter::once((rest, None)).chain(dots);
    let Some((head, tail)) = parts.into_iter().find(|(head, _)| map.contains_key(*head)) else {
        let part = rest.split('.').next().unwrap_or(rest);
        return Err(no_key(map, part, place, whole));
    };
    let place = if place.is_empty() {
        head.to_owned()
    } else {
        format!("{place}.{head}")
    };
    match (map.get_mut(head), tail) {
        (Some(value), None) => Ok(value),
        (Some(Value::Object(inner)), Some(tail)) => find(inner, tail, &place, whole),
        (_, Some(_) | None) => Err(OverrideError::NoMapping {
            key: whole.to_owned(),
            place,
        }),
    }
}

fn no_key(map: &Map<String, Value>, part: &str, place: &str, whole: &str) -> OverrideError {
    let near = did_you_mean(part, map.keys().map(String::as_str));
    let advice = match (near.is_empty(), map.is_empty()) {
        (false, _) => near,
        (true, true) => "; it is empty".to_owned(),
        (true, false) => format!(
            "; it has {}",
            listed(map.keys().take(8).map(String::as_str))
        ),
    };
    let place = if place.is_empty() {
        "the context".to_owned()
    } else {
        format!("`{place}`")
    };
    OverrideError::NoKey {
        key: whole.to_owned(),
        place,
        part: part.to_owned(),
        advice,
    }
}
