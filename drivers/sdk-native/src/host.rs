//! What a driver asks while it works on an attempt: answered from its message, and by the host where that leaves something
//! out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{Client, Message};
use beltline_sdk::context::Step;
use beltline_sdk::{Failure, native};
use beltline_wire::{DispatchedAttempt, OutputReply, OutputRequest, subjects};
use log::{Level, LevelFilter};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::hand::{Why, Wish};
use crate::lines::Lines;

/// How long the host may take to answer with an output before it is asked again.
const OUTPUT_WAIT: Duration = Duration::from_secs(10);

/// Between two tries to have an output, at first and at most: a host that is started again takes some seconds.
const OUTPUT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What tells machines apart: a number that the kernel draws when it starts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(crate) struct AttemptHost {
    pub(crate) run: String,
    pub(crate) attempt: DispatchedAttempt,
    pub(crate) lines: Lines,
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) client: Client,
    /// To wait for the host's answer from the driver's thread.
    pub(crate) runtime: Handle,
    pub(crate) level: LevelFilter,
    pub(crate) fetched: RefCell<HashMap<String, Option<String>>>,
}

impl native::Host for AttemptHost {
    fn workspace(&self) -> Result<PathBuf, Failure> {
        folder(
            "workspace",
            self.attempt.workspace.as_deref(),
            self.attempt.machine.as_deref(),
        )
    }

    fn out(&self) -> Result<PathBuf, Failure> {
        folder(
            "out folder",
            self.attempt.out.as_deref(),
            self.attempt.machine.as_deref(),
        )
    }

    fn cancel_requested(&self) -> bool {
        *self.wish.borrow() > Wish::Work
    }

    fn is_over(&self) -> bool {
        *self.wish.borrow() == Wish::Over
    }

    fn config(&self) -> String {
        Value::Object(self.attempt.config.clone()).to_string()
    }

    fn context(&self, key: &str) -> Option<String> {
        self.attempt.context.get(key).map(Value::to_string)
    }

    fn context_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.attempt.context.keys().cloned().collect();
        keys.sort();
        keys
    }

    fn output(&self, step_id: &str) -> Result<Option<String>, Failure> {
        if let Some(output) = self.attempt.outputs.get(step_id) {
            return Ok(Some(output.to_string()));
        }
        if !self.attempt.outputs_left.iter().any(|id| id == step_id) {
            return Ok(None);
        }
        if let Some(output) = self.fetched.borrow().get(step_id) {
            return Ok(output.clone());
        }
        let output = self.fetch(step_id)?;
        self.fetched
            .borrow_mut()
            .insert(step_id.to_owned(), output.clone());
        Ok(output)
    }

    fn outputs(&self) -> Vec<String> {
        let left = |id: &String| {
            self.attempt.outputs.contains_key(id) || self.attempt.outputs_left.contains(id)
        };
        let ids = self.attempt.steps.iter().map(|step| &step.id);
        ids.filter(|id| left(id)).cloned().collect()
    }

    fn steps(&self) -> Vec<Step> {
        let step = |step: &beltline_wire::DispatchedStep| {
            Step::new(step.id.clone(), step.driver.clone(), step.status.clone())
        };
        self.attempt.steps.iter().map(step).collect()
    }

    fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if level <= self.level {
            self.lines.push(level, message, fields);
        }
    }

    fn log_filter(&self) -> LevelFilter {
        self.level
    }
}

impl AttemptHost {
    fn fetch(&self, step_id: &str) -> Result<Option<String>, Failure> {
        let request = OutputRequest {
            step_id: self.attempt.step_id.clone(),
            attempt: self.attempt.attempt,
            token: self.attempt.token.clone(),
            of: step_id.to_owned(),
        };
        let bytes = serde_json::to_vec(&request).expect("it is made of strings and numbers");
        let reply = self.runtime.block_on(self.ask(step_id, bytes))?;
        match serde_json::from_slice(&reply.payload) {
            Ok(OutputReply::Output(output)) => Ok(output.map(|output| output.to_string())),
            Ok(OutputReply::Refused(why)) => Err(Failure::permanent(format!(
                "the host does not give the output of step `{step_id}`: {why}"
            ))),
            Err(error) => Err(Failure::Other(format!(
                "the host's answer about the output of step `{step_id}` cannot be read: {error}"
            ))),
        }
    }

