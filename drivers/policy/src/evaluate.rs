//! Asks the Rego engine.

use beltline_sdk::{Explain, Failure, Resource, cancel, context};
use regorus::Engine;
use serde_json::{Map, Value, json};

use crate::finding::Finding;
use crate::rules;
use crate::sources::Policy;

/// What policies see as `input`: `resource`, `context`, `outputs` by step, `steps`.
pub(crate) fn input(resource: &Resource) -> Result<Value, Failure> {
    let mut values = Map::new();
    for key in context::keys() {
        values.extend(context::get(&key)?.map(|value: Value| (key, value)));
    }
    let mut outputs = Map::new();
    for step in context::outputs() {
        outputs.extend(context::output(&step)?.map(|value: Value| (step, value)));
    }
    let steps: Vec<Value> = context::steps()
        .into_iter()
        .map(|step| {
            json!({"id": step.id, "driver": step.driver, "status": step.status, "message": step.message})
        })
        .collect();
    Ok(json!({"resource": resource, "context": values, "outputs": outputs, "steps": steps}))
}

/// How many rules there are, and what they find.
///
/// # Errors
/// Permanent, naming file, line and column, if a policy is not Rego or fails. A builtin that fails counts as
/// that, where other engines take its rule for undefined: a check that could not be made has not passed.
pub(crate) fn findings(
    policies: &[Policy],
    rego_v0: bool,
    input: &Value,
    data: &Map<String, Value>,
) -> Result<(usize, Vec<Finding>), Failure> {
    let mut engine = Engine::new();
    engine.set_rego_v0(rego_v0);
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    for policy in policies {
        engine
            .add_policy(policy.path.clone(), policy.text.clone())
            .map_err(|error| failure(&error.to_string()))?;
    }
    engine
        .add_data_json(&json!(data).to_string())
        .map_err(|error| failure(&error.to_string()))?;
    engine
        .set_input_json(&input.to_string())
        .map_err(|error| failure(&error.to_string()))?;

    let tree = engine
        .get_ast_as_json()
        .map_err(|error| failure(&error.to_string()))?;
    let rules = rules::rules(&serde_json::from_str(&tree).explain("the engine's syntax tree")?);
    if rules.is_empty() {
        return Err(Failure::permanent(
            "the policies have no rule named deny, violation or warn",
        ));
    }
    let mut findings = Vec::new();
    for rule in &rules {
        cancel::check()?;
        let value = engine
            .eval_rule(format!("data.{}", rule.name))
            .map_err(|error| failure(&error.to_string()))?;
        for line in engine
            .take_prints()
            .map_err(|error| failure(&error.to_string()))?
        {
            log::info!(rule = rule.name.as_str(); "{line}");
        }
        if value != regorus::Value::Undefined {
            findings.extend(Finding::of_value(rule, serde_json::to_value(&value)?));
        }
    }
    Ok((rules.len(), findings))
}

/// The engine draws its errors over several lines: `--> file:line:column`, the line, a caret, `error: what`.
fn failure(drawing: &str) -> Failure {
    let place = drawing
        .lines()
        .find_map(|line| line.trim().strip_prefix("--> "));
    let what = drawing
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("error: "));
    Failure::permanent(match (place, what) {
        (Some(place), Some(what)) => format!("{place}: {what}"),
        _ => drawing.split_whitespace().collect::<Vec<_>>().join(" "),
    })
}
