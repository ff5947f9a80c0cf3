//! What is wrong with the files, and where: one line for each mistake, like a compiler.
//!
//! Owns positions, the collecting of mistakes while a file is read, and their order and form when
//! they are shown. Never decides what a mistake is.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// How many mistakes are shown; the rest is counted. A file of the wrong sort yields thousands, and
/// nobody reads beyond the first screens.
pub const SHOWN_MAX: usize = 100;

/// A place inside a file; both numbers count from 1, columns in characters. Shown as `line:column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// A file, and mostly a place in it. Shown as `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The file as it was named by whoever asked for it; `stdin` for standard input.
    pub file: Arc<str>,
    /// The place; absent where the whole file is meant.
    pub mark: Option<Mark>,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mark {
            Some(mark) => write!(out, "{}:{mark}", self.file),
            None => write!(out, "{}", self.file),
        }
    }
}

/// One mistake. Shown as `file:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where it is.
    pub position: Position,
    /// What it is and what to do: lower case, no full stop, one line.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.position, self.message)
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Text<'a> {
            file: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            line: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            column: Option<u32>,
            message: &'a str,
        }
        Text {
            file: &self.position.file,
            line: self.position.mark.map(|mark| mark.line),
            column: self.position.mark.map(|mark| mark.column),
            message: &self.message,
        }
        .serialize(serializer)
    }
}

/// All mistakes of a set of files, sorted by file and place.
///
/// Shown, it is one line for each, at most [`SHOWN_MAX`]; serialised, a list of
/// `{"file", "line", "column", "message"}`. The same message several times in one file is shown once,
/// at its first place, with the number of the others: they have one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    sorted: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts mistakes and joins those that are the same.
    #[must_use]
    pub fn new(mut found: Vec<Diagnostic>) -> Diagnostics {
        found.sort();
        let mut joined: Vec<(Diagnostic, usize)> = Vec::new();
        let mut first = std::collections::HashMap::new();
        for diagnostic in found {
            let cause = (
                Arc::clone(&diagnostic.position.file),
                diagnostic.message.clone(),
            );
            let index = *first.entry(cause).or_insert(joined.len());
            match joined.get_mut(index) {
                Some((_, others)) => *others += 1,
                None => joined.push((diagnostic, 0)),
            }
        }
        Diagnostics {
            sorted: joined.into_iter().map(counted).collect(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The mistakes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.sorted.iter()
    }

    /// `Ok` where there are none.
    ///
    /// # Errors
    /// These mistakes.
    pub fn into_result(self) -> Result<(), Diagnostics> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// These and others, in one order.
    #[must_use]
    pub fn and(mut self, others: Diagnostics) -> Diagnostics {
        self.sorted.extend(others.sorted);
        self.sorted.sort();
        self
    }
}

fn counted((mut diagnostic, others): (Diagnostic, usize)) -> Diagnostic {
    match others {
        0 => {}
        1 => diagnostic.message.push_str(" (and in one more place)"),
        _ => diagnostic
            .message
            .push_str(&format!(" (and in {others} more places)")),
    }
    diagnostic
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.sorted.iter().take(SHOWN_MAX);
        if let Some(first) = lines.next() {
            write!(out, "{first}")?;
        }
        for line in lines {
            write!(out, "\n{line}")?;
        }
        match self.sorted.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(out, "\nand {more} more"),
        }
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted.serialize(serializer)
    }
}

/// Collects the mistakes of one file while it is read, so that reading need not stop at the first.
#[derive(Debug)]
pub(super) struct Report {
    file: Arc<str>,
    found: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub(super) fn new(file: impl Into<Arc<str>>) -> Report {
        Report {
            file: file.into(),
            found: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(super) fn at(&self, mark: Mark, message: impl Into<String>) {
        self.add(Some(mark), message.into());
    }

    /// A mistake of the file as a whole.
    pub(super) fn whole(&self, message: impl Into<String>) {
        self.add(None, message.into());
    }

    fn add(&self, mark: Option<Mark>, message: String) {
        let position = Position {
            file: Arc::clone(&self.file),
            mark,
        };
        self.found
            .borrow_mut()
            .push(Diagnostic { position, message });
    }

    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
