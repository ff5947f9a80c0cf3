//! What the program says about itself, on standard error: a line each, with named values.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use crate::clock;

pub(crate) type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

pub(crate) fn info(message: &str, fields: Fields<'_>) {
    write("INFO", message, fields);
}

pub(crate) fn warn(message: &str, fields: Fields<'_>) {
    write("WARN", message, fields);
}

pub(crate) fn error(message: &str, fields: Fields<'_>) {
    write("ERROR", message, fields);
}

/// A closed standard error is nobody's loss.
fn write(level: &str, message: &str, fields: Fields<'_>) {
    let line = line(clock::now_ms(), level, message, fields);
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// One line, whatever is in it: what others wrote does not start a second.
fn line(at_ms: u64, level: &str, message: &str, fields: Fields<'_>) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    let mut line = format!("{at:.3} {level:<5} {message}");
    for (name, value) in fields {
        let value = value.to_string();
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
        let _ = if plain {
            write!(line, " {name}={value}")
        } else {
            write!(line, " {name}={value:?}")
        };
    }
    let mut line = line.replace(['\n', '\r'], " ");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let fields: Fields<'_> = &[("run", &"a"), ("error", &"no\nway"), ("none", &"")];
        assert_eq!(
            line(1_500, "WARN", "lost\nit", fields),
            "1970-01-01T00:00:01.500Z WARN  lost it run=a error=\"no\\nway\" none=\"\"\n"
        );
    }
}
