//! The operator's file: who may run what, and which variables of the driver's own are handed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beltline_sdk::Failure;
use serde::Deserialize;

use crate::command::Command;
use crate::mask::{Masks, SECRET_BYTES_MIN};

/// What belongs to everything, where a list could stand.
const ALL: &str = "*";

#[derive(Default)]
pub struct Config {
    pub(crate) allow: Option<Allow>,
    /// Variables that commands get, and their values, which nobody gets to see.
    pub passed: Vec<(String, String)>,
    pub masks: Masks,
    /// From SIGTERM to SIGKILL.
    pub grace: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allow {
    #[serde(default)]
    commands: Names,
    #[serde(default)]
    shell: bool,
    #[serde(default)]
    pipelines: Names,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of names, or \"*\" for all")]
enum Names {
    List(Vec<String>),
    Word(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    allow: Option<Allow>,
    #[serde(default)]
    pass_env: Vec<String>,
    grace_ms: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {what}", path.display())]
    Shape { path: PathBuf, what: String },
    #[error("`pass_env` names `{0}`, which is not set")]
    NotSet(String),
    #[error(
        "`pass_env` names `{0}`, whose value has under {SECRET_BYTES_MIN} bytes: masking it would mask half of every log"
    )]
    Short(String),
}

impl Default for Names {
    fn default() -> Self {
        Names::List(Vec::new())
    }
}

impl Names {
    fn are_all(&self) -> bool {
        matches!(self, Names::Word(word) if word == ALL)
    }

    fn have(&self, name: Option<&str>) -> bool {
        match self {
            Names::Word(word) => word == ALL || Some(word.as_str()) == name,
            Names::List(names) => name.is_some_and(|name| names.iter().any(|n| n == name)),
        }
    }
}

impl Config {
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(path, &text, |name| std::env::var(name).ok())
    }

    fn parse(
        path: &Path,
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| ConfigError::Shape {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        let mut passed = Vec::new();
        for name in file.pass_env {
            let Some(value) = variable(&name) else {
                return Err(ConfigError::NotSet(name));
            };
            if value.len() < SECRET_BYTES_MIN {
                return Err(ConfigError::Short(name));
            }
            passed.push((name, value));
        }
        Ok(Config {
            allow: file.allow,
            masks: Masks::new(passed.iter().map(|(_, value)| value.as_str())),
            passed,
            grace: file.grace_ms.map(Duration::from_millis),
        })
    }

    /// Whether any program at all may be run, so that variables which choose other programs change nothing.
    pub fn allows_all_commands(&self) -> bool {
        let allow = self.allow.as_ref();
        allow.is_some_and(|allow| allow.commands.are_all())
    }

    pub fn summary(&self) -> &'static str {
        match &self.allow {
            None => "its config has no `allow`, so it runs nothing",
            Some(allow) if allow.commands.are_all() => "its config allows every command",
            Some(_) => "its config allows some commands",
        }
    }

    /// # Errors
    /// Permanent, with the line to add.
    pub fn allows(&self, pipeline: Option<&str>, command: &Command) -> Result<(), Failure> {
        let name = command.name();
        let (what, part) = match &self.allow {
            None => {
                let what = "this driver runs nothing: its config has no `allow`";
                let part = match command {
                    Command::Words(_) => format!(
                        "commands: [{name}], pipelines: [{}]",
                        pipeline.unwrap_or("\"*\"")
                    ),
                    Command::Shell(_) => {
                        format!("shell: true, pipelines: [{}]", pipeline.unwrap_or("\"*\""))
                    }
                };
                (what.to_owned(), format!("allow: {{{part}}}"))
            }
            Some(allow) if !allow.pipelines.have(pipeline) => match pipeline {
                Some(pipeline) => (
                    format!("pipeline `{pipeline}` may run nothing here"),
                    format!("pipelines: [{pipeline}]"),
                ),
                None => (
                    "a resource without a pipeline may run nothing here".to_owned(),
                    "pipelines: \"*\"".to_owned(),
                ),
            },
            Some(allow) => match command {
                Command::Shell(_) if !allow.shell => (
                    "no shell may be run here".to_owned(),
                    "shell: true".to_owned(),
                ),
                Command::Words(_) if !allow.commands.have(Some(name)) => (
                    format!("`{name}` may not be run here"),
                    format!("commands: [{name}]"),
                ),
                Command::Shell(_) | Command::Words(_) => return Ok(()),
            },
        };
        Err(Failure::permanent(format!(
            "{what}; to allow it, say `{part}` in exec.yaml"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("exec.yaml"), text, |_| Some("s3cret".to_owned())).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, pipeline: Option<&str>, command: &Command, line: &str) {
        let reason = config(text)
            .allows(pipeline, command)
            .unwrap_err()
            .to_string();
        assert!(
            reason.ends_with(&format!("say `{line}` in exec.yaml")),
            "{reason}"
        );
    }

    #[test]
    fn what_is_not_allowed_says_which_line_to_add() {
        let make = Command::Words(vec!["make".to_owned(), "all".to_owned()]);
        let shell = Command::Shell("make".to_owned());
        refused(
            "{}",
            Some("p"),
            &make,
            "allow: {commands: [make], pipelines: [p]}",
        );
        refused(
            "pass_env: []",
            Some("p"),
            &shell,
            "allow: {shell: true, pipelines: [p]}",
        );
        refused(
            "allow: {commands: [make]}",
            Some("p"),
            &make,
            "pipelines: [p]",
        );
        refused(
            "allow: {pipelines: [p]}",
            Some("p"),
            &make,
            "commands: [make]",
        );
        refused(
            "allow: {pipelines: [p], commands: \"*\"}",
            Some("p"),
            &shell,
            "shell: true",
        );
        refused(
            "allow: {pipelines: [p], commands: [make]}",
            None,
            &make,
            "pipelines: \"*\"",
        );
        let full = "allow: {pipelines: \"*\", commands: [make], shell: true}";
        assert!(
            config(full).allows(None, &make).is_ok()
                && config(full).allows(Some("p"), &shell).is_ok()
        );
    }

    #[test]
    fn a_misspelt_key_and_a_short_secret_are_refused_by_name() {
        let parse = |text: &str, value: Option<&str>| {
            let value = value.map(str::to_owned);
            let parsed = Config::parse(Path::new("x.yaml"), text, |_| value.clone());
            parsed.err().unwrap().to_string()
        };
        assert!(parse("alow: {}", None).contains("alow"));
        assert!(parse("pass_env: [TOKEN]", None).contains("`TOKEN`, which is not set"));
        assert!(parse("pass_env: [TOKEN]", Some("ab")).contains("`TOKEN`, whose value has under"));
    }
}
