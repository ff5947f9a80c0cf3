//! What a lockfile says about a licence, in CycloneDX's three ways: an SPDX id, an SPDX expression, a name.

use serde_json::{Value, json};

/// SPDX ids that packages carry most. Any other single word becomes a name, for an id that SPDX does not know
/// would make the whole bill invalid.
const IDS: [&str; 30] = [
    "0BSD",
    "AFL-2.1",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "EPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "Zlib",
];

/// The value of a component's `licenses`.
pub(crate) fn choice(text: &str) -> Value {
    if IDS.contains(&text) {
        return json!([{"license": {"id": text}}]);
    }
    if is_expression(text) {
        return json!([{"expression": text}]);
    }
    json!([{"license": {"name": text}}])
}

/// Operators between words that could be ids: `(MIT OR Apache-2.0)`, and not `SEE LICENSE IN x`.
fn is_expression(text: &str) -> bool {
    let words: Vec<&str> = text
        .split([' ', '(', ')'])
        .filter(|word| !word.is_empty())
        .collect();
    let operator = |word: &&str| matches!(*word, "AND" | "OR" | "WITH");
    words.len() > 1
        && words
            .iter()
            .enumerate()
            .all(|(at, word)| operator(word) == (at % 2 == 1))
        && words.len() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_saying_it() {
        assert_eq!(choice("MIT"), json!([{"license": {"id": "MIT"}}]));
        assert_eq!(
            choice("(MIT OR Apache-2.0)"),
            json!([{"expression": "(MIT OR Apache-2.0)"}])
        );
        for name in ["UNLICENSED", "SEE LICENSE IN licence.txt", "MIT OR"] {
            assert_eq!(choice(name), json!([{"license": {"name": name}}]));
        }
    }

    #[test]
    fn every_id_is_one_of_spdx() {
        let schema: Value = serde_json::from_str(include_str!("../tests/schema/spdx.schema.json"))
            .expect("it is JSON");
        for id in IDS {
            assert!(
                schema["enum"]
                    .as_array()
                    .expect("a list")
                    .contains(&json!(id)),
                "{id}"
            );
        }
    }
}
