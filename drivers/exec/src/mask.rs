//! What nobody gets to see: the values of handed-over variables, wherever they appear as they are.
//!
//! A command can write a secret in another form, in base64 for example; that is not recognised.

use serde_json::{Map, Value};

/// A shorter value would be found in everything.
pub const SECRET_BYTES_MIN: usize = 4;

/// What stands for a secret.
const MASK: &str = "***";

#[derive(Default)]
pub struct Masks(Vec<String>);

/// Where a character is cut in two, what stands in its place may be longer by so much.
const CHAR_BYTES_MAX: usize = 4;

impl Masks {
    /// Of the values, and of each line of one that has several: output is looked at by the line.
    pub fn new<'a>(values: impl Iterator<Item = &'a str>) -> Masks {
        let mut secrets: Vec<String> = values
            .flat_map(|value| std::iter::once(value).chain(value.lines()))
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .map(str::to_owned)
            .collect();
        // A longer one may have a shorter one in it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Masks(secrets)
    }

    /// The longest secret, in bytes.
    pub fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    pub fn text(&self, text: &str) -> String {
        let masked = |text: String, secret: &String| text.replace(secret, MASK);
        self.0.iter().fold(text.to_owned(), masked)
    }

    /// A line of output of at most so many bytes. Masked before it is cut, so that no half of a secret is left at its end: of a
    /// longer one there must be [`Masks::longest`] more.
    pub fn line(&self, bytes: &[u8], bytes_max: usize) -> String {
        let mut line = self.text(&String::from_utf8_lossy(bytes));
        let mut kept = line.len().min(bytes_max);
        if bytes.len() > bytes_max {
            // What was read may end within a secret, and what came before it may have become shorter.
            kept = kept.min(line.len().saturating_sub(self.longest() + CHAR_BYTES_MAX));
        }
        if kept < line.len() {
            line.truncate(line.floor_char_boundary(kept));
            line.push('…');
        }
        line
    }

    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.json(value)).collect(),
            Value::Object(object) => {
                let pair = |(key, value): (String, Value)| (self.text(&key), self.json(value));
                Value::Object(object.into_iter().map(pair).collect::<Map<_, _>>())
            }
            // A secret of digits may be there as a number.
            Value::Number(number) if self.text(&number.to_string()) != number.to_string() => {
                Value::String(self.text(&number.to_string()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_found_anywhere() {
        let masks =
            Masks::new(["hunter2", "hunter2-long", "one-line\nanother", "123456"].into_iter());
        assert_eq!(masks.text("a hunter2-long and hunter2"), "a *** and ***");
        assert_eq!(masks.text("only another here"), "only *** here");
        assert_eq!(
            masks.json(json!({"khunter2": ["hunter2", 1234567, 7]})),
            json!({"k***": ["***", "***7", 7]})
        );
        assert_eq!(masks.longest(), "one-line\nanother".len());
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_a_line_is_cut() {
        let secret = "s3cr3t-s3cr3t-s3cr3t-s3cr3t";
        let masks = Masks::new([secret].into_iter());
        // One that was masked makes room at the end for the begin of another.
        for before in 0..60 {
            let line = format!("{secret}{}{secret}{secret}", "x".repeat(before));
            let read = &line.as_bytes()[..line.len().min(40 + masks.longest())];
            let shown = masks.line(read, 40);
            assert!(!shown.contains("s3"), "{before}: {shown}");
            assert!(shown.len() <= 40 + '…'.len_utf8(), "{shown}");
        }
        assert_eq!(masks.line(b"all of it", 9), "all of it");
    }
}
