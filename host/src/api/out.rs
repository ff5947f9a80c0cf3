//! The files that a run has made: listed and read without ever leaving its out folder.

use super::body::InPath;
use super::guard::Via;
use super::{Problem, Shared, schemas};
use crate::owner::{OwnerError, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use utoipa::ToSchema;

/// Files that are listed.
const FILES_MAX: usize = 10_000;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// A file that a run has made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OutFile {
    /// Its path below the out folder.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The files of a run
#[utoipa::path(get, path = "/runs/{run}/out", tag = "runs",
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest")),
    responses((status = 200, description = "by path", body = Vec<OutFile>), Problem))]
pub(super) async fn out(
    State(owner): State<Shared>,
    via: Via,
    InPath(named): InPath<String>,
) -> Result<axum::Json<Vec<OutFile>>, Problem> {
    let folder = folder(&owner, via, &named).await?;
    Ok(axum::Json(blocking(move || list(&folder)).await??))
}

/// A file of a run
#[utoipa::path(get, path = "/runs/{run}/out/{*path}", tag = "runs",
    params(("run" = String, Path, description = "its id, the begin of one, or `latest`", example = "latest"),
        ("path" = String, Path, description = "its path below the out folder")),
    responses((status = 200, description = "its bytes", content_type = "application/octet-stream", body = schemas::Bytes), Problem))]
pub(super) async fn out_file(
    State(owner): State<Shared>,
    via: Via,
    InPath((named, path)): InPath<(String, String)>,
) -> Result<Response, Problem> {
    let folder = folder(&owner, via, &named).await?;
    let (file, bytes) = blocking(move || open(&folder, &path)).await??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        // What a driver has made is never shown as a page of this host.
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(stream(file, bytes))).into_response())
}

/// The out folder of a run. One that was named on this machine may hold more than the run's files, and is shown to its user alone.
async fn folder(owner: &Shared, via: Via, named: &str) -> Result<PathBuf, Problem> {
    let record = owner.picked(named).await?.record;
    match record.out_given && via == Via::Network {
        false => Ok(record.out.clone()),
        true => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "the run's files lie in a folder that was named on the host's own machine; look there",
        )),
    }
}

/// The regular files below a folder, by path; none where there is no folder. Links are not followed.
fn list(folder: &Path) -> Result<Vec<OutFile>, Problem> {
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
fn open(folder: &Path, path: &str) -> Result<(File, u64), Problem> {
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
fn stream(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
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
