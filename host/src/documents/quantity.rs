//! Durations and sizes as people write them: `1h30m`, `500ms`, `64MiB`.
//!
//! Owns their text form in both directions; [`duration_text`], [`optional_duration_text`] and
//! [`optional_size_text`] are for `#[serde(with)]`.

use std::time::Duration;

/// The longest duration: a year. Beyond it a deadline is a mistake of units.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Why a text is no duration or no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form of a duration.
    #[error(
        "`{0}` is no duration; write whole numbers with units, such as `30s`, `1h30m`, `500ms`"
    )]
    NoDuration(String),
    /// Above [`DURATION_MAX`].
    #[error("`{0}` is more than the limit of 365d")]
    DurationTooLong(String),
    /// Not of the form of a size.
    #[error("`{0}` is no size; write a whole number with B, KiB, MiB or GiB, such as `64MiB`")]
    NoSize(String),
}

/// Reads a duration: whole numbers with the units `d h m s ms`, from large to small, each at most once.
///
/// # Errors
/// Another form, or more than [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let no_duration = || QuantityError::NoDuration(text.to_owned());
    let too_long = || QuantityError::DurationTooLong(text.to_owned());
    let (mut rest, mut total_ms, mut units) = (text, 0_u64, DURATION_UNITS.iter());
    if rest.is_empty() {
        return Err(no_duration());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(no_duration)?;
        let unit_length = after
            .find(|next: char| next.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after
            .split_at_checked(unit_length)
            .ok_or_else(no_duration)?;
        // Units found once are behind the iterator: they come in order and never twice.
        let (_, unit_ms) = units
            .find(|(name, _)| *name == unit)
            .ok_or_else(no_duration)?;
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let part_ms = number.checked_mul(*unit_ms).ok_or_else(too_long)?;
        total_ms = total_ms.checked_add(part_ms).ok_or_else(too_long)?;
        rest = next;
    }
    let duration = Duration::from_millis(total_ms);
    if duration > DURATION_MAX {
        Err(too_long())
    } else {
        Ok(duration)
    }
}

/// Writes a duration so that [`parse_duration`] reads the same, parts of a millisecond cut off.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in DURATION_UNITS {
        let number = rest_ms / unit_ms;
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
        rest_ms %= unit_ms;
    }
    text
}

/// Reads a size into bytes: a whole number with `B`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// Another form, or more than 64 bits hold.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let no_size = || QuantityError::NoSize(text.to_owned());
    let (number, unit) = split_number(text).ok_or_else(no_size)?;
    let (_, unit_bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(no_size)?;
    let number: u64 = number.parse().map_err(|_| no_size())?;
    number.checked_mul(*unit_bytes).ok_or_else(no_size)
}

/// Writes a size with the largest unit that leaves a whole number.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let whole = |(_, unit_bytes): &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(*unit_bytes);
    let (unit, unit_bytes) = SIZE_UNITS.iter().find(whole).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / unit_bytes)
}

/// The digits that a text begins with, and what follows; `None` if there is no digit.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(number, _)| !number.is_empty())
}

/// A duration as its text in JSON.
pub(super) mod duration_text {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the text.
    ///
    /// # Errors
    /// The serialiser's.
    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*value))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The deserialiser's, or the text is no duration.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A duration that may be absent, as its text in JSON.
pub(super) mod optional_duration_text {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes the text.
    ///
    /// # Errors
    /// The serialiser's.
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(format_duration).serialize(to)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The deserialiser's, or the text is no duration.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| parse_duration(&text).map_err(D::Error::custom))
            .transpose()
    }
}

/// A size in bytes that may be absent, as its text in JSON.
pub(super) mod optional_size_text {
    use super::{format_size, parse_size};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes the text.
    ///
    /// # Errors
    /// The serialiser's.
    pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        value.map(format_size).serialize(to)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The deserialiser's, or the text is no size.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| parse_size(&text).map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms, written) in [
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("500ms", 500, "500ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
            ("0s", 0, "0s"),
            ("365d", 31_536_000_000, "365d"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_millis(), ms, "{text}");
            assert_eq!(format_duration(duration), written, "{text}");
            assert_eq!(parse_duration(written).unwrap(), duration, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "s", "30", "1.5s", "-1s", "1m1h", "1s1s", "1 s", "1y", "30S", "1sä", "٣s",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(QuantityError::NoDuration(text.to_owned()))
            );
        }
        for text in [
            "366d",
            "365d1ms",
            "18446744073709551616s",
            "18446744073709551615d",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(QuantityError::DurationTooLong(text.to_owned()))
            );
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1024MiB", 1 << 30, "1GiB"),
            ("1536KiB", 1536 << 10, "1536KiB"),
            ("100B", 100, "100B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), written, "{text}");
        }
        for text in [
            "",
            "64",
            "64MB",
            "64M",
            "MiB",
            "1.5GiB",
            "64 MiB",
            "99999999999999GiB",
        ] {
            assert_eq!(
                parse_size(text),
                Err(QuantityError::NoSize(text.to_owned()))
            );
        }
    }
}
