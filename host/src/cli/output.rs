//! What goes to stdout: documents for programs, bytes. A closed pipe is no error.

use super::Format;
use super::stop::Stop;
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Prints one document in the format asked for; in text, as `text` has it.
pub(super) fn document<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Stop> {
    let mut printed = match format {
        Format::Text => text(value),
        Format::Json => serde_json::to_string_pretty(value).map_err(Stop::fault)?,
        Format::Yaml => serde_saphyr::to_string(value)
            .map_err(|error| Stop::fault(anyhow::anyhow!("cannot write YAML: {error}")))?,
    };
    if !printed.is_empty() && !printed.ends_with('\n') {
        printed.push('\n');
    }
    bytes(printed.as_bytes())
}

/// Says something on stderr. Nobody may be listening there, which is no reason to stop.
pub(super) fn notice(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints bytes as they are, but for colours where nobody would see them.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Stop> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Stop::fault(
            anyhow::Error::new(error).context("cannot write to stdout"),
        )),
        Ok(()) => Ok(()),
    }
}
