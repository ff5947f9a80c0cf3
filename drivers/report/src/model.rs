//! What there is to report, before anybody says how it looks.

use std::collections::BTreeMap;
use std::time::Duration;

use beltline_sdk::context::{self, Step};
use beltline_sdk::{Failure, Resource, RunInfo};
use serde::Deserialize;
use serde_json::Value;

/// Everything the report shows.
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) run_id: String,
    pub(crate) pipeline: Option<String>,
    pub(crate) resource: String,
    pub(crate) kind: String,
    /// The steps but this one, in pipeline order.
    pub(crate) steps: Vec<Step>,
    /// By the step that left it.
    pub(crate) outputs: Vec<(String, Value)>,
    pub(crate) bills: Vec<(String, Bill)>,
    pub(crate) checks: Vec<(String, Check)>,
}

/// An output that tells of a bill of materials, as the driver `sbom` leaves it.
#[derive(Debug, Deserialize)]
pub(crate) struct Bill {
    pub(crate) components: u64,
    pub(crate) ecosystems: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) licenses: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    #[serde(default)]
    pub(crate) list: Vec<Component>,
}

/// A component of a bill.
#[derive(Debug, Deserialize)]
pub(crate) struct Component {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) license: String,
    #[serde(default)]
    pub(crate) purl: String,
}

/// An output that tells of policy findings, as the driver `policy` leaves it.
#[derive(Debug, Deserialize)]
pub(crate) struct Check {
    pub(crate) findings: Vec<Finding>,
    #[serde(default)]
    pub(crate) findings_omitted: u64,
    /// How many rules were asked.
    pub(crate) rules: u64,
}

/// One thing that a policy found.
#[derive(Debug, Deserialize)]
pub(crate) struct Finding {
    pub(crate) level: String,
    pub(crate) severity: String,
    pub(crate) rule: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) file: String,
    #[serde(default)]
    pub(crate) policy: String,
}

impl Report {
    pub(crate) fn gather(
        run: &RunInfo,
        resource: &Resource,
        title: Option<&str>,
    ) -> Result<Report, Failure> {
        let steps: Vec<Step> = context::steps()
            .into_iter()
            .filter(|step| step.id != run.step_id)
            .collect();
        let mut outputs = Vec::new();
        for step in context::outputs() {
            outputs.extend(context::output(&step)?.map(|output: Value| (step, output)));
        }
        let default = match &run.pipeline {
            Some(pipeline) => format!("{pipeline}: {}", resource.name),
            None => resource.name.clone(),
        };
        Ok(Report {
            title: title.map_or(default, str::to_owned),
            run_id: run.run_id.clone(),
            pipeline: run.pipeline.clone(),
            resource: resource.name.clone(),
            kind: resource.kind.clone(),
            bills: shaped(&outputs),
            checks: shaped(&outputs),
            steps,
            outputs,
        })
    }

    /// How many steps succeeded.
    pub(crate) fn succeeded(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| step.status == "succeeded")
            .count()
    }

    /// How long all steps took together.
    pub(crate) fn elapsed(&self) -> Duration {
        self.steps.iter().filter_map(|step| step.elapsed).sum()
    }

    pub(crate) fn components(&self) -> u64 {
        self.bills.iter().map(|(_, bill)| bill.components).sum()
    }

    pub(crate) fn findings(&self) -> u64 {
        self.checks.iter().map(|(_, check)| check.found()).sum()
    }
}

impl Bill {
    /// The licences that most components have, how many have another, and how many say none.
    pub(crate) fn top_licences(&self, most: usize) -> (Vec<(&str, u64)>, u64, u64) {
        let mut licences: Vec<(&str, u64)> = self
            .licenses
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        licences.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let stated: u64 = self.licenses.values().sum();
        let rest = licences.split_off(most.min(licences.len()));
        (
            licences,
            rest.iter().map(|(_, count)| count).sum(),
            self.components.saturating_sub(stated),
        )
    }
}

impl Check {
    pub(crate) fn found(&self) -> u64 {
        self.findings.len() as u64 + self.findings_omitted
    }
}

/// The outputs that have a shape: which driver left one does not matter.
fn shaped<T: for<'de> Deserialize<'de>>(outputs: &[(String, Value)]) -> Vec<(String, T)> {
    outputs
        .iter()
        .filter_map(|(step, output)| Some((step.clone(), T::deserialize(output).ok()?)))
        .collect()
}
