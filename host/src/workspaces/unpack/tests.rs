//! Archives that nobody packs, and what becomes of them. In every case the folder beside is looked at: nothing of it
//! may change, and of an archive that is refused nothing may stay.

mod bombs;
mod damage;
mod handmade;
mod hostile;
mod kinds;

use super::*;
use crate::text::chain;
use crate::workspaces::tests::listing;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder where an archive is unpacked, beside things that are none of its business.
struct Place {
    parent: TempDir,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("sentinel"), "untouched").unwrap();
        fs::create_dir(parent.path().join("beside")).unwrap();
        Place { parent }
    }

    fn folder(&self) -> PathBuf {
        self.parent.path().join("in")
    }

    fn unpack(&self, archive: impl Read, limits: Limits) -> Result<Unpacked, UnpackError> {
        let unpacked = unpack_within(archive, &self.folder(), limits);
        match &unpacked {
            Ok(_) => self.check_inside(),
            Err(_) => assert!(!self.folder().exists(), "something stays"),
        }
        self.check_outside();
        unpacked
    }

    /// Ready for the next archive.
    fn clear(&self) {
        if self.folder().exists() {
            fs::remove_dir_all(self.folder()).unwrap();
        }
    }

    fn check_outside(&self) {
        let mut names: Vec<_> = fs::read_dir(self.parent.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "in")
            .collect();
        names.sort();
        assert_eq!(names, ["beside", "sentinel"]);
        let sentinel = fs::read_to_string(self.parent.path().join("sentinel"));
        assert_eq!(sentinel.unwrap(), "untouched");
        let mut beside = fs::read_dir(self.parent.path().join("beside")).unwrap();
        assert!(beside.next().is_none());
    }

    /// Modes are the three that there are, and no link leads out: as the kernel sees it.
    fn check_inside(&self) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(self.folder(), flags, Mode::empty()).unwrap();
        for (path, is) in listing(&self.folder()) {
            let is_tame = ["0644 ", "0755 ", "0755/", "-> "].iter();
            assert!(is_tame.clone().any(|start| is.starts_with(start)), "{is}");
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let beneath = ResolveFlags::BENEATH;
            let open = || rustix::fs::openat2(&root, &path[..], flags, Mode::empty(), beneath);
            // The kernel asks to try again where something is renamed anywhere meanwhile.
            let tries = std::iter::repeat_with(open);
            let mut opened = tries.skip_while(|opened| matches!(opened, Err(Errno::AGAIN)));
            match opened.next().unwrap() {
                Ok(_) | Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
                Err(error) => panic!("{} {is}: {error}", path.escape_ascii()),
            }
        }
    }
}

/// Unpacks a whole archive, and says what came out of it.
#[track_caller]
fn unpacked(archive: &[u8]) -> Vec<(String, String)> {
    let place = Place::new();
    if let Err(error) = place.unpack(archive, Limits::default()) {
        panic!("{}", chain(&error));
    }
    let all = listing(&place.folder()).into_iter();
    all.map(|(path, is)| (path.escape_ascii().to_string(), is))
        .collect()
}

/// Unpacks an archive that is refused, and says why.
#[track_caller]
fn refused(archive: impl Read, limits: Limits) -> String {
    let place = Place::new();
    chain(&place.unpack(archive, limits).unwrap_err())
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
