//! Where everything that a guest says lands: stdout, stderr and the `log` import, in one order, within limits.
//!
//! Owns the cutting into lines and the counting. What is over a limit is dropped and counted, never kept and
//! never a reason to stop the attempt. Keeps the last lines of stderr, where a panic leaves its message.

use super::limits::{LOG_LINE_BYTES, Limits};
use super::meter::Meter;
use crate::clock;
use crate::logs::{Level, LogLine, LogSink};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Lines of stderr kept for the failure: a panic's message has two, an assertion's four.
const TAIL_LINES: usize = 12;

/// How the message of a Rust panic begins, after the thread.
const PANICKED: &str = "panicked at ";

/// What a stream takes at once.
const WRITE_BYTES: usize = 64 << 10;

/// The log of one attempt; its clones are one log.
#[derive(Clone)]
pub struct StepLog(Arc<Mutex<Lines>>);

struct Lines {
    sink: Arc<dyn LogSink>,
    step: String,
    attempt: u32,
    limits: Limits,
    meter: Arc<Meter>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stderr_tail: VecDeque<String>,
    counts: Counts,
}

/// What an attempt has said so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    /// Lines kept.
    lines: u64,
    /// Lines dropped, over the limits.
    dropped: u64,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl StepLog {
    /// An empty log of one attempt.
    pub(super) fn new(
        sink: Arc<dyn LogSink>,
        step: &str,
        attempt: u32,
        limits: Limits,
        meter: &Arc<Meter>,
    ) -> Self {
        StepLog(Arc::new(Mutex::new(Lines {
            sink,
            step: step.to_owned(),
            attempt,
            limits,
            meter: Arc::clone(meter),
            stdout: Vec::new(),
            stderr: Vec::new(),
            stderr_tail: VecDeque::new(),
            counts: Counts::default(),
        })))
    }

    /// Appends a line of the `log` import.
    pub fn write(&self, level: Level, message: &str, fields: Map<String, Value>) {
        self.lines().append(level, message, fields);
    }

    /// A stream whose lines are `info`.
    pub fn stdout(&self) -> LogStream {
        LogStream {
            log: self.clone(),
            stream: Stream::Stdout,
        }
    }

    /// A stream whose lines are `warn`.
    pub fn stderr(&self) -> LogStream {
        LogStream {
            log: self.clone(),
            stream: Stream::Stderr,
        }
    }

    /// Ends the log when it is dropped: what has no line end yet becomes a line, and what was dropped is said.
    /// An attempt that is stopped drops it, too: its last words are those that tell why.
    pub fn ending(&self) -> Ending {
        Ending(self.clone())
    }

    /// The message of a Rust panic, where the last lines of stderr hold one.
    pub fn panic_message(&self) -> Option<String> {
        let lines = self.lines();
        let start = lines
            .stderr_tail
            .iter()
            .rposition(|line| line.contains(PANICKED))?;
        let said = lines.stderr_tail.iter().skip(start);
        let said = said.filter(|line| !line.starts_with("note: ") && !line.is_empty());
        let message = said.map(String::as_str).collect::<Vec<_>>().join(" ");
        // Before it stands the thread, whose name and number tell nothing: there is but one.
        let start = message.find(PANICKED).unwrap_or_default();
        message.get(start..).map(str::to_owned)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a log that is still to come.
#[must_use]
pub struct Ending(StepLog);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut lines = self.0.lines();
        lines.flush(Stream::Stdout);
        lines.flush(Stream::Stderr);
        lines.say_dropped();
    }
}

impl Lines {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for text in text.chunks(LOG_LINE_BYTES) {
                if self.partial(stream).len() + text.len() > LOG_LINE_BYTES {
                    self.flush(stream);
                }
                self.partial(stream).extend_from_slice(text);
            }
            if ended {
                self.end_line(stream);
            }
        }
    }

    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn flush(&mut self, stream: Stream) {
        if !self.partial(stream).is_empty() {
            self.end_line(stream);
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(self.partial(stream));
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => {
                if self.stderr_tail.len() == TAIL_LINES {
                    self.stderr_tail.pop_front();
                }
                self.stderr_tail.push_back(line.to_owned());
                Level::Warn
            }
        };
        self.append(level, line, Map::new());
    }

    fn append(&mut self, level: Level, message: &str, fields: Map<String, Value>) {
        let message = crate::text::cut(message, LOG_LINE_BYTES);
        let bytes = message.len() as u64 + fields.iter().map(field_bytes).sum::<u64>();
        let (counts, limits, kept) = (self.counts, self.limits, &self.meter.log_bytes);
        let full =
            counts.lines >= limits.log_lines || kept.get().saturating_add(bytes) > limits.log_bytes;
        if full {
            self.counts.dropped = counts.dropped.saturating_add(1);
            return;
        }
        self.counts.lines += 1;
        kept.add(bytes);
        self.send(level, message, fields);
    }

    fn say_dropped(&mut self) {
        let dropped = self.counts.dropped;
        if dropped > 0 {
            let Limits {
                log_lines,
                log_bytes,
                ..
            } = self.limits;
            let size = crate::text::size(log_bytes);
            let message =
                format!("{dropped} lines dropped: the log's limit is {log_lines} lines, {size}");
            self.send(Level::Warn, message, Map::new());
        }
    }

    fn send(&self, level: Level, message: String, fields: Map<String, Value>) {
        let (step, attempt) = (self.step.clone(), self.attempt);
        self.sink.append(LogLine {
            at_ms: clock::now_ms(),
            step,
            attempt,
            level,
            message,
            fields,
        });
    }
}

