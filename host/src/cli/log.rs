//! The log of a host that stays: lines on stderr, one for each event; `RUST_LOG` says how much.
//!
//! As JSON each line is an object with `timestamp` (RFC 3339), `level`, `message` and `target`, beside fields of the event's
//! own; then nothing else is written to stderr, words for people and panics included.

use super::output;
use std::io::IsTerminal;
use std::panic;
use tracing_subscriber::EnvFilter;

/// Of what commands say; it is said whatever `RUST_LOG` says. No other target begins so.
pub(super) const TARGET: &str = "console";

/// Starts it.
pub(super) fn start(is_json: bool) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,beltline=info"));
    let own = format!("{TARGET}=info").parse();
    let filter = filter.add_directive(own.expect("a target and a level are a directive"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match is_json {
        true => log.json().flatten_event(true).try_init(),
        false => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    // Only a second call in one process fails, and then there is one.
    let _ = started;
    if is_json {
        output::log_as_json();
        panic::set_hook(Box::new(|panicked| {
            let place = panicked.location().map(ToString::to_string);
            let why = panicked.payload_as_str().unwrap_or("no words");
            tracing::error!(target: TARGET, place, "panicked: {why}");
        }));
    }
}
