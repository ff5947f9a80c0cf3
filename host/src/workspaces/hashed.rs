//! Bytes that are hashed and counted on their way.

use crate::digest::{Digest, Hasher};
use std::io::{self, Read, Write};

/// What bytes pass through.
#[derive(Debug)]
pub(super) struct Hashed<T> {
    inner: T,
    hasher: Hasher,
    bytes: u64,
}

impl<T> Hashed<T> {
    pub(super) fn new(inner: T) -> Self {
        Hashed {
            inner,
            hasher: Hasher::default(),
            bytes: 0,
        }
    }

    /// How many bytes have passed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What they passed through, and the digest of those that have passed.
    pub(super) fn parts(self) -> (T, Digest) {
        (self.inner, self.hasher.digest())
    }

    fn passed(&mut self, bytes: Option<&[u8]>) {
        let bytes = bytes.unwrap_or_default();
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.passed(bytes.get(..count));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(buffer.get(..count));
        Ok(count)
    }
}
