//! The stand-in for the host: what a test furnishes a call with.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use log::{Level, LevelFilter};
use serde_json::{Map, Value};

use super::Line;
use crate::context::Step;
use crate::{Failure, native};

pub(super) struct Host {
    pub(super) context: BTreeMap<String, Value>,
    pub(super) outputs: BTreeMap<String, Value>,
    pub(super) steps: Vec<Step>,
    pub(super) config: Value,
    pub(super) cancelled: bool,
    pub(super) log_level: Level,
    pub(super) logs: RefCell<Vec<Line>>,
    pub(super) workspace: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            context: BTreeMap::new(),
            outputs: BTreeMap::new(),
            steps: Vec::new(),
            config: Value::Object(Map::new()),
            cancelled: false,
            log_level: Level::Trace,
            logs: RefCell::default(),
            workspace: None,
            out: None,
        }
    }
}

impl native::Host for Host {
    fn workspace(&self) -> Result<PathBuf, Failure> {
        Ok(self.workspace.clone().unwrap_or_default())
    }

    fn out(&self) -> Result<PathBuf, Failure> {
        Ok(self.out.clone().unwrap_or_default())
    }

    fn cancel_requested(&self) -> bool {
        self.cancelled
    }

    fn config(&self) -> String {
        self.config.to_string()
    }

    fn context(&self, key: &str) -> Option<String> {
        self.context.get(key).map(Value::to_string)
    }

    fn context_keys(&self) -> Vec<String> {
        self.context.keys().cloned().collect()
    }

    fn output(&self, step_id: &str) -> Result<Option<String>, Failure> {
        Ok(self.outputs.get(step_id).map(Value::to_string))
    }

    fn outputs(&self) -> Vec<String> {
        let ids = self.steps.iter().map(|step| &step.id);
        ids.filter(|id| self.outputs.contains_key(*id))
            .cloned()
            .collect()
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.clone()
    }

    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if level > self.log_level {
            return;
        }
        let field = |(key, value): &(String, String)| {
            let json = serde_json::from_str(value);
            (
                key.clone(),
                json.unwrap_or_else(|_| Value::String(value.clone())),
            )
        };
        self.logs.borrow_mut().push(Line {
            level,
            message: message.to_owned(),
            fields: fields.iter().map(field).collect(),
        });
    }

    /// Tests share a process and its filter, so the filter lets all pass; [`Self::log`] keeps what the test wants.
    fn log_filter(&self) -> LevelFilter {
        LevelFilter::Trace
    }
}