    /// Asks again and again: a host that is being started again answers later. Given up when the attempt is to stop.
    async fn ask(&self, step_id: &str, bytes: Vec<u8>) -> Result<Message, Failure> {
        let subject = subjects::outputs_subject(&self.run);
        let mut wish = self.wish.clone();
        let (mut pause, mut trouble) = (OUTPUT_PAUSE.0, None);
        let tries = async {
            loop {
                let request = async_nats::Request::new()
                    .payload(bytes.clone().into())
                    .timeout(Some(OUTPUT_WAIT));
                match self.client.send_request(subject.clone(), request).await {
                    Ok(reply) => return reply,
                    Err(error) => {
                        if trouble.replace(error.to_string()).is_none() {
                            self.say_that_it_waits(step_id, &error);
                        }
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(OUTPUT_PAUSE.1);
            }
        };
        tokio::select! {
            reply = tries => return Ok(reply),
            // Where it fails, whoever wishes has gone, and what was wished last is left.
            _ = wish.wait_for(|wish| *wish > Wish::Work) => {}
        }
        Err(given_up(step_id, *self.wish.borrow(), trouble))
    }

    fn say_that_it_waits(&self, step_id: &str, error: &dyn Display) {
        let line = format!(
            "the host does not give the output of step `{step_id}` yet ({error}); asking again"
        );
        native::Host::log(self, Level::Warn, &line, &[]);
    }
}

/// Why an output was asked for no longer; at the end of the attempt's time the trouble counts, and another attempt may help.
fn given_up(step_id: &str, wish: Wish, trouble: Option<String>) -> Failure {
    match (wish, trouble) {
        (Wish::Stop(Why::Timeout), Some(trouble)) => Failure::retryable(format!(
            "the output of step `{step_id}` cannot be had from the host: {trouble}"
        )),
        (Wish::Work | Wish::Stop(_) | Wish::Over, _) => Failure::Cancelled,
    }
}

/// A folder of the host's machine, where this is it and shows it.
fn folder(what: &str, path: Option<&str>, machine: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(path) = path else {
        return Err(Failure::permanent(format!("this run has no {what}")));
    };
    let here = fs::read_to_string(BOOT_ID).unwrap_or_default();
    if machine.is_some_and(|machine| machine != here.trim()) {
        return Err(Failure::permanent(format!(
            "the {what} {path} is on the host's machine, and this driver runs on another: run it beside the host"
        )));
    }
    if !Path::new(path).is_dir() {
        return Err(Failure::permanent(format!(
            "the {what} {path} is not seen from where this driver runs: run it as a user and in a file system that see it"
        )));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_given_only_where_it_is_seen() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().to_str().unwrap();
        let boot = fs::read_to_string(BOOT_ID).unwrap();
        assert_eq!(
            folder("workspace", Some(path), None),
            Ok(here.path().to_owned())
        );
        assert_eq!(
            folder("workspace", Some(path), Some(boot.trim())),
            Ok(here.path().to_owned())
        );
        assert_eq!(
            folder("workspace", None, Some("other"))
                .unwrap_err()
                .reason(),
            "this run has no workspace"
        );
        let refused = |path, machine| folder("out folder", Some(path), machine).unwrap_err();
        let reason = refused(path, Some("other")).to_string();
        assert!(reason.contains("is on the host's machine") && reason.contains(path));
        let gone = format!("{path}/gone");
        let reason = refused(&gone, None).to_string();
        assert!(
            reason.contains(&format!("the out folder {gone} is not seen")),
            "{reason}"
        );
    }
}
