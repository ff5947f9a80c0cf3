//! Sending a directory to a server.

use super::connection::Connection;
use super::stop::Stop;
use crate::digest::Digest;
use std::path::Path;

/// Packs a directory and sends it, unless the server has it.
pub(super) fn send(_: &Connection, folder: &Path) -> Result<Digest, Stop> {
    Err(Stop::invalid(anyhow::anyhow!(
        "`{}` cannot be sent yet",
        folder.display()
    )))
}
