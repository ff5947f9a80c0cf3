//! What a step asks to be run, and where.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs;
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use beltline_sdk::{Explain as _, Failure};
use serde::Deserialize;

/// The step's `with`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct With {
    run: Run,
    #[serde(default)]
    shell: bool,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Below the workspace.
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default)]
    pub retryable: Option<Retryable>,
}

/// After which ends of the command the step may be tried again.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`true`, `false` or a list of exit codes from 1 to 255"
)]
pub enum Retryable {
    /// After all that are failures, or none.
    Any(bool),
    /// After these exit codes.
    Codes(Vec<NonZero<u8>>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a list of words, or with `shell: true` a text")]
enum Run {
    Words(Vec<String>),
    Text(String),
}

/// What is to be run.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments.
    Words(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// The shell: it stops at the first command that fails and at a variable that is not set.
const SHELL: [&str; 3] = ["/bin/sh", "-eu", "-c"];

/// How much of a command is shown.
const SHOWN_CHARS_MAX: usize = 80;

impl Retryable {
    /// Whether such an end is one of them; a signal's has no code.
    pub fn has(&self, code: Option<i32>) -> bool {
        match self {
            Retryable::Any(any) => *any,
            Retryable::Codes(codes) => codes.iter().any(|own| Some(own.get().into()) == code),
        }
    }
}

impl Command {
    pub fn of(with: &With) -> Result<Command, Failure> {
        match (&with.run, with.shell) {
            (Run::Words(words), false) => match words.first() {
                Some(name) if !name.is_empty() => Ok(Command::Words(words.clone())),
                Some(_) | None => Err(Failure::permanent("with.run names no program")),
            },
            (Run::Text(text), true) => Ok(Command::Shell(text.clone())),
            (Run::Text(_), false) => Err(Failure::permanent(
                "with.run is a text: write a list of words, or add `shell: true`",
            )),
            (Run::Words(_), true) => Err(Failure::permanent(
                "with.run is a list: write a text, or leave out `shell: true`",
            )),
        }
    }

    /// What an allow-list has of it.
    pub fn name(&self) -> &str {
        match self {
            Command::Words(words) => words.first().map_or("", String::as_str),
            Command::Shell(_) => "sh",
        }
    }

    /// The program, looked up in the driver's own search path; a name with a `/` is a path.
    pub fn program(&self, search: &OsStr) -> Result<PathBuf, Failure> {
        let name = match self {
            Command::Words(_) => self.name(),
            Command::Shell(_) => return Ok(PathBuf::from(SHELL[0])),
        };
        if name.contains('/') {
            return Ok(PathBuf::from(name));
        }
        let is_program = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(search)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(is_program)
            .ok_or_else(|| Failure::permanent(format!("`{name}` is not on the driver's PATH")))
    }

    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Command::Words(words) => words.iter().skip(1).map(String::as_str).collect(),
            Command::Shell(text) => SHELL.into_iter().skip(1).chain([text.as_str()]).collect(),
        }
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Command::Words(words) => words.join(" "),
            Command::Shell(text) => text.trim().lines().next().unwrap_or_default().to_owned(),
        };
        let end = text.char_indices().nth(SHOWN_CHARS_MAX);
        match end.and_then(|(end, _)| text.get(..end)) {
            Some(beginning) => write!(f, "`{beginning}…`"),
            None => write!(f, "`{text}`"),
        }
    }
}

/// The folder to run in: below the workspace, links followed.
pub fn folder(workspace: &Path, cwd: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(cwd) = cwd else {
        return Ok(workspace.to_owned());
    };
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let leads_out = || Failure::permanent(format!("with.cwd: `{cwd}` leads out of the workspace"));
    if !Path::new(cwd).components().all(is_inside) {
        return Err(leads_out());
    }
    let folder = workspace
        .join(cwd)
        .canonicalize()
        .explain(format!("with.cwd: `{cwd}`"))?;
    if !folder.starts_with(workspace.canonicalize().explain("the workspace")?) {
        return Err(leads_out());
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn command(with: Value) -> Result<Command, String> {
        let with: With = serde_json::from_value(with).map_err(|error| error.to_string())?;
        Command::of(&with).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_list_is_a_program_and_a_text_needs_a_shell() {
        let words = command(json!({"run": ["a", "b c"]})).unwrap();
        assert_eq!((words.name(), words.arguments()), ("a", vec!["b c"]));
        let shell = command(json!({"run": "a | b", "shell": true})).unwrap();
        assert_eq!(shell.arguments(), ["-eu", "-c", "a | b"]);
        assert!(
            command(json!({"run": "a"}))
                .unwrap_err()
                .contains("add `shell: true`")
        );
        assert!(
            command(json!({"run": ["a"], "shell": true}))
                .unwrap_err()
                .contains("leave out")
        );
        assert!(
            command(json!({"run": []}))
                .unwrap_err()
                .contains("names no program")
        );
        assert!(
            command(json!({"run": 3}))
                .unwrap_err()
                .contains("a list of words")
        );
        assert!(
            command(json!({"run": ["a"], "cmd": 1}))
                .unwrap_err()
                .contains("unknown field `cmd`")
        );
    }

    #[test]
    fn a_step_says_after_which_ends_it_may_be_tried_again() {
        let retryable = |value: Value| serde_json::from_value::<Retryable>(value);
        let has = |value: Value, code| retryable(value).unwrap().has(code);
        assert!(has(json!(true), Some(1)) && has(json!(true), None));
        assert!(!has(json!(false), Some(1)));
        assert!(has(json!([75, 111]), Some(111)));
        assert!(!has(json!([75, 111]), Some(1)) && !has(json!([75]), None));
        for wrong in [
            json!("yes"),
            json!([0]),
            json!([256]),
            json!([-1]),
            json!(3),
        ] {
            let reason = command(json!({"run": ["a"], "retryable": wrong})).unwrap_err();
            assert!(
                reason.contains("a list of exit codes from 1 to 255"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_program_is_looked_up_in_absolute_folders_alone() {
        let sh = Command::Words(vec!["sh".to_owned()]);
        assert_eq!(
            sh.program(OsStr::new(".:/bin")).unwrap(),
            Path::new("/bin/sh")
        );
        let reason = sh.program(OsStr::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(reason, "`sh` is not on the driver's PATH");
    }

    #[test]
    fn a_folder_stays_in_the_workspace() {
        let workspace = tempfile::tempdir().unwrap();
        let path = workspace.path();
        fs::create_dir(path.join("in")).unwrap();
        std::os::unix::fs::symlink("/", path.join("link")).unwrap();
        assert!(folder(path, Some("./in")).is_ok() && folder(path, None).is_ok());
        for out in ["..", "/etc", "in/../..", "link"] {
            let reason = folder(path, Some(out)).unwrap_err().to_string();
            assert!(
                reason.contains("leads out of the workspace"),
                "{out}: {reason}"
            );
        }
        assert!(folder(path, Some("gone")).is_err());
    }
}
