//! Streams of files, whose work is done inside the call.
//!
//! wasmtime-wasi hands the reads and writes of its non-blocking calls to another thread, where they go on after the
//! attempt has ended. Its blocking calls run on the calling thread (`allow_blocking_current_thread`), so these are
//! what every call here becomes: they are done when they are first polled.

use super::Allowance;
use bytes::Bytes;
use futures::FutureExt;
use std::sync::Arc;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

pub(super) struct Reader {
    inner: DynInputStream,
    allowance: Arc<Allowance>,
}

impl Reader {
    pub(super) fn new(inner: DynInputStream, allowance: Arc<Allowance>) -> Self {
        Reader { inner, allowance }
    }
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = now(self.inner.blocking_read(size))?;
        self.allowance.meter.bytes_read.add(bytes.len() as u64);
        Ok(bytes)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

pub(super) struct Writer {
    inner: DynOutputStream,
    allowance: Arc<Allowance>,
}

impl Writer {
    pub(super) fn new(inner: DynOutputStream, allowance: Arc<Allowance>) -> Self {
        Writer { inner, allowance }
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let count = bytes.len() as u64;
        let allowed = self.allowance.may_write(count);
        allowed.map_err(|over| StreamError::Trap(over.into()))?;
        now(self.inner.blocking_write_and_flush(bytes))?;
        self.allowance.wrote(count);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

/// The result of a call that blocks this thread instead of waiting.
pub(super) fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never()
        .expect("file calls are allowed to block the attempt's thread")
}
