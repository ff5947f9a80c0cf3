//! A page of a list: so many at most, and so many bytes, so that no list costs more memory than a few of its largest.

use super::Problem;
use super::changes::PageQuery;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// A page that has so many bytes gets no more.
const BYTES_MAX: usize = 8 << 20;

/// Records that are read at once.
const READ_MAX: usize = 16;

/// What is in a page so far.
pub(super) struct Page {
    limit: usize,
    bytes: usize,
    rows: Vec<Box<RawValue>>,
}

impl Page {
    pub(super) fn new(query: &PageQuery) -> Result<Self, Problem> {
        Ok(Page {
            limit: query.limit()?,
            bytes: 0,
            rows: Vec::new(),
        })
    }

    /// How many records are to be read next; `None` where it is full.
    pub(super) fn wants(&self) -> Option<usize> {
        let left = self.limit.saturating_sub(self.rows.len());
        (left > 0 && self.bytes < BYTES_MAX).then_some(left.min(READ_MAX))
    }

    /// Adds one.
    pub(super) fn push(&mut self, row: &impl Serialize) {
        let row = to_raw_value(row).expect("what is shown has string keys");
        self.bytes += row.get().len();
        self.rows.push(row);
    }

    pub(super) fn rows(self) -> Vec<Box<RawValue>> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_its_limit_or_its_bytes() {
        let page = |limit| Page {
            limit,
            bytes: 0,
            rows: Vec::new(),
        };
        let mut few = page(20);
        assert_eq!(few.wants(), Some(READ_MAX));
        (0..18).for_each(|_| few.push(&"small"));
        assert_eq!(few.wants(), Some(2));
        (0..2).for_each(|_| few.push(&"small"));
        assert_eq!(few.wants(), None);
        let mut large = page(1000);
        large.push(&"x".repeat(BYTES_MAX - 3));
        assert_eq!(large.wants(), Some(READ_MAX));
        large.push(&"x");
        assert_eq!((large.wants(), large.rows().len()), (None, 2));
    }
}
