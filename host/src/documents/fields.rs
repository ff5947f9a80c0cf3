//! A typed look at a mapping of a document: each key is asked for once, what nobody asked for is a
//! mistake, and all mistakes are collected.
//!
//! Owns the wording of mistakes that every document shares: missing and unknown keys, values of the
//! wrong sort. A function that reads a value returns `None` where it has reported a mistake.

use std::time::Duration;

use serde_json::{Map, Value};

use super::diagnostics::{Mark, Report};
use super::names::{self, NameError};
use super::quantity::{parse_duration, parse_size};
use super::tree::{Content, Entry, Node, to_map};

/// Keys that people bring from elsewhere, each with what to write here instead.
pub(super) type Hints = &'static [Hint];

pub(super) struct Hint {
    pub(super) theirs: &'static str,
    /// Our key for the same thing, if it has one in the same place.
    pub(super) ours: Option<&'static str>,
    pub(super) advice: &'static str,
}

/// A key with what to do about it.
pub(super) const fn hint(theirs: &'static str, advice: &'static str) -> Hint {
    Hint {
        theirs,
        ours: None,
        advice,
    }
}

/// A key that is another of ours.
pub(super) const fn renamed(
    theirs: &'static str,
    ours: &'static str,
    advice: &'static str,
) -> Hint {
    Hint {
        theirs,
        ours: Some(ours),
        advice,
    }
}

/// The longest description, label, version or id, in bytes: they are kept with every run.
pub const NOTE_BYTES_MAX: usize = 4 * 1024;

pub(super) struct Fields<'t> {
    /// With its article: `a step`.
    what: &'static str,
    mark: Mark,
    entries: &'t [Entry],
    asked: Vec<&'static str>,
    missing: Vec<&'static str>,
    report: &'t Report,
}

impl<'t> Fields<'t> {
    /// Opens a mapping; anything else is reported.
    pub(super) fn open(what: &'static str, node: &'t Node, report: &'t Report) -> Option<Self> {
        let Content::Object(entries) = &node.content else {
            let found = node.content.sort();
            report.at(
                node.mark,
                format!("{what} is a mapping of keys to values, found {found}"),
            );
            return None;
        };
        let (asked, missing) = (Vec::new(), Vec::new());
        Some(Fields {
            what,
            mark: node.mark,
            entries,
            asked,
            missing,
            report,
        })
    }

    /// Whatever stands under a key, nothing included.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<&'t Node> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// A value that may be left out, or be nothing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'t Node, &'t Report) -> Option<T>,
    ) -> Option<T> {
        let node = self.raw(key)?;
        if node.content == Content::Null {
            None
        } else {
            read(node, self.report)
        }
    }

    /// A value that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'t Node, &'t Report) -> Option<T>,
    ) -> Option<T> {
        match self.raw(key) {
            None => {
                self.missing.push(key);
                None
            }
            Some(Node {
                mark,
                content: Content::Null,
            }) => {
                self.report.at(*mark, format!("`{key}` has no value"));
                None
            }
            Some(node) => read(node, self.report),
        }
    }

    /// Reports keys that nobody asked for and required ones that are missing. A missing key that an
    /// unknown one nearly spells is not reported again: the cause is one.
    pub(super) fn finish(self, hints: Hints) {
        let Fields {
            what,
            mark,
            entries,
            asked,
            mut missing,
            report,
        } = self;
        // Found once: a file of another sort has a hundred thousand unknown keys.
        let present = |key: &str| entries.iter().any(|entry| entry.key == key);
        let absent: Vec<_> = asked.iter().copied().filter(|key| !present(key)).collect();
        for entry in entries
            .iter()
            .filter(|entry| !asked.contains(&entry.key.as_str()))
        {
            let key = &entry.key;
            let advice = if let Some(hint) = hints.iter().find(|hint| hint.theirs == key) {
                missing.retain(|missing| Some(*missing) != hint.ours);
                format!("; {}", hint.advice)
            } else if let Some(near) = names::near(key, absent.iter().copied()) {
                missing.retain(|missing| *missing != near);
                format!("; did you mean `{near}`?")
            } else {
                format!("; {what} has {}", names::listed(asked.iter().copied()))
            };
            report.at(entry.key_mark, format!("unknown key `{key}`{advice}"));
        }
        if missing.contains(&"name") && report_metadata_name(entries, report) {
            missing.retain(|missing| *missing != "name");
        }
        for key in missing {
            report.at(mark, format!("{what} needs `{key}`"));
        }
    }
}

