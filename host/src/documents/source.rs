//! Files, folders and standard input to text.
//!
//! Owns what is read for a path that a person gives, and how much of it. Never looks at what it says.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::diagnostics::{Mark, Report};
use super::quantity::format_size;

/// The largest file. Every document's own limits are smaller; a larger file is one of another sort, and is
/// refused without being read.
pub const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most files that one folder may bring.
pub const FOLDER_FILES_MAX: usize = 1_000;

/// What stands for standard input where a path is expected.
pub const STDIN: &str = "-";

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A file's bytes, or what was wrong with it, in the report.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) report: Report,
    pub(super) bytes: Option<Vec<u8>>,
}

/// All sources that the paths name, in their order; a folder's by name.
pub(super) fn read(paths: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN {
            sources.push(read_one("stdin", || limited(io::stdin().lock(), None)));
        } else if path.is_dir() {
            read_folder(path, &mut sources);
        } else {
            sources.push(read_file(path));
        }
    }
    sources
}

fn read_folder(folder: &Path, sources: &mut Vec<Source>) {
    match files_of(folder) {
        Ok(files) => sources.extend(files.iter().map(|file| read_file(file))),
        Err(message) => {
            let report = Report::new(folder.display().to_string());
            report.whole(message);
            sources.push(Source {
                report,
                bytes: None,
            });
        }
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: io::Error| format!("cannot read the folder: {}", reason(&error));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.is_dir() {
            files.push(path);
        }
        if files.len() > FOLDER_FILES_MAX {
            return Err(format!(
                "more files than the limit of {FOLDER_FILES_MAX}; name those meant"
            ));
        }
    }
    if files.is_empty() {
        return Err("the folder has no .yaml, .yml or .json file".to_owned());
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Source {
    read_one(&path.display().to_string(), || {
        let cannot = |error: io::Error| format!("cannot read the file: {}", reason(&error));
        let file = File::open(path).map_err(cannot)?;
        let length = file.metadata().map_err(cannot)?.len();
        limited(file, Some(length))
    })
}

fn read_one(name: &str, bytes: impl FnOnce() -> Result<Vec<u8>, String>) -> Source {
    let report = Report::new(name);
    match bytes() {
        Ok(bytes) => Source {
            report,
            bytes: Some(bytes),
        },
        Err(message) => {
            report.whole(message);
            Source {
                report,
                bytes: None,
            }
        }
    }
}

/// Everything, unless it is too much. The length may be unknown (a pipe) or untrue (a device).
fn limited(from: impl Read, length: Option<u64>) -> Result<Vec<u8>, String> {
    let limit = format_size(FILE_BYTES_MAX);
    if let Some(length) = length.filter(|length| *length > FILE_BYTES_MAX) {
        return Err(format!("{length} bytes; the limit for a file is {limit}"));
    }
    let mut bytes = Vec::new();
    let cannot = |error: io::Error| format!("cannot read it: {}", reason(&error));
    from.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("more than the limit for a file, {limit}"));
    }
    Ok(bytes)
}

/// The system's words without its number, in our style.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Bytes as text, without a byte order mark; what is not UTF-8 is reported with its place.
pub(super) fn decode<'b>(bytes: &'b [u8], report: &Report) -> Option<&'b str> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => error,
    };
    let (valid, rest) = bytes
        .split_at_checked(error.valid_up_to())
        .unwrap_or_default();
    let valid = String::from_utf8_lossy(valid);
    let line = valid.matches('\n').count() + 1;
    let column = valid
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let byte = rest.first().copied().unwrap_or_default();
    let message = format!("byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
    report.at(
        Mark {
            line: number(line),
            column: number(column),
        },
        message,
    );
    None
}
