//! What a rule says about the input.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::rules::{Level, Rule};

/// One thing that a policy found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What the policy says, or else the level's: `error` or `warning`.
    pub(crate) severity: String,
    /// `package.name`, unless the policy says another.
    pub(crate) rule: String,
    pub(crate) message: String,
    /// What it is about, if the policy says so; else the policy's own file.
    pub(crate) file: String,
    /// Where the rule stands: `file:line`.
    pub(crate) policy: String,
    /// Whatever else the policy says.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) details: Map<String, Value>,
}

/// How many findings there are.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) deny: usize,
    pub(crate) violation: usize,
    pub(crate) warn: usize,
}

impl Finding {
    /// The findings in a rule's value: each member of a set or list, or the value itself.
    pub(crate) fn of_value(rule: &Rule, value: Value) -> Vec<Finding> {
        match value {
            Value::Null | Value::Bool(false) => Vec::new(),
            Value::Array(items) => items
                .into_iter()
                .map(|item| Finding::of_item(rule, item))
                .collect(),
            item @ (Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                vec![Finding::of_item(rule, item)]
            }
        }
    }

    fn of_item(rule: &Rule, item: Value) -> Finding {
        let mut finding = Finding {
            level: rule.level,
            severity: severity(rule.level).to_owned(),
            rule: rule.name.clone(),
            message: String::new(),
            file: rule.file.clone(),
            policy: format!("{}:{}", rule.file, rule.line),
            details: Map::new(),
        };
        finding.message = match item {
            Value::String(message) => message,
            Value::Bool(true) => format!("{} holds", rule.name),
            Value::Object(mut object) => {
                let message = text(&mut object, &["msg", "message"]);
                let message = message.unwrap_or_else(|| Value::Object(object.clone()).to_string());
                finding.severity = text(&mut object, &["severity"]).unwrap_or(finding.severity);
                finding.rule = text(&mut object, &["rule"]).unwrap_or(finding.rule);
                finding.file = text(&mut object, &["file"]).unwrap_or(finding.file);
                finding.details = object;
                message
            }
            other @ (Value::Null | Value::Bool(false) | Value::Number(_) | Value::Array(_)) => {
                other.to_string()
            }
        };
        finding
    }

    /// The worst first, then by rule, file and message: the same findings give the same list.
    pub(crate) fn order(left: &Finding, right: &Finding) -> Ordering {
        let key = |finding: &Finding| {
            (
                finding.level,
                finding.rule.clone(),
                finding.file.clone(),
                finding.message.clone(),
            )
        };
        key(left).cmp(&key(right))
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Deny | Level::Violation => "error",
        Level::Warn => "warning",
    }
}

/// Takes the first of these keys that is there and a text.
fn text(object: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    let key = keys
        .iter()
        .find(|key| object.get(**key).is_some_and(Value::is_string))?;
    object
        .remove(*key)
        .and_then(|value| value.as_str().map(str::to_owned))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.policy, self.message)
    }
}

impl Counts {
    pub(crate) fn of(findings: &[Finding]) -> Counts {
        let mut counts = Counts::default();
        for finding in findings {
            match finding.level {
                Level::Deny => counts.deny += 1,
                Level::Violation => counts.violation += 1,
                Level::Warn => counts.warn += 1,
            }
        }
        counts
    }

    /// What fails a run unless nothing does.
    pub(crate) fn denied(&self) -> usize {
        self.deny + self.violation
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} denied, {} warned", self.denied(), self.warn)
    }
}
