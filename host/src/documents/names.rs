//! Which names things may have, and which known name somebody may have meant.

use strsim::osa_distance;

/// Names that the wire's subjects take for themselves; no driver and no kind may have one.
pub use beltline_wire::RESERVED_NAMES as RESERVED;

/// The longest driver name, kind or step id, in characters: they are parts of NATS subjects and of
/// consumer names.
pub const TOKEN_LENGTH_MAX: usize = 64;

/// The longest pipeline or resource name, in characters: that of a DNS name.
pub const NAME_LENGTH_MAX: usize = 253;

/// The longest name, in characters, for which a near one is looked for: comparing takes time with the
/// square of the length, and longer ones are nobody's slip.
const NEAR_LENGTH_MAX: usize = 64;

/// For how many names of one list near ones are looked for.
pub(super) const ADVISED_MAX: usize = 20;

/// Why a name may not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("{what} is empty; give it a name")]
    Empty {
        /// What has the name.
        what: &'static str,
    },
    /// Too many characters.
    #[error("{what} has {length} characters; the limit is {limit}")]
    TooLong {
        /// What has the name.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The most it may have.
        limit: usize,
    },
    /// A character that is not allowed.
    #[error("{what} `{name}` has a {found:?}; use letters, digits, {others}")]
    Character {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
        /// What is allowed beside letters and digits.
        others: &'static str,
    },
    /// One of [`RESERVED`].
    #[error("{what} `{name}` is reserved for subjects of the broker; choose another")]
    Reserved {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// Checks a step's id: one NATS token of ASCII letters, digits, `-` and `_`.
///
/// # Errors
/// Empty, longer than [`TOKEN_LENGTH_MAX`], or with another character.
pub fn check_token(what: &'static str, name: &str) -> Result<(), NameError> {
    check(what, name, TOKEN_LENGTH_MAX, "-_", "`-` and `_`")
}

/// Checks a driver's name or a kind: a token that is not reserved.
///
/// # Errors
/// Those of [`check_token`], or one of [`RESERVED`].
pub fn check_subject_token(what: &'static str, name: &str) -> Result<(), NameError> {
    check_token(what, name)?;
    match RESERVED.contains(&name) {
        true => Err(NameError::Reserved {
            what,
            name: name.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Checks the name of a pipeline or resource: ASCII letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// Empty, longer than [`NAME_LENGTH_MAX`], or with another character.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    check(what, name, NAME_LENGTH_MAX, "-_.", "`-`, `_` and `.`")
}

fn check(
    what: &'static str,
    name: &str,
    limit: usize,
    allowed: &str,
    others: &'static str,
) -> Result<(), NameError> {
    let length = name.chars().count();
    if length == 0 {
        return Err(NameError::Empty { what });
    }
    if length > limit {
        return Err(NameError::TooLong {
            what,
            length,
            limit,
        });
    }
    match name
        .chars()
        .find(|next| !next.is_ascii_alphanumeric() && !allowed.contains(*next))
    {
        Some(found) => Err(NameError::Character {
            what,
            name: name.to_owned(),
            found,
            others,
        }),
        None => Ok(()),
    }
}

/// The known name that is nearest to one that is not known, if it is near enough to be meant.
/// Case, `-` and `_` do not count: `queueTimeout` is `queue_timeout`.
#[must_use]
pub fn near<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name = folded(name)?;
    let distance_max = (name.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter_map(|candidate| {
            let distance = osa_distance(&name, &folded(candidate)?);
            (distance <= distance_max).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` or nothing.
pub(super) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    near(name, known)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

/// A name as it is compared; `None` if nobody can have meant another by it.
fn folded(name: &str) -> Option<String> {
    let kept = |next: &char| !matches!(next, '-' | '_');
    let length = name.chars().filter(kept).take(NEAR_LENGTH_MAX + 1).count();
    let comparable = (1..=NEAR_LENGTH_MAX).contains(&length);
    comparable.then(|| name.chars().filter(kept).collect::<String>().to_lowercase())
}

/// ``` `a`, `b` and `c` ```
pub(super) fn listed<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
