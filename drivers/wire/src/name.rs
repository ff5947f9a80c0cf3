//! Names of drivers and kinds. Both become single tokens of a broker subject, so both obey one rule.

/// The longest name of a driver or a kind, in bytes: two of them and a prefix stay far below the 256 bytes
/// that brokers take for a subject without complaint.
pub const NAME_BYTES_MAX: usize = 63;

/// First tokens of the subjects that the host itself uses. A driver or kind of such a name would listen to them.
pub const RESERVED_NAMES: [&str; 6] = [
    "resources",
    "events",
    "drivers",
    "pipelines",
    "logs",
    "live",
];

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("has {0} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Something that is not an ASCII letter, digit, `-` or `_`, at this byte offset.
    #[error("is not of ASCII letters, digits, `-` and `_` alone: look at byte {0}")]
    Character(usize),
    /// One of [`RESERVED_NAMES`].
    #[error("is reserved; choose another name")]
    Reserved,
}

/// Checks the name of a driver or a kind: 1 to [`NAME_BYTES_MAX`] ASCII letters, digits, `-` and `_`, and none
/// of [`RESERVED_NAMES`]. `const`, so that the SDK checks a driver's names while it is compiled.
///
/// # Errors
/// The first rule that the name breaks.
#[allow(
    clippy::indexing_slicing,
    reason = "iterators are not const; every index is below a length"
)]
pub const fn check_name(name: &str) -> Result<(), NameError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() && bytes[at] != b'-' && bytes[at] != b'_' {
            return Err(NameError::Character(at));
        }
        at += 1;
    }
    if bytes.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(bytes.len()));
    }
    let mut at = 0;
    while at < RESERVED_NAMES.len() {
        if same(bytes, RESERVED_NAMES[at].as_bytes()) {
            return Err(NameError::Reserved);
        }
        at += 1;
    }
    Ok(())
}

#[allow(
    clippy::indexing_slicing,
    reason = "iterators are not const; every index is below a length"
)]
const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_subject_tokens() {
        for good in [
            "sbom",
            "Web-App_2",
            "9",
            "lives",
            &"x".repeat(NAME_BYTES_MAX),
        ] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("a.b", NameError::Character(1)),
            ("a b", NameError::Character(1)),
            ("*", NameError::Character(0)),
            ("größe", NameError::Character(2)),
            ("live", NameError::Reserved),
            (
                &"x".repeat(NAME_BYTES_MAX + 1),
                NameError::TooLong(NAME_BYTES_MAX + 1),
            ),
        ] {
            assert_eq!(check_name(bad), Err(why), "{bad}");
        }
    }
}
