//! Sending a directory to a server.

use super::connection::{Connection, block_on};
use super::output;
use super::stop::Stop;
use crate::client::{ClientError, Payload};
use crate::digest::Digest;
use crate::text;
use crate::workspaces::{PackError, pack};
use anyhow::Context;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are read and sent at once.
const PIECE: usize = 64 << 10;

/// Packs a directory and sends it, unless the server has it.
pub(super) fn send(connection: &Connection, folder: &Path) -> Result<Digest, Stop> {
    // It has no name, so that nothing of it stays, however this ends.
    let archive = unnamed()
        .context("cannot make a temporary file")
        .map_err(Stop::fault)?;
    let packed = pack(folder, BufWriter::new(&archive)).map_err(|error| {
        match matches!(error, PackError::Write(_)) {
            true => Stop::fault(error),
            false => Stop::invalid(error),
        }
    })?;
    let path = format!("/workspaces/{}", packed.digest);
    let client = &connection.client;
    let is_there =
        client.repeat(async || client.send(Method::GET, &path, &[], Payload::None).await);
    if block_on(is_there)?.status == StatusCode::NO_CONTENT {
        return Ok(packed.digest);
    }
    let (files, bytes) = (packed.entries, text::size(packed.bytes));
    output::notice(&format!(
        "sending {} as {bytes}, {files} entries",
        folder.display()
    ));
    let sent = block_on(client.repeat(async || {
        let payload = Payload::Stream("application/gzip", Box::pin(pieces(&archive)));
        let answer = client.send(Method::PUT, &path, &[], payload);
        answer.await?.successful().await.map(drop)
    }));
    sent.map_err(|error: ClientError| error.into())
        .map(|()| packed.digest)
}

fn unnamed() -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

/// All of a file, from its begin on.
fn pieces(file: &File) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + use<> {
    let begin = file.try_clone().map(|file| (file, 0));
    stream::once(std::future::ready(begin))
        .map_ok(|begin| {
            stream::try_unfold(begin, |(file, at)| async move {
                let mut piece = vec![0; PIECE];
                let read = file.read_at(&mut piece, at)?;
                piece.truncate(read);
                Ok((read > 0).then(|| (Bytes::from(piece), (file, at + read as u64))))
            })
        })
        .try_flatten()
}
