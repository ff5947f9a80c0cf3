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
    /// The name of the last of them, or of the one after which it begins.
    after: Option<String>,
    /// How many rows there are when all are there that were asked for last.
    expected: usize,
}

/// What is to be read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) after: Option<String>,
    pub(super) count: usize,
}

impl Page {
    pub(super) fn new(query: PageQuery) -> Result<Self, Problem> {
        Ok(Page::of(query.limit()?, query.after))
    }

    fn of(limit: usize, after: Option<String>) -> Self {
        Page {
            limit,
            bytes: 0,
            rows: Vec::new(),
            after,
            expected: 0,
        }
    }

    /// What is to be read next; `None` where it is full, or where there are no more.
    pub(super) fn wants(&mut self) -> Option<Reading> {
        let count = self.limit.saturating_sub(self.rows.len()).min(READ_MAX);
        let has_room = count > 0 && self.bytes < BYTES_MAX;
        let were_all_there = self.rows.len() == self.expected;
        self.expected = self.rows.len() + count;
        (has_room && were_all_there).then(|| Reading {
            after: self.after.clone(),
            count,
        })
    }

    /// Adds one, by its name.
    pub(super) fn push(&mut self, name: String, row: &impl Serialize) {
        let row = to_raw_value(row).expect("what is shown has string keys");
        self.bytes += row.get().len();
        self.rows.push(row);
        self.after = Some(name);
    }

    pub(super) fn rows(self) -> Vec<Box<RawValue>> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(page: &mut Page) -> Option<usize> {
        page.wants().map(|reading| reading.count)
    }

    fn push(page: &mut Page, row: &str) {
        page.push(format!("row-{:02}", page.rows.len()), &row);
    }

    #[test]
    fn a_page_ends_with_its_limit_or_its_bytes() {
        let mut few = Page::of(18, None);
        assert_eq!(counts(&mut few), Some(READ_MAX));
        (0..READ_MAX).for_each(|_| push(&mut few, "small"));
        assert_eq!(counts(&mut few), Some(2));
        (0..2).for_each(|_| push(&mut few, "small"));
        assert_eq!(counts(&mut few), None);
        let mut large = Page::of(1000, None);
        assert_eq!(counts(&mut large), Some(READ_MAX));
        push(&mut large, &"x".repeat(BYTES_MAX - 3 - READ_MAX * 3));
        (1..READ_MAX).for_each(|_| push(&mut large, "x"));
        assert_eq!(counts(&mut large), Some(READ_MAX));
        (0..READ_MAX).for_each(|_| push(&mut large, "x"));
        assert_eq!(
            (counts(&mut large), large.rows().len()),
            (None, 2 * READ_MAX)
        );
    }

    #[test]
    fn a_page_goes_on_after_its_last_row_until_fewer_come_than_were_asked_for() {
        let mut page = Page::of(100, Some("begin".to_owned()));
        let reading = |after: &str| {
            let (after, count) = (Some(after.to_owned()), READ_MAX);
            Some(Reading { after, count })
        };
        assert_eq!(page.wants(), reading("begin"));
        (0..READ_MAX).for_each(|_| push(&mut page, "small"));
        assert_eq!(page.wants(), reading("row-15"));
        push(&mut page, "small");
        assert_eq!(page.wants(), None);
    }
}
