//! The logs of runs: a port of their own, apart from the store.
//!
//! A line is provisional: it is shown as it comes, before anything is durable, and is not covered by the promise
//! that an acknowledged result is never lost. One file per run, a JSON line each, in the order in which lines
//! came; a torn last line, left by a crash, is passed over.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use utoipa::ToSchema;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
}

/// Takes the lines of a run as they come.
pub trait LogSink: Send + Sync {
    /// Appends one line. Never blocks for long and never fails the attempt: what cannot be kept is lost.
    fn append(&self, line: LogLine);
}

/// The log of one run, as a file, which is made when its first line comes.
#[derive(Debug)]
pub struct RunLog {
    folder: PathBuf,
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl RunLog {
    /// Of a run, `folder/<run>.jsonl`.
    pub fn of(folder: &Path, run: impl fmt::Display) -> Self {
        RunLog {
            folder: folder.to_owned(),
            path: path(folder, run),
            file: Mutex::new(None),
        }
    }

    fn open(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).read(true).append(true);
        end_torn_line(options.open(&self.path)?)
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
        let Ok(mut opened) = self.file.lock() else {
            return;
        };
        if opened.is_none() {
            *opened = self.open().ok();
        }
        if let Some(file) = opened.as_mut() {
            // One write per line, so that a crash tears at most the last. A full disk costs log lines, not runs.
            let _ = file.write_all(&text);
        }
    }
}

/// All lines of a run's log, oldest first; empty where there is none.
///
/// # Errors
/// The file system's, with the file's name. A line that is no log line (torn by a crash) is passed over.
pub fn read(folder: &Path, run: impl fmt::Display) -> Result<Vec<LogLine>, LogError> {
    let lines = read_from(folder, run, 0, u64::MAX)?;
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// The whole lines of a run's log from a place on, oldest first, of `bytes_max` bytes or a little more, each with the
/// place after it. Places are bytes into the log; one that is no begin of a line loses that line.
///
/// # Errors
/// As [`read`].
pub fn read_from(
    folder: &Path,
    run: impl fmt::Display,
    place: u64,
    bytes_max: u64,
) -> Result<Vec<(u64, LogLine)>, LogError> {
    let path = path(folder, run);
    let error = |source| LogError {
        path: path.clone(),
        source,
    };
    let mut file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error(source)),
    };
    file.seek(SeekFrom::Start(place)).map_err(error)?;
    let (mut lines, mut after, mut bytes) = (Vec::new(), place, Vec::new());
    while after.saturating_sub(place) < bytes_max {
        bytes.clear();
        let read = file.read_until(b'\n', &mut bytes).map_err(error)?;
        if bytes.last() != Some(&b'\n') {
            // The end, or a line that is being written.
            break;
        }
        after += read as u64;
        lines.extend(serde_json::from_slice::<LogLine>(&bytes).map(|line| (after, line)));
    }
    Ok(lines)
}

/// The last whole lines of a run's log, oldest first, of at most `bytes_max` bytes.
///
/// # Errors
/// As [`read`].
pub fn read_last(
    folder: &Path,
    run: impl fmt::Display,
    bytes_max: u64,
) -> Result<Vec<LogLine>, LogError> {
    let run = run.to_string();
    let begin = bytes(folder, &run).saturating_sub(bytes_max);
    let lines = read_from(folder, &run, begin, bytes_max)?;
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// How many bytes a run's log has; none where there is no log.
pub fn bytes(folder: &Path, run: impl fmt::Display) -> u64 {
    std::fs::metadata(path(folder, run)).map_or(0, |found| found.len())
}

/// Where a run's log is.
pub fn path(folder: &Path, run: impl fmt::Display) -> PathBuf {
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
        RunLog::of(folder.path(), "r").append(line.clone());
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
        RunLog::of(folder.path(), "r").append(line.clone());
        assert_eq!(read(folder.path(), "r").unwrap(), [line.clone(), line]);
        assert_eq!(read(folder.path(), "none").unwrap(), []);
    }

    #[test]
    fn the_last_lines_are_whole_and_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let log = RunLog::of(folder.path(), "r");
        let line = |nth: u64| LogLine {
            at_ms: nth,
            step: "build".into(),
            attempt: 1,
            level: Level::Info,
            message: "hello".into(),
            fields: Map::new(),
        };
        (1..=9).for_each(|nth| log.append(line(nth)));
        let of_one = bytes(folder.path(), "r") / 9;
        let last = |bytes_max| {
            let lines = read_last(folder.path(), "r", bytes_max).unwrap();
            lines.iter().map(|line| line.at_ms).collect::<Vec<_>>()
        };
        assert_eq!(last(of_one * 2), [8, 9]);
        assert_eq!(last(of_one * 3 - 1), [8, 9]);
        assert_eq!(last(of_one - 1), [0; 0]);
        assert_eq!(last(of_one * 100).len(), 9);
    }
}
