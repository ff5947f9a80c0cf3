//! Workspaces over HTTP: a folder comes as an archive, once, under its own digest.

use super::body::{InPath, check_content};
use super::{Problem, Shared, schemas};
use crate::digest::Digest;
use crate::owner::{OwnerError, blocking};
use crate::workspaces::{Receiving, Workspaces};
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use futures::StreamExt;
use http_body::Body as _;
use std::time::Duration;

/// How long the next piece of an archive may take.
const PIECE_TIME_MAX: Duration = Duration::from_secs(30);

/// How long all of it may take: the largest that is taken, over a line of a few megabits a second.
const ARCHIVE_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Whether an archive is here
#[utoipa::path(get, path = "/workspaces/{digest}", tag = "workspaces",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits", pattern = "^sha256:[0-9a-f]{64}$")),
    responses((status = 204, description = "it is"), Problem))]
pub(super) async fn get(
    State(owner): State<Shared>,
    InPath(digest): InPath<String>,
) -> Result<StatusCode, Problem> {
    let digest = parse(&digest)?;
    let workspaces = owner.workspaces();
    match blocking(move || workspaces.has(digest)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no archive {digest}"),
        )),
    }
}

/// Send a workspace, a gzipped tar, under the digest of its bytes
#[utoipa::path(put, path = "/workspaces/{digest}", tag = "workspaces",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits", pattern = "^sha256:[0-9a-f]{64}$")),
    request_body(content = schemas::Bytes, content_type = "application/gzip"),
    responses((status = 201, description = "it is here, durably"), Problem))]
pub(super) async fn put(
    State(owner): State<Shared>,
    InPath(digest): InPath<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    check_content(&request, "application/gzip")?;
    let digest = parse(&digest)?;
    let receiving = receive(owner.workspaces(), digest, request.into_body()).await?;
    let finished = blocking(move || receiving.finish()).await?;
    finished.map_err(OwnerError::from)?;
    Ok(StatusCode::CREATED)
}

/// Takes a body to the disk, piece by piece.
async fn receive(workspaces: Workspaces, digest: Digest, body: Body) -> Result<Receiving, Problem> {
    // Whoever says beforehand that it is too much need not send it.
    let said = body.size_hint().lower();
    let begin = move || -> Result<_, OwnerError> {
        let receiving = workspaces.receive(digest)?;
        receiving.check_room(said)?;
        Ok(receiving)
    };
    let receiving = blocking(begin).await??;
    within(ARCHIVE_TIME_MAX, write(receiving, body.into_data_stream())).await
}

/// Takes what comes in that time: a byte now and then is in time each, and does not hold a place for ever.
async fn within<T>(
    time: Duration,
    sent: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let late = || {
        let detail = format!("the archive did not come within {} s", time.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    let sent = tokio::time::timeout(time, sent).await;
    sent.unwrap_or_else(|_| Err(late()))
}

/// Writes each piece as it comes: while none does, it holds no thread.
async fn write(mut receiving: Receiving, mut body: BodyDataStream) -> Result<Receiving, Problem> {
    loop {
        match tokio::time::timeout(PIECE_TIME_MAX, body.next()).await {
            Ok(None) => return Ok(receiving),
            Ok(Some(Ok(piece))) => {
                let write = move || -> Result<_, OwnerError> {
                    receiving.write(&piece)?;
                    Ok(receiving)
                };
                receiving = blocking(write).await??;
            }
            Ok(Some(Err(_))) => return Err(Problem::invalid("the archive ended too early")),
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    format!("nothing came for {} s", PIECE_TIME_MAX.as_secs()),
                ));
            }
        }
    }
}

fn parse(digest: &str) -> Result<Digest, Problem> {
    digest
        .parse()
        .map_err(|error: crate::digest::NotADigest| Problem::invalid(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::StateFolder;
    use crate::workspaces::Limits;
    use bytes::Bytes;
    use futures::stream;
    use std::convert::Infallible;
    use std::fs;

    fn workspaces(folder: &tempfile::TempDir, gzip_bytes: u64) -> Workspaces {
        let state = StateFolder::locate(Some(folder.path())).unwrap();
        let limits = Limits {
            gzip_bytes,
            ..Limits::default()
        };
        Workspaces::within(&state, limits)
    }

    #[tokio::test]
    async fn an_archive_that_never_ends_is_let_go_though_each_piece_is_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let receiving = workspaces(&folder, u64::MAX).receive(Digest::of(b""));
        let piece = || Ok::<_, Infallible>(Bytes::from_static(b"x"));
        let body = Body::from_stream(stream::repeat_with(piece)).into_data_stream();
        let sent = write(receiving.unwrap(), body);
        let sent = within(Duration::from_millis(50), sent).await;
        assert_eq!(sent.unwrap_err().status, 408);
    }

    #[test]
    fn while_nothing_comes_of_an_archive_it_holds_no_thread() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (come, begun) = tokio::sync::oneshot::channel();
            let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"x")) });
            let told = stream::once(async move {
                come.send(()).unwrap();
                std::future::pending().await
            });
            let body = Body::from_stream(first.chain(told));
            let sent = receive(workspaces(&folder, u64::MAX), Digest::of(b""), body);
            let sent = tokio::spawn(sent);
            begun.await.unwrap();
            let other = tokio::time::timeout(Duration::from_secs(60), blocking(|| 1));
            assert_eq!(other.await.unwrap().unwrap(), 1);
            sent.abort();
        });
    }

    #[tokio::test]
    async fn an_archive_over_the_limit_is_let_go_whether_or_not_it_says_so_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(folder.path())).unwrap();
        let workspaces = workspaces(&folder, 99);
        let digest = Digest::of(&[b'x'; 100]);
        let piece = || Ok::<_, Infallible>(Bytes::from_static(b"0123456789"));
        let ten = stream::repeat_with(piece).take(10);
        for body in [Body::from(vec![b'x'; 100]), Body::from_stream(ten)] {
            let problem = receive(workspaces.clone(), digest, body).await.unwrap_err();
            assert_eq!(problem.status, 413);
            assert!(problem.detail.contains("99 bytes"), "{}", problem.detail);
            let left = fs::read_dir(state.archives()).unwrap().count();
            assert_eq!(left, 0);
        }
        let nine = Body::from_stream(stream::repeat_with(piece).take(9));
        assert!(receive(workspaces, digest, nine).await.is_ok());
    }
}
