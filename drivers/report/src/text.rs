//! Numbers and texts as people read them, the same in both forms of the report.

use std::time::Duration;

/// The longest JSON of one output that a report shows.
const JSON_BYTES_MAX: usize = 32 * 1024;

/// `350 ms`, `4.2 s`, `3 min 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60.. => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// `1 component`, `2 components`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Indented JSON, cut with a word where it is too long.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let mut text = format!("{value:#}");
    if text.len() > JSON_BYTES_MAX {
        let bytes = text.len();
        text.truncate(text.floor_char_boundary(JSON_BYTES_MAX));
        text.push_str(&format!("\n… cut here: it has {bytes} bytes"));
    }
    text
}

/// Percent of a whole; nothing of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_the_unit_that_fits() {
        let of = |milliseconds| duration(Duration::from_millis(milliseconds));
        assert_eq!(
            [of(0), of(999), of(1_000), of(59_949)],
            ["0 ms", "999 ms", "1.0 s", "59.9 s"]
        );
        assert_eq!([of(60_000), of(200_000)], ["1 min 0 s", "3 min 20 s"]);
    }

    #[test]
    fn long_json_is_cut_between_characters() {
        let text = json(&serde_json::json!("ä".repeat(JSON_BYTES_MAX)));
        assert!(text.len() < JSON_BYTES_MAX + 50 && text.ends_with("it has 65538 bytes"));
    }
}
