//! Names in a workspace, and where its links may point.
//!
//! Owns the two rules that keep a workspace to itself; both go by the text alone and hold for packing and unpacking.
//! A path has neither `..` nor a start. A link's target climbs only before it names anything, and no higher than the
//! workspace. So it does not matter what the names in a target are: a link among them starts from a folder in the
//! workspace, and the same rule keeps it there. With a `..` after a name that would not hold: behind a link, one
//! `..` leads somewhere else than the text says.

use super::limits::{Exceeded, Limits};

/// No file system here takes a longer name.
const NAME_BYTES_MAX: usize = 255;

/// A path within a workspace: names with one `/` between them. Of the workspace itself it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside(Vec<u8>);

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It has no bytes.
    #[error("its path is empty")]
    Empty,
    /// It starts at the root of the file system.
    #[error("its path is absolute")]
    Absolute,
    /// It goes up.
    #[error("its path has `..` in it")]
    Upwards,
    /// No file system takes the name.
    #[error("its path has a NUL byte in it")]
    Nul,
    /// No file system takes the name.
    #[error("a name in its path has more than {NAME_BYTES_MAX} bytes")]
    LongName,
    /// It goes over a limit.
    #[error("its path goes over {0}")]
    Limit(Exceeded),
}

/// What is wrong with where a link points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// It has no bytes.
    #[error("it points to nothing")]
    Empty,
    /// It starts at the root of the file system.
    #[error("it points to an absolute path")]
    Absolute,
    /// It climbs higher than the workspace.
    #[error("it points out of the folder")]
    Outside,
    /// Where it leads cannot be told from the text.
    #[error("it points through a name and then up by `..`")]
    Crooked,
    /// No file system takes it.
    #[error("what it points to has a NUL byte in it")]
    Nul,
    /// It goes over a limit.
    #[error("what it points to goes over {0}")]
    Limit(Exceeded),
}

impl Inside {
    /// Reads a path. What says nothing, such as `./` or a `/` at the end, is left out.
    pub(super) fn read(path: &[u8], limits: &Limits) -> Result<Self, PathFault> {
        if path.is_empty() {
            return Err(PathFault::Empty);
        }
        if path.starts_with(b"/") {
            return Err(PathFault::Absolute);
        }
        if path.contains(&0) {
            return Err(PathFault::Nul);
        }
        if path.len() > limits.path_bytes {
            return Err(PathFault::Limit(Exceeded::PathBytes(limits.path_bytes)));
        }
        let names: Vec<&[u8]> = names(path).collect();
        if names.contains(&&b".."[..]) {
            return Err(PathFault::Upwards);
        }
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(PathFault::LongName);
        }
        if names.len() > limits.depth {
            return Err(PathFault::Limit(Exceeded::Depth(limits.depth)));
        }
        Ok(Inside(names.join(&b'/')))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of the folder that it is in, and its name there. The workspace itself is in none.
    pub(super) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        let slash = self.0.iter().rposition(|byte| *byte == b'/');
        match slash.and_then(|at| self.0.split_at_checked(at)) {
            Some((folder, rest)) => Some((folder, rest.strip_prefix(b"/").unwrap_or(rest))),
            None => Some((b"", &self.0)),
        }
    }

    /// Whether a link of this path may point there.
    pub(super) fn may_point_to(&self, target: &[u8], limits: &Limits) -> Result<(), TargetFault> {
        if target.is_empty() {
            return Err(TargetFault::Empty);
        }
        if target.starts_with(b"/") {
            return Err(TargetFault::Absolute);
        }
        if target.contains(&0) {
            return Err(TargetFault::Nul);
        }
        // One byte less than a path: the system's own limit counts a NUL.
        if target.len() >= limits.path_bytes {
            return Err(TargetFault::Limit(Exceeded::PathBytes(limits.path_bytes)));
        }
        let mut above = names(&self.0).count().saturating_sub(1);
        let mut is_named = false;
        for name in names(target) {
            if name != b".." {
                is_named = true;
            } else if is_named {
                return Err(TargetFault::Crooked);
            } else {
                above = above.checked_sub(1).ok_or(TargetFault::Outside)?;
            }
        }
        Ok(())
    }
}

