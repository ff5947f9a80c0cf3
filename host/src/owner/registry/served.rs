//! What a host serves: each driver by its name, with the bytes that new runs take.

use super::super::OwnerError;
use crate::documents::{Config, Pipeline};
use crate::drivers::Resolved;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::ToSchema;

/// Where a driver comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverSource {
    /// From the operator's file.
    Config,
    /// From a client.
    Put,
}

/// Whether a driver can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverStatus {
    /// New runs take it.
    Ready,
    /// It is being compiled; where there was one before it, new runs take that.
    Compiling,
    /// It cannot be used; where there was one before it, new runs take that.
    Refused,
}

/// Every driver of a host.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Grows with each change; zero before anything is served.
    pub(super) number: u64,
    /// The operator's file, absolute.
    pub(super) path: PathBuf,
    /// Its entries, and one without grants for each driver that a client has put.
    pub(super) config: Arc<Config>,
    /// What is wrong with the file, where it cannot be used as it is now.
    pub trouble: Option<String>,
    /// A driver that may be about to go: who wants it waits until that is decided.
    pub(super) leaving: Option<String>,
    /// The drivers by name.
    pub drivers: BTreeMap<String, ServedDriver>,
}

/// One driver of a host.
#[derive(Debug, Clone)]
pub struct ServedDriver {
    /// Where it comes from.
    pub source: DriverSource,
    /// Whether it is a program of its own.
    pub is_native: bool,
    /// Whether it can be used.
    pub status: DriverStatus,
    /// What new runs take.
    pub current: Option<Arc<Resolved>>,
    /// Why not what is there now.
    pub trouble: Option<String>,
}

impl ServedDriver {
    /// Whether it has not been looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.current.is_none() && self.status == DriverStatus::Compiling
    }
}

impl Served {
    /// The operator's settings, with an entry for each driver that a client has put.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether each driver of a pipeline can be used or cannot: none is still to be compiled for the first time, or may be
    /// about to go.
    pub(super) fn is_settled(&self, pipeline: &Pipeline) -> bool {
        if self.removes_one_of(pipeline) {
            return false;
        }
        let mut steps = pipeline.steps.iter();
        steps.all(|step| match self.drivers.get(&step.driver) {
            Some(driver) => !driver.is_new(),
            None => true,
        })
    }

    /// Whether a driver of a pipeline may be about to go.
    pub(super) fn removes_one_of(&self, pipeline: &Pipeline) -> bool {
        let leaving = self.leaving.as_ref();
        leaving.is_some_and(|name| pipeline.steps.iter().any(|step| step.driver == *name))
    }

    /// The drivers that a pipeline names.
    pub(super) fn used(
        &self,
        pipeline: &Pipeline,
    ) -> Result<BTreeMap<String, Resolved>, OwnerError> {
        let mut used = BTreeMap::new();
        for (index, step) in pipeline.steps.iter().enumerate() {
            let name = &step.driver;
            let Some(driver) = self.drivers.get(name) else {
                return Err(self.unusable(index, name));
            };
            let Some(current) = &driver.current else {
                let why = driver.trouble.as_deref().unwrap_or("it is not there");
                return Err(OwnerError::Conflict(format!(
                    "driver `{name}` cannot be used: {why}"
                )));
            };
            used.insert(name.clone(), (**current).clone());
        }
        Ok(used)
    }

    pub(super) fn unusable(&self, index: usize, name: &str) -> OwnerError {
        let file = self.path.display();
        OwnerError::Pipeline {
            field: format!("/steps/{index}/driver"),
            why: format!(
                "there is no driver `{name}`; add it to `{file}`: `{name}: {{path: {name}.wasm}}`, or `{name}: {{placement: native}}` where it is a program of its own; or PUT /drivers/{name}"
            ),
        }
    }
}
