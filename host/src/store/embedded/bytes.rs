//! Reading numbers out of bytes that may be anything.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Takes little-endian numbers and runs of bytes off the front; `None` where too few are left.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn slice(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Splits off a trailing checksum of all before it and compares it.
pub(super) fn checked(bytes: &[u8], seed: u64) -> Option<&[u8]> {
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    (checksum(body, seed) == u64::from_le_bytes(*sum)).then_some(body)
}

/// The checksum of everything in the store: XXH3, 64 bits, seeded.
pub(super) fn checksum(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// The same of bytes that come in pieces.
pub(super) struct Checksum(Xxh3);

impl Checksum {
    pub(super) fn new(seed: u64) -> Self {
        Checksum(Xxh3::with_seed(seed))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.digest()
    }
}