/// Answers a name where Kubernetes keeps it; whether there was one.
pub(super) fn report_metadata_name(entries: &[Entry], report: &Report) -> bool {
    let metadata = entries.iter().find(|entry| entry.key == "metadata");
    let Some(entry) = metadata.and_then(|metadata| metadata.value.get("name")) else {
        return false;
    };
    report.at(
        entry.key_mark,
        "`metadata.name` is not read; here `name` stands at the top",
    );
    true
}

fn expected<T>(expected: &str, node: &Node, report: &Report) -> Option<T> {
    report.at(
        node.mark,
        format!("{expected} expected, found {}", node.content.sort()),
    );
    None
}

pub(super) fn text(node: &Node, report: &Report) -> Option<String> {
    match &node.content {
        Content::Text(text) => Some(text.clone()),
        Content::Bool(_) | Content::Number(_) => {
            let sort = node.content.sort();
            report.at(node.mark, format!("text expected, found {sort}; quote it"));
            None
        }
        Content::Null | Content::List(_) | Content::Object(_) => expected("text", node, report),
    }
}

/// Text for people or from a server, of at most [`NOTE_BYTES_MAX`]; its empty form means that there is
/// none, as Conveyor's JSON has it.
pub(super) fn note(node: &Node, report: &Report) -> Option<String> {
    let text = text(node, report)?;
    if text.len() > NOTE_BYTES_MAX {
        let (bytes, limit) = (text.len(), NOTE_BYTES_MAX >> 10);
        report.at(
            node.mark,
            format!("a text of {bytes} bytes; the limit here is {limit}KiB"),
        );
        return None;
    }
    Some(text).filter(|text| !text.is_empty())
}

