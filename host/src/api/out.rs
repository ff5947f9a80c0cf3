//! The files that a run has made: listed and read without ever leaving its out folder.

use super::Problem;
use super::runs::OutFile;
use crate::owner::OwnerError;
use axum::http::StatusCode;
use bytes::Bytes;
use futures::Stream;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Files that are listed.
const FILES_MAX: usize = 10_000;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// The regular files below a folder, by path; none where there is no folder. Links are not followed.
pub(super) fn list(folder: &Path) -> Result<Vec<OutFile>, Problem> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(unreadable(source)),
        };
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let path = below.join(entry.file_name());
            let found = entry.metadata().map_err(unreadable)?;
            if found.is_dir() {
                folders.push(path);
            } else if found.is_file() {
                if files.len() >= FILES_MAX {
                    return Err(Problem::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        format!(
                            "there are more than {FILES_MAX} files, which is the limit of a list"
                        ),
                    ));
                }
                files.push(OutFile {
                    path: path.to_string_lossy().into_owned(),
                    bytes: found.len(),
                });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Opens a regular file below a folder.
pub(super) fn open(folder: &Path, path: &str) -> Result<(File, u64), Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("the run made no file `{path}`"),
        )
    };
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(is_plain) {
        return Err(missing());
    }
    let base = File::open(folder).map_err(|_| missing())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(&base, path, flags, Mode::empty(), resolve).map_err(|_| missing())?;
    let file = File::from(file);
    let found = file.metadata().map_err(unreadable)?;
    match found.is_file() {
        true => Ok((file, found.len())),
        false => Err(missing()),
    }
}

/// The first `bytes` of a file, a piece at a time.
pub(super) fn stream(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold((file, bytes), |(file, left)| async move {
        let read = move || {
            let mut piece = Vec::with_capacity(CHUNK);
            (&file)
                .take(left.min(CHUNK as u64))
                .read_to_end(&mut piece)?;
            Ok::<_, io::Error>((file, piece))
        };
        let (file, piece) = tokio::task::spawn_blocking(read).await??;
        let left = left.saturating_sub(piece.len() as u64);
        match piece.is_empty() {
            true => Ok(None),
            false => Ok(Some((Bytes::from(piece), (file, left)))),
        }
    })
}

fn unreadable(source: io::Error) -> Problem {
    OwnerError::Io {
        doing: "read the out folder".to_owned(),
        source,
    }
    .into()
}
