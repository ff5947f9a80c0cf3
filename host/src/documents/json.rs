//! JSON text to trees.
//!
//! Apart from YAML because JSON is no part of it in practice: tabs before keys, `\ud83d\ude00` and keys
//! of any length are fine here. Owns the punctuation and the places; what a string or a number means is
//! `serde_json`'s word. Several values in one text are several documents.

use super::diagnostics::{Mark, Report};
use super::tree::{Builder, Content, Node, Stopped};
use super::yaml;

/// Reads all values of a text. Those before a mistake that stops the reading are returned too; the
/// mistake is in the report.
pub(super) fn parse(text: &str, report: &Report) -> Vec<Node> {
    let mut cursor = Cursor {
        rest: text,
        mark: Mark { line: 1, column: 1 },
    };
    let mut builder = Builder::new(report);
    let mut documents = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.rest.is_empty() {
            return documents;
        }
        let mut reading = Reading {
            cursor,
            builder,
            report,
        };
        match reading.value() {
            Ok(()) => documents.extend(reading.builder.take_root()),
            Err(Stopped) => return documents,
        }
        Reading {
            cursor,
            builder,
            ..
        } = reading;
    }
}

/// Where we are in the text.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    rest: &'t str,
    mark: Mark,
}

impl<'t> Cursor<'t> {
    /// Goes past `bytes`, which end at a character's border, and returns them.
    fn advance(&mut self, bytes: usize) -> &'t str {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for character in passed.chars() {
            self.mark = match character {
                '\n' => Mark {
                    line: self.mark.line.saturating_add(1),
                    column: 1,
                },
                _ => Mark {
                    column: self.mark.column.saturating_add(1),
                    ..self.mark
                },
            };
        }
        self.rest = rest;
        passed
    }

    fn skip_space(&mut self) {
        let space = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.advance(space);
    }
}

struct Reading<'t, 'r> {
    cursor: Cursor<'t>,
    builder: Builder<'r>,
    report: &'r Report,
}

impl Reading<'_, '_> {
    /// Recursion is bounded: the builder refuses what nests too deep.
    fn value(&mut self) -> Result<(), Stopped> {
        let mark = self.cursor.mark;
        match self.cursor.rest.bytes().next() {
            Some(b'{') => {
                self.builder.open_object(mark, None)?;
                self.inside('}', "object", Reading::entry)
            }
            Some(b'[') => {
                self.builder.open_list(mark, None)?;
                self.inside(']', "list", Reading::value)
            }
            Some(b'"') => {
                let text = self.string()?;
                self.builder.scalar(mark, None, Content::Text(text))
            }
            _ => {
                let content = self.word()?;
                self.builder.scalar(mark, None, content)
            }
        }
    }

    fn inside(
        &mut self,
        end: char,
        sort: &str,
        part: fn(&mut Self) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        let opened = self.cursor.mark;
        self.cursor.advance(1);
        self.cursor.skip_space();
        if !self.cursor.rest.starts_with(end) {
            loop {
                part(self)?;
                self.cursor.skip_space();
                match self.cursor.rest.chars().next() {
                    Some(',') => self.cursor.advance(1),
                    Some(next) if next == end => break,
                    Some(next) => {
                        return self.stop(format!("`,` or `{end}` expected, found `{next}`"));
                    }
                    None => {
                        let line = opened.line;
                        let message =
                            format!("the text ends inside the {sort} begun on line {line}");
                        return self.stop(message);
                    }
                };
                self.cursor.skip_space();
                if self.cursor.rest.starts_with(end) {
                    return self.stop("nothing follows the last `,`; take it out".to_owned());
                }
            }
        }
        self.cursor.advance(1);
        self.builder.close()
    }

    fn entry(&mut self) -> Result<(), Stopped> {
        let mark = self.cursor.mark;
        if !self.cursor.rest.starts_with('"') {
            return self.stop("a key in double quotes expected".to_owned());
        }
        let key = self.string()?;
        self.builder.key(mark, key)?;
        self.cursor.skip_space();
        if !self.cursor.rest.starts_with(':') {
            return self.stop("`:` expected after the key".to_owned());
        }
        self.cursor.advance(1);
        self.cursor.skip_space();
        self.value()
    }

    fn string(&mut self) -> Result<String, Stopped> {
        let mut escaped = false;
        let end = self.cursor.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return self.stop("the text ends inside this string".to_owned());
        };
        let (mark, quoted) = (self.cursor.mark, self.cursor.advance(end + 2));
        serde_json::from_str(quoted).map_err(|error| self.refuse(mark, reason(&error)))
    }

    fn word(&mut self) -> Result<Content, Stopped> {
        let end = [' ', '\t', '\r', '\n', ',', ':', '"', '[', ']', '{', '}'];
        let length = self.cursor.rest.find(end).unwrap_or(self.cursor.rest.len());
        let (mark, word) = (self.cursor.mark, self.cursor.advance(length));
        let content = match word {
            "null" => Ok(Content::Null),
            "true" => Ok(Content::Bool(true)),
            "false" => Ok(Content::Bool(false)),
            "" => Err("not valid JSON: a value expected".to_owned()),
            word => number(word),
        };
        content.map_err(|message| {
            self.report.at(mark, message);
            Stopped
        })
    }

    fn stop<T>(&self, message: String) -> Result<T, Stopped> {
        Err(self.refuse(self.cursor.mark, message))
    }

    fn refuse(&self, mark: Mark, message: String) -> Stopped {
        self.report.at(mark, format!("not valid JSON: {message}"));
        Stopped
    }
}

fn number(word: &str) -> Result<Content, String> {
    let invalid = |reason: String| format!("not valid JSON: {reason}");
    if !word.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(invalid(format!(
            "`{word}` is no value; text stands in double quotes"
        )));
    }
    let number: serde_json::Number = serde_json::from_str(word)
        .map_err(|error| invalid(format!("`{word}`: {}", reason(&error))))?;
    match word.contains(['.', 'e', 'E']) {
        true => Ok(Content::Number(number)),
        // Read again: `serde_json` rounds integers beyond 64 bits without a word.
        false => yaml::integer(word).map(Content::Number),
    }
}

/// `serde_json`'s message without its place, which counts from the start of the word.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}