/// The names in a path that say something.
pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

/// A path as people read it: what is no UTF-8 replaced, control characters spelt out.
pub(super) fn shown(path: &[u8]) -> String {
    let spelt = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    String::from_utf8_lossy(path).chars().map(spelt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &[u8]) -> Result<Vec<u8>, PathFault> {
        let limits = Limits {
            path_bytes: 600,
            depth: 4,
            ..Limits::default()
        };
        Inside::read(path, &limits).map(|path| path.0)
    }

    #[test]
    fn a_path_is_names_and_nothing_else() {
        for (path, is) in [
            (&b"a"[..], &b"a"[..]),
            (b"./a//b/./c/", b"a/b/c"),
            (b".", b""),
            (b"./", b""),
            (b"a/...", b"a/..."),
            (b"\xff/\n", b"\xff/\n"),
        ] {
            assert_eq!(read(path).as_deref(), Ok(is), "{}", shown(path));
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for (path, fault) in [
            (&b""[..], PathFault::Empty),
            (b"/", PathFault::Absolute),
            (b"/etc/passwd", PathFault::Absolute),
            (b"//a", PathFault::Absolute),
            (b"..", PathFault::Upwards),
            (b"a/../..", PathFault::Upwards),
            (b"./../a", PathFault::Upwards),
            (b"a/..", PathFault::Upwards),
            (b"a\0b", PathFault::Nul),
            (&[b'n'; 256], PathFault::LongName),
            (b"a/b/c/d/e", PathFault::Limit(Exceeded::Depth(4))),
            (&[b'/'; 1], PathFault::Absolute),
            (
                &b"n/".repeat(301),
                PathFault::Limit(Exceeded::PathBytes(600)),
            ),
        ] {
            assert_eq!(read(path), Err(fault), "{}", shown(path));
        }
    }

    #[test]
    fn a_path_is_split_at_its_name() {
        let split = |path: &[u8]| {
            let path = Inside::read(path, &Limits::default()).unwrap();
            path.split()
                .map(|(folder, name)| [folder, name].join(&b'|'))
        };
        assert_eq!(split(b"a/b/c").unwrap(), b"a/b|c");
        assert_eq!(split(b"a").unwrap(), b"|a");
        assert_eq!(split(b"."), None);
    }

    #[test]
    fn a_link_climbs_first_and_no_higher_than_the_workspace() {
        let limits = Limits::default();
        let point = |link: &[u8], target: &[u8]| {
            let link = Inside::read(link, &limits).unwrap();
            link.may_point_to(target, &limits)
        };
        for (link, target) in [
            (&b"l"[..], &b"a"[..]),
            (b"l", b"a/b/"),
            (b"l", b"."),
            (b"a/b/l", b"../../c/d"),
            (b"a/l", b".././c"),
            (b"a/l", b".."),
            (b"l", b"..."),
        ] {
            assert_eq!(point(link, target), Ok(()), "{}", shown(target));
        }
        for (link, target, fault) in [
            (&b"l"[..], &b""[..], TargetFault::Empty),
            (b"l", b"/etc", TargetFault::Absolute),
            (b"l", b"..", TargetFault::Outside),
            (b"l", b"./../a", TargetFault::Outside),
            (b"a/b/l", b"../../..", TargetFault::Outside),
            (b"l", b"a/..", TargetFault::Crooked),
            (b"a/b/c/evil", b"up/../..", TargetFault::Crooked),
            (b"l", b"a\0", TargetFault::Nul),
            (
                b"l",
                &[b'n'; 4_096],
                TargetFault::Limit(Exceeded::PathBytes(4_096)),
            ),
        ] {
            assert_eq!(point(link, target), Err(fault), "{}", shown(target));
        }
    }

    #[test]
    fn a_name_does_nothing_to_a_terminal() {
        assert_eq!(shown(b"a\x1b[31m\n\xff"), "a\\u{1b}[31m\\n\u{fffd}");
    }
}
