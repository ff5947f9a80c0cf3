//! Tokens: what shows that an answer is to an attempt. Made of a key that never leaves the state, so that none is kept.

use crate::digest::Digest;
use beltline_engine::RunId;
use subtle::ConstantTimeEq;

/// Makes and checks them.
pub(super) struct Tokens {
    key: [u8; 32],
}

impl Tokens {
    pub(super) fn new(key: Digest) -> Self {
        Tokens {
            key: *blake3::hash(key.hex().as_bytes()).as_bytes(),
        }
    }

    /// Of an attempt: 32 hexadecimal digits.
    pub(super) fn of(&self, run: RunId, step: u32, attempt: u32) -> String {
        let text = format!("{run}/{step}/{attempt}");
        let hash = blake3::keyed_hash(&self.key, text.as_bytes());
        hash.to_hex().chars().take(32).collect()
    }

    pub(super) fn is_of(&self, token: &str, run: RunId, step: u32, attempt: u32) -> bool {
        let expected = self.of(run, step, attempt);
        token.as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

/// Step, attempt and token in one string, for drivers that echo the resource and nothing else.
pub(super) fn pack(step_id: &str, attempt: u32, token: &str) -> String {
    format!("{attempt}.{token}.{step_id}")
}

/// The step, the attempt and the token in such a string.
pub(super) fn unpack(packed: &str) -> Option<(&str, u32, &str)> {
    let mut parts = packed.splitn(3, '.');
    let (attempt, token, step) = (parts.next()?, parts.next()?, parts.next()?);
    Some((step, attempt.parse().ok()?, token))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_attempt_of_one_step_of_one_run_of_one_host() {
        let tokens = Tokens::new(Digest::of(b"a"));
        let token = tokens.of(RunId(7), 1, 2);
        assert!(tokens.is_of(&token, RunId(7), 1, 2));
        let others = [(8, 1, 2), (7, 2, 2), (7, 1, 3), (7, 1, 22)];
        for (run, step, attempt) in others {
            assert!(!tokens.is_of(&token, RunId(run), step, attempt));
        }
        assert!(!Tokens::new(Digest::of(b"b")).is_of(&token, RunId(7), 1, 2));
        assert!(!tokens.is_of("", RunId(7), 1, 2));
    }

    #[test]
    fn packed_and_unpacked_it_is_the_same_whatever_a_step_is_called() {
        for step in ["a", "a.b.c", "1.2", ""] {
            let packed = pack(step, 3, "abc");
            assert_eq!(unpack(&packed), Some((step, 3, "abc")));
        }
        for bad in ["", "1", "1.t", "x.t.s", "-1.t.s"] {
            assert_eq!(unpack(bad), None, "{bad}");
        }
    }
}
