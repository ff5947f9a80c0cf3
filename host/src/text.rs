//! Numbers and texts as people read them.

use std::borrow::Cow;

/// A size in the largest binary unit that leaves no remainder worth showing: `64 MiB`, `1.5 KiB`, `12 B`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"B");
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value.fract() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A duration: `340 µs` never, `12 ms`, `1.4 s`, `2m 05s`, `3h 20m`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A short time, with a decimal where it counts: `0.4 ms`, `12 ms`, `1.4 s`.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        _ => duration(ms.round() as u64),
    }
}

/// `text` cut at a character boundary to at most `bytes_max` bytes, with an ellipsis where it was cut.
pub fn cut(text: &str, bytes_max: usize) -> String {
    const ELLIPSIS: &str = " …";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(ELLIPSIS.len()));
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}{ELLIPSIS}")
}

/// What somebody else wrote, fit for a terminal: control characters are spelt out, so that a driver cannot colour,
/// overwrite or retitle what its operator sees. Line ends and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let spelt = |character: char| {
        if is_harmful(character) {
            character.escape_default().to_string()
        } else {
            character.into()
        }
    };
    Cow::Owned(text.chars().map(spelt).collect())
}

/// An error with all that led to it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::{cut, duration, milliseconds, shown, size};

    #[test]
    fn control_characters_are_spelt_out() {
        assert_eq!(shown("two\n\tlines"), "two\n\tlines");
        assert_eq!(
            shown("\u{1b}]0;owned\u{7} a\rb\u{9b}1m"),
            "\\u{1b}]0;owned\\u{7} a\\rb\\u{9b}1m"
        );
    }

    #[test]
    fn sizes_and_durations_read_well() {
        assert_eq!(size(12), "12 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(1_400), "1.4 s");
        assert_eq!(duration(125_000), "2m 05s");
        assert_eq!(duration(12_000_000), "3h 20m");
        assert_eq!(milliseconds(0.04), "0.0 ms");
        assert_eq!(milliseconds(9.94), "9.9 ms");
        assert_eq!(milliseconds(9.96), "10 ms");
        assert_eq!(milliseconds(1_402.4), "1.4 s");
    }

    #[test]
    fn a_cut_keeps_whole_characters_and_the_bound() {
        assert_eq!(cut("short", 10), "short");
        let text = "ä".repeat(10);
        assert_eq!(cut(&text, 9), "ää …");
        assert!(cut(&text, 9).len() <= 9);
    }
}
