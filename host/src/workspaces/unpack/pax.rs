//! Headers of PAX: what they say about the member that follows.
//!
//! Owns which of it counts: path, target and size. Times, owners, character sets and extended attributes are passed
//! over, sparse files refused.

use super::fault::Fault;

/// What a header of PAX says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) is_sparse: bool,
}

/// A header that is not made of `length key=value` lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPax;

impl Pax {
    /// Reads the content of a header.
    pub(super) fn read(content: &[u8]) -> Result<Self, NoPax> {
        let mut pax = Pax::default();
        for record in Records(content) {
            let (key, value) = record?;
            match key {
                b"path" => pax.path = Some(value.to_owned()),
                b"linkpath" => pax.target = Some(value.to_owned()),
                b"size" => pax.size = Some(number(value).ok_or(NoPax)?),
                _ if key.starts_with(b"GNU.sparse.") => pax.is_sparse = true,
                _ => {}
            }
        }
        Ok(pax)
    }

    /// Whether a member of that size can be what this says.
    pub(super) fn check(&self, size: u64) -> Result<(), Fault> {
        if self.is_sparse {
            return Err(Fault::Kind("a sparse file"));
        }
        match self.size {
            Some(said) if said != size => Err(Fault::Disagree("size")),
            Some(_) | None => Ok(()),
        }
    }
}

/// The key of a header for all that follows that would change what these are.
pub(super) fn global(content: &[u8]) -> Result<Option<&[u8]>, NoPax> {
    for record in Records(content) {
        let (key, _) = record?;
        let is_harmful = [&b"path"[..], b"linkpath", b"size"].contains(&key);
        if is_harmful || key.starts_with(b"GNU.sparse.") {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// What is left of a header's content.
struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// A record's length counts all of it: its own digits, the blank and the line end.
    fn record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.0.iter().position(|byte| *byte == b' ')?;
        let length = usize::try_from(number(self.0.get(..blank)?)?).ok()?;
        let (record, rest) = self.0.split_at_checked(length)?;
        let text = record.get(blank + 1..)?.strip_suffix(b"\n")?;
        let equals = text.iter().position(|byte| *byte == b'=')?;
        self.0 = rest;
        Some((text.get(..equals)?, text.get(equals + 1..)?))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), NoPax>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_none() {
            self.0 = b"";
        }
        Some(record.ok_or(NoPax))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_path_target_and_size() {
        let content = b"14 path=a\nb/c\n14 linkpath=d\n9 size=7\n19 mtime=1.5 = odd\n";
        let pax = Pax::read(content).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb/c"[..]));
        assert_eq!(pax.target.as_deref(), Some(&b"d"[..]));
        assert_eq!((pax.size, pax.is_sparse), (Some(7), false));
        assert_eq!(pax.check(7), Ok(()));
        assert_eq!(pax.check(8), Err(Fault::Disagree("size")));
        assert_eq!(Pax::read(b"").unwrap(), Pax::default());
    }

    #[test]
    fn a_sparse_file_is_told() {
        let pax = Pax::read(b"22 GNU.sparse.major=1\n").unwrap();
        assert_eq!(pax.check(0), Err(Fault::Kind("a sparse file")));
    }

    #[test]
    fn odd_records_are_damage() {
        for content in [
            &b"x"[..],
            b"10 path=a",
            b"99 path=a\n",
            b"9 path=ab\n",
            b"0 path=a\n",
            b"1 path=a\n",
            b"2 \n",
            b"+9 path=a\n",
            b"-1 path=a\n",
            b" path=a\n",
            b"8 patha\n",
            b"11 size=x7\n",
            b"99999999999999999999 path=a\n",
            b"18446744073709551615 path=a\n",
        ] {
            assert_eq!(Pax::read(content), Err(NoPax), "{}", content.escape_ascii());
        }
    }

    #[test]
    fn a_header_for_all_may_only_remark() {
        assert_eq!(global(b"13 comment=x\n"), Ok(None));
        assert_eq!(global(b"13 comment=x\n9 path=a\n"), Ok(Some(&b"path"[..])));
        assert_eq!(global(b"9 size=1\n"), Ok(Some(&b"size"[..])));
        assert_eq!(global(b"7 a=\n"), Err(NoPax));
    }
}
