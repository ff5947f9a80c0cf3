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
}
