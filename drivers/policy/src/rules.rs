//! Which rules a policy's findings come from, and where they stand: read off the engine's syntax tree.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// What a rule's name says about its findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Deny,
    Violation,
    Warn,
}

/// A rule, whichever files it is written in.
#[derive(Debug, PartialEq)]
pub(crate) struct Rule {
    /// `package.name`.
    pub(crate) name: String,
    pub(crate) level: Level,
    /// Where it is written first.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u64,
}

impl Level {
    /// `deny`, `violation`, `warn`, or one of these and `_…`.
    fn of(rule: &str) -> Option<Level> {
        match rule.split_once('_').map_or(rule, |(word, _)| word) {
            "deny" => Some(Level::Deny),
            "violation" => Some(Level::Violation),
            "warn" => Some(Level::Warn),
            _ => None,
        }
    }
}

/// The rules of all modules of a syntax tree, by name.
pub(crate) fn rules(tree: &Value) -> Vec<Rule> {
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    for module in tree.as_array().into_iter().flatten() {
        let file = module
            .pointer("/source/file")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(package) = module.pointer("/ast/package/refr").and_then(path) else {
            continue;
        };
        for rule in module
            .pointer("/ast/rules")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let Some((name, line)) = head(rule) else {
                continue;
            };
            let Some(level) = Level::of(&name) else {
                continue;
            };
            let name = format!("{package}.{name}");
            let rule = Rule {
                name: name.clone(),
                level,
                file: file.to_owned(),
                line,
            };
            rules.entry(name).or_insert(rule);
        }
    }
    rules.into_values().collect()
}

/// The name and the line of a rule that is no function: of `deny contains …`, `deny := …`, `deny if …`.
fn head(rule: &Value) -> Option<(String, u64)> {
    let head = rule.pointer("/Spec/head")?;
    let refr = head
        .pointer("/Set/refr")
        .or_else(|| head.pointer("/Compr/refr"))?;
    let first = first(refr)?;
    let name = first.get("value")?.as_str()?;
    Some((name.to_owned(), first.pointer("/span/line")?.as_u64()?))
}

/// The variable that a reference begins with.
fn first(refr: &Value) -> Option<&Value> {
    match refr.get("Var") {
        Some(variable) => Some(variable),
        None => first(
            refr.pointer("/RefDot/refr")
                .or_else(|| refr.pointer("/RefBrack/refr"))?,
        ),
    }
}

/// A reference as `a.b.c`; of a package, whose parts are names or texts.
fn path(refr: &Value) -> Option<String> {
    if let Some(name) = refr.pointer("/Var/value") {
        return name.as_str().map(str::to_owned);
    }
    let (inner, name) = match refr.get("RefDot") {
        Some(dot) => (dot.get("refr")?, dot.pointer("/field/1")?),
        None => (
            refr.pointer("/RefBrack/refr")?,
            refr.pointer("/RefBrack/index/String/value")?,
        ),
    };
    Some(format!("{}.{}", path(inner)?, name.as_str()?))
}
