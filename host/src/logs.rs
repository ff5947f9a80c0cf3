//! The logs of runs: a port of their own, apart from the store.
//!
//! A line is provisional: it is shown as it comes, before anything is durable, and is not covered by the promise
//! that an acknowledged result is never lost. One file per run, a JSON line each, in the order in which lines
//! came; a torn last line, left by a crash, is passed over.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every detail.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What happens; a driver's stdout.
    Info,
    /// Odd, and survived; a driver's stderr.
    Warn,
    /// What makes an attempt fail.
    Error,
}

impl Level {
    /// Five columns at most, for aligned output.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The step's id.
    pub step: String,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// How much it matters.
    pub level: Level,
    /// The text, without its line end.
    pub message: String,
    /// Named values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// Takes the lines of a run as they come.
pub trait LogSink: Send + Sync {
    /// Appends one line. Never blocks for long and never fails the attempt: what cannot be kept is lost.
    fn append(&self, line: LogLine);
}

/// The log of one run, as a file.
#[derive(Debug)]
pub struct RunLog {
    file: Mutex<File>,
}

impl RunLog {
    /// Opens the log of a run to append to it, `folder/<run>.jsonl`.
    ///
    /// # Errors
    /// The file system's, with the file's name.
    pub fn open(folder: &Path, run: &str) -> Result<Self, LogError> {
        let path = path(folder, run);
        let error = |source| LogError {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(error)?;
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .and_then(end_torn_line)
            .map_err(error)?;
        Ok(RunLog {
            file: Mutex::new(file),
        })
    }
}

/// A crash may have torn the last line: what comes next begins a line of its own.
fn end_torn_line(mut file: File) -> io::Result<File> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

impl LogSink for RunLog {
    fn append(&self, line: LogLine) {
        let Ok(mut text) = serde_json::to_vec(&line) else {
            return;
        };
        text.push(b'\n');
        if let Ok(mut file) = self.file.lock() {
            // One write per line, so that a crash tears at most the last. A full disk costs log lines, not runs.
            let _ = file.write_all(&text);
        }
    }
}

/// All lines of a run's log, oldest first; empty where there is none.
///
/// # Errors
/// The file system's, with the file's name. A line that is no log line (torn by a crash) is passed over.
pub fn read(folder: &Path, run: &str) -> Result<Vec<LogLine>, LogError> {
    let path = path(folder, run);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LogError { path, source }),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|source| LogError {
            path: path.clone(),
            source,
        })?;
        lines.extend(serde_json::from_slice::<LogLine>(&line));
    }
    Ok(lines)
}

fn path(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.jsonl"))
}

/// A log that cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the log `{}`", path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_back_and_a_torn_line_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let line = LogLine {
            at_ms: 1,
            step: "build".into(),
            attempt: 1,
            level: Level::Info,
            message: "hello\nworld".into(),
            fields: Map::from_iter([("n".to_owned(), Value::from(3))]),
        };
        RunLog::open(folder.path(), "r")
            .unwrap()
            .append(line.clone());
        OpenOptions::new()
            .append(true)
            .open(folder.path().join("r.jsonl"))
            .unwrap()
            .write_all(b"{\"at_ms\":2,\"st")
            .unwrap();
        assert_eq!(
            read(folder.path(), "r").unwrap(),
            std::slice::from_ref(&line)
        );
        // What comes after the tear is whole.
        RunLog::open(folder.path(), "r")
            .unwrap()
            .append(line.clone());
        assert_eq!(read(folder.path(), "r").unwrap(), [line.clone(), line]);
        assert_eq!(read(folder.path(), "none").unwrap(), []);
    }
}
