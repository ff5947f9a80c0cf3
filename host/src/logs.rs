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

    /// Adds a line that somebody is told is kept: it is durable when this returns.
    ///
    /// # Errors
    /// The file system's, with the file's name.
    pub fn keep(&self, line: &LogLine) -> Result<(), LogError> {
        self.write(line, true).map_err(|source| LogError {
            path: self.path.clone(),
            source,
        })
    }

    fn write(&self, line: &LogLine, is_durable: bool) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let poisoned = |_| io::Error::other("another thread has died of it");
        let mut opened = self.file.lock().map_err(poisoned)?;
        let file = match opened.as_mut() {
            Some(file) => file,
            None => opened.insert(self.open()?),
        };
        // One write per line, so that a crash tears at most the last.
        file.write_all(&text)?;
        if !is_durable {
            return Ok(());
        }
        file.sync_data()?;
        // Of a new file its name, too.
        match file.metadata()?.len() == text.len() as u64 {
            true => File::open(&self.folder)?.sync_all(),
            false => Ok(()),
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
        // A full disk costs log lines, not runs.
        let _ = self.write(&line, false);
    }
}

/// Bytes of a log that are read at once, or a little more: the last line of a page is read to its end.
pub const PAGE_BYTES: u64 = 64 << 10;

/// Whole lines of a log that follow each other.
#[derive(Debug, Default)]
pub struct Page {
    /// Each with the place after it, oldest first.
    pub lines: Vec<(u64, LogLine)>,
    /// Where the next page begins. A page that ends where it began is the last.
    pub after: u64,
}

/// A page of a run's log, from a place on; empty where there is no log. Places are bytes into the log; one that is no begin
/// of a line loses that line.
///
/// # Errors
/// The file system's, with the file's name. A line that is no log line (torn by a crash) is passed over.
pub fn page(folder: &Path, run: impl fmt::Display, place: u64) -> Result<Page, LogError> {
    let path = path(folder, run);
    let error = |source| LogError {
        path: path.clone(),
        source,
    };
    let mut page = Page {
        lines: Vec::new(),
        after: place,
    };
    let mut file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(page),
        Err(source) => return Err(error(source)),
    };
    file.seek(SeekFrom::Start(place)).map_err(error)?;
    let mut bytes = Vec::new();
    while page.after.saturating_sub(place) < PAGE_BYTES {
        bytes.clear();
        let read = file.read_until(b'\n', &mut bytes).map_err(error)?;
        if bytes.last() != Some(&b'\n') {
            // The end, or a line that is being written.
            break;
        }
        page.after += read as u64;
        let line = serde_json::from_slice::<LogLine>(&bytes);
        page.lines.extend(line.map(|line| (page.after, line)));
    }
    Ok(page)
}

/// The pages of a run's log, from a place on, to where it ends when that is read.
pub fn pages(
    folder: PathBuf,
    run: impl fmt::Display,
    place: u64,
) -> impl Iterator<Item = Result<Page, LogError>> {
    let (run, mut at) = (run.to_string(), Some(place));
    std::iter::from_fn(move || {
        let place = at?;
        let read = page(&folder, &run, place);
        at = read.as_ref().ok().map(|page| page.after);
        match read {
            Ok(page) if page.after == place => None,
            read => Some(read),
        }
    })
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
    /// Why.
    #[source]
    pub source: io::Error,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(folder: &Path, run: &str, place: u64) -> Vec<LogLine> {
        let pages = pages(folder.to_owned(), run, place);
        let lines = pages.flat_map(|page| page.unwrap().lines);
        lines.map(|(_, line)| line).collect()
    }

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
        assert_eq!(read(folder.path(), "r", 0), std::slice::from_ref(&line));
        // What comes after the tear is whole.
        RunLog::of(folder.path(), "r").append(line.clone());
        assert_eq!(read(folder.path(), "r", 0), [line.clone(), line]);
        assert_eq!(read(folder.path(), "none", 0), []);
    }

    /// A log of lines that are no more than a page, whatever its size: none of it is read twice, none is passed over.
    #[test]
    fn a_page_is_bounded_and_the_next_one_begins_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = RunLog::of(folder.path(), "r");
        let line = |nth: u64| LogLine {
            at_ms: nth,
            step: "build".into(),
            attempt: 1,
            level: Level::Info,
            message: "x".repeat(1_000),
            fields: Map::new(),
        };
        let lines = 4 * PAGE_BYTES / 1_000;
        (0..lines).for_each(|nth| log.append(line(nth)));
        // Nothing but lines that are none: they are no end.
        let torn = "torn\n".repeat(PAGE_BYTES as usize);
        let mut file = OpenOptions::new()
            .append(true)
            .open(path(folder.path(), "r"));
        file.as_mut().unwrap().write_all(torn.as_bytes()).unwrap();
        log.append(line(lines));

        let (mut place, mut seen) = (0, Vec::new());
        for page in pages(folder.path().to_owned(), "r", 0) {
            let page = page.unwrap();
            assert!(page.after - place < PAGE_BYTES + 2_000);
            place = page.after;
            seen.extend(page.lines.iter().map(|(_, line)| line.at_ms));
        }
        assert_eq!(place, bytes(folder.path(), "r"));
        assert_eq!(seen, (0..=lines).collect::<Vec<_>>());
        // From the midst of a line on: without that one.
        assert_eq!(read(folder.path(), "r", 5).len() as u64, lines);
    }
}
