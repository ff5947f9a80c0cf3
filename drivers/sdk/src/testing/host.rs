//! The stand-in for the host: one for each thread, there while a driver runs on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use log::Level;
use serde_json::{Map, Value};

use super::Line;
use crate::context::Step;

pub(crate) struct Host {
    pub(crate) context: BTreeMap<String, Value>,
    pub(crate) outputs: BTreeMap<String, Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) config: Value,
    pub(crate) cancelled: bool,
    pub(crate) log_level: Level,
    pub(crate) logs: Vec<Line>,
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) out: Option<PathBuf>,
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
            logs: Vec::new(),
            workspace: None,
            out: None,
        }
    }
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Serves a call on this thread and gives the host back.
pub(crate) fn serve<T>(host: Host, call: impl FnOnce() -> T) -> (T, Host) {
    let outer = HOST.replace(Some(host));
    let result = call();
    let host = HOST
        .replace(outer)
        .expect("only this function takes it away");
    (result, host)
}

fn ask<T>(question: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(|host| {
        question(host.as_mut().expect(
            "no host on this thread: outside a component these functions work in `testing::Harness::run`",
        ))
    })
}

pub(crate) fn workspace() -> PathBuf {
    ask(|host| host.workspace.clone().unwrap_or_default())
}

pub(crate) fn out() -> PathBuf {
    ask(|host| host.out.clone().unwrap_or_default())
}

pub(crate) fn cancel_requested() -> bool {
    ask(|host| host.cancelled)
}

pub(crate) fn config() -> String {
    ask(|host| host.config.to_string())
}

pub(crate) fn context(key: &str) -> Option<String> {
    ask(|host| host.context.get(key).map(Value::to_string))
}

pub(crate) fn context_keys() -> Vec<String> {
    ask(|host| host.context.keys().cloned().collect())
}

pub(crate) fn output(step_id: &str) -> Option<String> {
    ask(|host| host.outputs.get(step_id).map(Value::to_string))
}

pub(crate) fn outputs() -> Vec<String> {
    ask(|host| {
        let left = host
            .steps
            .iter()
            .map(|step| &step.id)
            .filter(|id| host.outputs.contains_key(*id));
        left.cloned().collect()
    })
}

pub(crate) fn steps() -> Vec<Step> {
    ask(|host| host.steps.clone())
}

/// Other threads of a test's process log too; what has no host goes nowhere.
pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    HOST.with_borrow_mut(|host| {
        let Some(host) = host else { return };
        if level <= host.log_level {
            let field = |(key, value): &(String, String)| {
                let json = serde_json::from_str(value);
                (
                    key.clone(),
                    json.unwrap_or_else(|_| Value::String(value.clone())),
                )
            };
            let fields = fields.iter().map(field).collect();
            host.logs.push(Line {
                level,
                message: message.to_owned(),
                fields,
            });
        }
    });
}

/// Tests share a process and its filter, so the filter lets all pass; [`log`] keeps what its host does.
pub(crate) fn log_filter() -> log::LevelFilter {
    log::LevelFilter::Trace
}