/// A name that a check lets pass; its empty form means that there is none.
pub(super) fn named_or_empty(
    what: &'static str,
    check: fn(&'static str, &str) -> Result<(), NameError>,
) -> impl FnOnce(&Node, &Report) -> Option<String> {
    move |node, report| {
        let empty = node.as_text().is_some_and(|(_, text)| text.is_empty());
        if empty {
            None
        } else {
            named(what, check)(node, report)
        }
    }
}

/// Text that a check of names lets pass.
pub(super) fn named(
    what: &'static str,
    check: fn(&'static str, &str) -> Result<(), NameError>,
) -> impl FnOnce(&Node, &Report) -> Option<String> {
    move |node, report| {
        let name = text(node, report)?;
        reported(check(what, &name), node, report)?;
        Some(name)
    }
}

fn reported<T, E: std::fmt::Display>(
    result: Result<T, E>,
    node: &Node,
    report: &Report,
) -> Option<T> {
    result
        .map_err(|error| report.at(node.mark, error.to_string()))
        .ok()
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl FnOnce(&Node, &Report) -> Option<T> {
    move |node, report| {
        let text = text(node, report)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let list = words
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect::<Vec<_>>();
            report.at(
                node.mark,
                format!("`{text}` is not one of {}", list.join(", ")),
            );
        }
        found
    }
}

/// A duration, nought included.
pub(super) fn duration(node: &Node, report: &Report) -> Option<Duration> {
    match &node.content {
        Content::Text(text) => reported(parse_duration(text), node, report),
        Content::Number(number) => {
            let message =
                format!("a duration has a unit: `{number}s`, `{number}m` or `{number}ms`");
            report.at(node.mark, message);
            None
        }
        Content::Null | Content::Bool(_) | Content::List(_) | Content::Object(_) => {
            expected("a duration such as `30s`", node, report)
        }
    }
}

/// A duration of at least a millisecond.
pub(super) fn timeout(node: &Node, report: &Report) -> Option<Duration> {
    let duration = duration(node, report)?;
    if duration.is_zero() {
        report.at(
            node.mark,
            "a timeout of nought lets nothing run; give it at least `1ms`",
        );
        return None;
    }
    Some(duration)
}

/// A size in bytes from `least` to `most`.
pub(super) fn size(least: u64, most: u64) -> impl FnOnce(&Node, &Report) -> Option<u64> {
    use super::quantity::format_size;
    move |node, report| {
        let bytes = match &node.content {
            Content::Text(text) => reported(parse_size(text), node, report)?,
            Content::Number(number) => {
                let message =
                    format!("a size has a unit: `{number}MiB`, `{number}KiB` or `{number}B`");
                report.at(node.mark, message);
                return None;
            }
            Content::Null | Content::Bool(_) | Content::List(_) | Content::Object(_) => {
                return expected("a size such as `64MiB`", node, report);
            }
        };
        if !(least..=most).contains(&bytes) {
            let (least, most) = (format_size(least), format_size(most));
            report.at(node.mark, format!("a size from {least} to {most} expected"));
            return None;
        }
        Some(bytes)
    }
}

/// A whole number from `least` to `most`.
pub(super) fn whole(least: u64, most: u64) -> impl FnOnce(&Node, &Report) -> Option<u64> {
    move |node, report| {
        let found = node
            .as_number()
            .and_then(serde_json::Number::as_u64)
            .filter(|number| (least..=most).contains(number));
        match found {
            Some(number) => Some(number),
            None => expected(
                &format!("a whole number from {least} to {most}"),
                node,
                report,
            ),
        }
    }
}

/// A number from `least` to `most`.
pub(super) fn number(least: f64, most: f64) -> impl FnOnce(&Node, &Report) -> Option<f64> {
    move |node, report| {
        let found = node
            .as_number()
            .and_then(serde_json::Number::as_f64)
            .filter(|number| (least..=most).contains(number));
        match found {
            Some(number) => Some(number),
            None => expected(&format!("a number from {least} to {most}"), node, report),
        }
    }
}

/// A mapping as data, of at most `bytes_max` as JSON text.
pub(super) fn map(
    what: &'static str,
    bytes_max: usize,
) -> impl FnOnce(&Node, &Report) -> Option<Map<String, Value>> {
    move |node, report| {
        let Content::Object(entries) = &node.content else {
            return expected("a mapping", node, report);
        };
        let map = to_map(entries);
        json_size_fits(what, &map, bytes_max, node, report)?;
        Some(map)
    }
}

pub(super) fn json_size_fits<T: serde::Serialize>(
    what: &str,
    value: &T,
    bytes_max: usize,
    node: &Node,
    report: &Report,
) -> Option<()> {
    let bytes = reported(serde_json::to_vec(value), node, report)?.len();
    if bytes > bytes_max {
        let limit = bytes_max >> 10;
        let message = format!("{what} takes {bytes} bytes as JSON; the limit is {limit}KiB");
        report.at(node.mark, message);
        return None;
    }
    Some(())
}

/// The parts of a list, at most `length_max`.
pub(super) fn list<'t>(
    what: &'static str,
    length_max: usize,
) -> impl FnOnce(&'t Node, &'t Report) -> Option<&'t [Node]> {
    move |node, report| {
        let Content::List(items) = &node.content else {
            return expected("a list", node, report);
        };
        if items.len() > length_max {
            let found = items.len();
            report.at(
                node.mark,
                format!("{found} {what}; the limit is {length_max}"),
            );
            return None;
        }
        Some(items)
    }
}

/// The entries of a mapping, at most `length_max`.
pub(super) fn entries<'t>(
    what: &'static str,
    length_max: usize,
) -> impl FnOnce(&'t Node, &'t Report) -> Option<&'t [Entry]> {
    move |node, report| {
        let Content::Object(entries) = &node.content else {
            return expected("a mapping", node, report);
        };
        if entries.len() > length_max {
            let found = entries.len();
            report.at(
                node.mark,
                format!("{found} {what}; the limit is {length_max}"),
            );
            return None;
        }
        Some(entries)
    }
}
