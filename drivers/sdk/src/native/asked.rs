//! What the SDK's functions ask outside a component: the host of the thread.

use std::path::PathBuf;
use std::rc::Rc;

use log::{Level, LevelFilter};

use super::{HOST, Host};
use crate::Failure;
use crate::context::Step;

/// Let go of before it is asked: the answer may log.
fn host() -> Rc<dyn Host> {
    HOST.with_borrow(Clone::clone).expect(
        "no host on this thread: outside a component these functions work on the thread that the driver was called on",
    )
}

pub(crate) fn workspace() -> Result<PathBuf, Failure> {
    host().workspace()
}

pub(crate) fn out() -> Result<PathBuf, Failure> {
    host().out()
}

pub(crate) fn cancel_requested() -> bool {
    host().cancel_requested()
}

pub(crate) fn is_over() -> bool {
    host().is_over()
}

pub(crate) fn config() -> String {
    host().config()
}

pub(crate) fn context(key: &str) -> Option<String> {
    host().context(key)
}

pub(crate) fn context_keys() -> Vec<String> {
    host().context_keys()
}

pub(crate) fn output(step_id: &str) -> Result<Option<String>, Failure> {
    host().output(step_id)
}

pub(crate) fn outputs() -> Vec<String> {
    host().outputs()
}

pub(crate) fn steps() -> Vec<Step> {
    host().steps()
}

/// Other threads of the process log too; what has no host goes nowhere.
pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    if let Some(host) = HOST.with_borrow(Clone::clone) {
        host.log(level, message, fields);
    }
}

pub(crate) fn log_filter() -> LevelFilter {
    host().log_filter()
}
