//! What goes to stdout: documents for programs, bytes; and to stderr: words. A closed pipe is no error.

use super::Format;
use super::log::TARGET as LOG_TARGET;
use super::stop::Stop;
use crate::documents::Diagnostics;
use anstream::adapter::strip_str;
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether stderr is a log in JSON: then all that is said there is a line of it.
static IS_JSON_LOG: AtomicBool = AtomicBool::new(false);

/// From now on.
pub(super) fn log_as_json() {
    IS_JSON_LOG.store(true, Ordering::Relaxed);
}

fn is_json_log() -> bool {
    IS_JSON_LOG.load(Ordering::Relaxed)
}

/// Says something on stderr. Nobody may be listening there, which is no reason to stop.
pub(super) fn notice(text: &str) {
    match is_json_log() {
        true => tracing::info!(target: LOG_TARGET, "{}", strip_str(text)),
        false => _ = writeln!(anstream::stderr(), "{text}"),
    }
}

/// The same, of what somebody may want to know beside what he asked for.
pub(super) fn note(text: &str) {
    match is_json_log() {
        true => notice(text),
        false => notice(&format!("note: {text}")),
    }
}

/// The same, of what somebody should look at.
pub(super) fn warning(text: &str) {
    match is_json_log() {
        true => tracing::warn!(target: LOG_TARGET, "{}", strip_str(text)),
        false => notice(&format!("warning: {text}")),
    }
}

/// Says why a command ends early.
pub(super) fn error(text: &str) {
    match is_json_log() {
        true => tracing::error!(target: LOG_TARGET, "{}", strip_str(text)),
        false => notice(&format!("{ERROR}error:{ERROR:#} {text}")),
    }
}

/// Says what is wrong with documents, each mistake with its place.
pub(super) fn invalid(diagnostics: &Diagnostics) {
    match is_json_log() {
        true => error(&diagnostics.to_string()),
        false => notice(&diagnostics.to_string()),
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

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
