//! The stock driver `policy`: Rego policies over a resource, the context and what earlier steps left.
//!
//! Follows conftest's conventions: rules named `deny`, `violation` and `warn`, or one of these with a suffix,
//! in any package, each a set of messages or of objects with a `msg`. Owns what a finding is and when findings
//! fail the run; what Rego means is the engine's.

mod evaluate;
mod finding;
mod rules;
mod sources;
#[cfg(test)]
mod tests;

use std::fs;

use beltline_sdk::{Explain, Failure, Outcome, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::finding::{Counts, Finding};

beltline_sdk::driver! {
    name: "policy",
    kinds: [],
    wants: { workspace: ro, out: rw },
    reconcile
}

/// What the findings may take of an output's 256 KiB.
const FINDINGS_BYTES_MAX: usize = 224 * 1024;

/// How many findings a failure's reason tells; the rest are in the out folder.
const FINDINGS_TOLD_MAX: usize = 5;

/// The step's `with`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct With {
    /// Files, folders and globs below the workspace. Where neither these nor `rego` are given: `policy`.
    policies: Vec<String>,
    /// A policy as it stands.
    rego: Option<String>,
    /// The first version of the language, without `if` and `contains`.
    rego_v0: bool,
    /// What policies see as `data`.
    data: Map<String, Value>,
    /// What fails the run.
    fail_on: FailOn,
    /// Where the findings go, below the out folder.
    path: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FailOn {
    /// `deny` and `violation`.
    Deny,
    /// These and `warn`.
    Warn,
    /// Nothing.
    Never,
}

impl Default for With {
    fn default() -> Self {
        With {
            policies: Vec::new(),
            rego: None,
            rego_v0: false,
            data: Map::new(),
            fail_on: FailOn::Deny,
            path: "policy.json".to_owned(),
        }
    }
}

/// The step's output, and the file in the out folder.
#[derive(Serialize)]
struct Output {
    /// The worst first.
    findings: Vec<Finding>,
    /// How many findings an output has no room for; none are left out of the file.
    findings_omitted: usize,
    counts: Counts,
    /// The files that were read.
    policies: Vec<String>,
    /// How many rules were asked.
    rules: usize,
}

fn reconcile(request: Request<Value, With>) -> Result<Outcome<Output>, Failure> {
    let with = &request.with;
    let policies = sources::read(&with.policies, with.rego.as_deref())?;
    let input = evaluate::input(&request.resource)?;
    let (rules, mut findings) = evaluate::findings(&policies, with.rego_v0, &input, &with.data)?;
    findings.sort_by(Finding::order);

    let mut output = Output {
        counts: Counts::of(&findings),
        findings,
        findings_omitted: 0,
        policies: policies.into_iter().map(|policy| policy.path).collect(),
        rules,
    };
    // A step that fails leaves no output: the file is where its findings are then.
    let written = write(&with.path, &output)?;
    if with.fail_on.fails(&output.counts) {
        return Err(Failure::permanent(reason(
            &output,
            written.then_some(with.path.as_str()),
        )));
    }
    output.fit();
    let noun = if output.rules == 1 { "rule" } else { "rules" };
    Ok(Outcome::new(format!("{} {noun}: {}", output.rules, output.counts)).output(output))
}

/// Writes the findings, where there is a folder for them.
fn write(path: &str, output: &Output) -> Result<bool, Failure> {
    if beltline_sdk::out().is_err() {
        return Ok(false);
    }
    let file = beltline_sdk::out_path(path).explain("with.path")?;
    fs::write(file, serde_json::to_vec_pretty(output)?).explain(path)?;
    Ok(true)
}

fn reason(output: &Output, path: Option<&str>) -> String {
    let told: Vec<String> = output
        .findings
        .iter()
        .take(FINDINGS_TOLD_MAX)
        .map(Finding::to_string)
        .collect();
    let mut reason = format!("{}: {}", output.counts, told.join("; "));
    let more = output.findings.len() - told.len();
    match (more, path) {
        (0, _) => {}
        (more, Some(path)) => {
            reason.push_str(&format!("; and {more} more in {path} of the out folder"))
        }
        (more, None) => reason.push_str(&format!("; and {more} more")),
    }
    reason
}

impl FailOn {
    fn fails(self, counts: &Counts) -> bool {
        match self {
            FailOn::Deny => counts.denied() > 0,
            FailOn::Warn => counts.denied() + counts.warn > 0,
            FailOn::Never => false,
        }
    }
}

impl Output {
    /// Leaves out what an output has no room for.
    fn fit(&mut self) {
        let all = self.findings.len();
        let mut bytes = 0;
        let mut kept = 0;
        for finding in &self.findings {
            bytes += serde_json::to_string(finding).map_or(0, |text| text.len()) + 1;
            if bytes > FINDINGS_BYTES_MAX {
                break;
            }
            kept += 1;
        }
        self.findings.truncate(kept);
        self.findings_omitted = all - kept;
    }
}