fn field_bytes((name, value): (&String, &Value)) -> u64 {
    let value = match value {
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
    };
    (name.len() + value) as u64
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub struct LogStream {
    log: StepLog,
    stream: Stream,
}

impl LogStream {
    fn take(&self, bytes: &[u8]) {
        self.log.lines().take(self.stream, bytes);
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::wasm::limits::{LOG_BYTES, LOG_LINES};

    #[derive(Default)]
    struct Kept(Mutex<Vec<LogLine>>);

    impl LogSink for Kept {
        fn append(&self, line: LogLine) {
            self.0.lock().unwrap().push(line);
        }
    }

    fn kept(write: impl FnOnce(&StepLog)) -> (Vec<LogLine>, StepLog) {
        let sink = Arc::new(Kept::default());
        let meter = Arc::new(Meter::start());
        let log = StepLog::new(sink.clone(), "s", 1, Limits::default(), &meter);
        let ending = log.ending();
        write(&log);
        drop(ending);
        let lines = std::mem::take(&mut *sink.0.lock().unwrap());
        (lines, log)
    }

    #[test]
    fn streams_are_cut_into_lines_and_the_rest_comes_at_the_end() {
        let (lines, _) = kept(|log| {
            log.stdout().take(b"one\ntw");
            log.stderr().take(b"bad\xff\r\n");
            log.stdout().take(b"o\n\nthree");
        });
        let said: Vec<_> = lines
            .iter()
            .map(|l| (l.level, l.message.as_str()))
            .collect();
        let (info, warn) = (Level::Info, Level::Warn);
        let expected = [
            (info, "one"),
            (warn, "bad\u{fffd}"),
            (info, "two"),
            (info, ""),
            (info, "three"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_line_without_an_end_is_split() {
        let (lines, _) = kept(|log| log.stdout().take(&vec![b'x'; LOG_LINE_BYTES * 2 + 5]));
        let sizes: Vec<_> = lines.iter().map(|line| line.message.len()).collect();
        assert_eq!(sizes, [LOG_LINE_BYTES, LOG_LINE_BYTES, 5]);
    }

    #[test]
    fn lines_over_the_limit_are_dropped_and_counted() {
        let (lines, _) = kept(|log| (0..LOG_LINES + 7).for_each(|_| log.stdout().take(b"x\n")));
        assert_eq!(lines.len() as u64, LOG_LINES + 1);
        assert_eq!(
            lines[LOG_LINES as usize].message,
            "7 lines dropped: the log's limit is 10000 lines, 4 MiB"
        );
    }

    #[test]
    fn bytes_over_the_limit_are_dropped_and_counted() {
        let line = vec![b'x'; LOG_LINE_BYTES];
        let fit = LOG_BYTES / LOG_LINE_BYTES as u64;
        let (lines, log) = kept(|log| (0..fit + 3).for_each(|_| log.stderr().take(&line)));
        assert_eq!(lines.len() as u64, fit + 1);
        let (lines, dropped) = (fit, 3);
        assert_eq!(log.lines().counts, Counts { lines, dropped });
        assert_eq!(log.lines().meter.log_bytes.get(), LOG_BYTES);
    }

    #[test]
    fn a_panic_is_found_in_what_stderr_said_last() {
        let (_, log) = kept(|log| {
            log.stderr().take(
                b"before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\nno such file\n",
            );
            log.stderr()
                .take(b"note: run with `RUST_BACKTRACE=1` environment variable\n");
        });
        assert_eq!(
            log.panic_message().unwrap(),
            "panicked at src/lib.rs:3:5: no such file"
        );
        assert_eq!(
            kept(|log| log.stderr().take(b"calm\n")).1.panic_message(),
            None
        );
    }
}
