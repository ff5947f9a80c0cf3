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
    /// A character that is not an ASCII letter, digit, `-` or `_`.
    #[error("contains `{}`; use ASCII letters, digits, `-` and `_`", .0.escape_default())]
    Character(char),
    /// One of [`RESERVED_NAMES`].
    #[error("is reserved; choose another name")]
    Reserved,
}

/// Checks the name of a driver or a kind: 1 to [`NAME_BYTES_MAX`] ASCII letters, digits, `-` and `_`, and none
/// of [`RESERVED_NAMES`].
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c))
    {
        return Err(NameError::Character(bad));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(name.len()));
    }
    if RESERVED_NAMES.contains(&name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_subject_tokens() {
        for good in ["sbom", "Web-App_2", "9", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("a.b", NameError::Character('.')),
            ("a b", NameError::Character(' ')),
            ("*", NameError::Character('*')),
            ("größe", NameError::Character('ö')),
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
