//! The run id as text. It never makes one: ids come from the shell (UUIDv7).

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a run: a UUID, written `0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

/// The text is not a hyphenated UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRunIdError {
    text: String,
}

/// Length of a hyphenated UUID in bytes.
const TEXT_LEN: usize = 36;
/// Where its hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl RunId {
    /// When it was made, in Unix milliseconds, as a UUIDv7 has it.
    pub fn made_ms(self) -> u64 {
        u64::try_from(self.0 >> 80).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for RunId {
    /// By hand: every key of a run's records begins with it, and the formatting of numbers costs several times more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; TEXT_LEN];
        let places = (0..TEXT_LEN).filter(|place| !HYPHENS.contains(place));
        for (nibble, place) in (0..32_u32).zip(places) {
            let digit = (self.0 >> (124 - 4 * nibble)) & 0xf;
            if let (Some(place), Some(digit)) = (text.get_mut(place), DIGITS.get(digit as usize)) {
                *place = *digit;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for RunId {
    type Err = ParseRunIdError;

    /// Reads the hyphenated form, in either case.
    fn from_str(text: &str) -> Result<RunId, ParseRunIdError> {
        let refused = || ParseRunIdError {
            text: text.chars().take(TEXT_LEN + 1).collect(),
        };
        if text.len() != TEXT_LEN {
            return Err(refused());
        }
        let mut id = 0u128;
        for (at, character) in text.char_indices() {
            if HYPHENS.contains(&at) {
                if character != '-' {
                    return Err(refused());
                }
                continue;
            }
            let digit = character.to_digit(16).ok_or_else(refused)?;
            id = id << 4 | u128::from(digit);
        }
        Ok(RunId(id))
    }
}

impl fmt::Display for ParseRunIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no run id; one looks like {}",
            self.text,
            RunId(0)
        )
    }
}

impl std::error::Error for ParseRunIdError {}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        let text = "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e";
        let id: RunId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<RunId>().unwrap(), id);
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let id: RunId = "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e".parse().unwrap();
        assert_eq!(id.made_ms(), 0x0190_d6c8_7f5e);
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "0190d6c8",
            "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6g",
            "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e0",
            "0190d6c87f5e-7cc0-98a5-2f3a5d8a1b6e-0",
            "ä190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6",
        ] {
            let error = text.parse::<RunId>().unwrap_err().to_string();
            assert!(error.contains("is no run id"), "{error}");
        }
    }
}
