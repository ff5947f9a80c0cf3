//! What is packed, what is not, and that it is always the same.

use super::*;
use crate::text::chain;
use crate::workspaces::tests::listing;
use crate::workspaces::unpack;
use flate2::read::GzDecoder;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn packed(folder: &Path) -> (Packed, Vec<u8>) {
    let mut bytes = Vec::new();
    let packed = pack(folder, &mut bytes).unwrap();
    assert_eq!(packed.digest, Digest::of(&bytes));
    assert_eq!(packed.bytes, bytes.len() as u64);
    (packed, bytes)
}

/// The paths in a folder's archive, as somebody else reads them.
fn paths(folder: &Path) -> Vec<String> {
    let (packed, bytes) = packed(folder);
    let mut archive = tar::Archive::new(GzDecoder::new(&bytes[..]));
    let paths: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
        .collect();
    assert_eq!(packed.entries, paths.len() as u64);
    paths
}

#[track_caller]
fn refused(folder: &Path, limits: Limits) -> String {
    chain(&pack_within(folder, io::sink(), limits).unwrap_err())
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let one = folder(&[("b/x", "1"), ("a", "2"), ("b.d", "3"), ("b/a/y", "4")]);
    let other = folder(&[("b/a/y", "4"), ("b.d", "3"), ("a", "2"), ("b/x", "1")]);
    for path in ["a", "b/x", "b"] {
        let file = File::open(other.path().join(path)).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(1_000);
        file.set_modified(time).unwrap();
    }
    let mode = |path: &str, mode| {
        fs::set_permissions(other.path().join(path), Permissions::from_mode(mode)).unwrap();
    };
    mode("a", 0o4600);
    mode("b/x", 0o666);
    mode("b", 0o700);
    assert_eq!(packed(one.path()), packed(other.path()));
    assert_eq!(paths(one.path()), ["a", "b", "b/a", "b/a/y", "b/x", "b.d"]);
    mode("a", 0o700);
    assert_ne!(packed(one.path()).0, packed(other.path()).0);
}

#[test]
fn an_archive_says_nothing_of_who_packed_it_and_when() {
    let folder = folder(&[("a", "1"), ("b/c", "2")]);
    let (_, bytes) = packed(folder.path());
    assert_eq!(bytes[4..8], [0; 4], "gzip's time");
    let mut archive = tar::Archive::new(GzDecoder::new(&bytes[..]));
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let numbers = (header.mtime(), header.uid(), header.gid());
        assert!(matches!(numbers, (Ok(0), Ok(0), Ok(0))), "{numbers:?}");
        assert_eq!(header.username_bytes(), Some(&b""[..]));
        assert_eq!(header.groupname_bytes(), Some(&b""[..]));
    }
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    use std::ffi::OsStr;
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let folder = folder(&[
        ("plain", "text"),
        ("bin/run", "#!"),
        (&long, "long"),
        ("empty", ""),
    ]);
    let at = |path: &str| folder.path().join(path);
    fs::set_permissions(at("bin/run"), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(at("nothing/in")).unwrap();
    let name = OsStr::from_bytes(b"\xff\xfe\n name");
    fs::write(folder.path().join(name), [0, 1, 2]).unwrap();
    fs::write(at(&"n".repeat(100)), "100 bytes of name").unwrap();
    fs::write(at("block"), "b".repeat(512)).unwrap();
    fs::write(at("large"), "l".repeat(200_000)).unwrap();
    fs::hard_link(at("plain"), at("hard")).unwrap();
    symlink("bin/run", at("link")).unwrap();
    symlink("../plain", at("bin/up")).unwrap();
    symlink("not/there", at("dangling")).unwrap();
    symlink(&long, at("link-to-long")).unwrap();
    let (packed, bytes) = packed(folder.path());
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let unpacked = unpack(&bytes[..], &out).unwrap();
    assert_eq!(unpacked.entries, packed.entries);
    assert_eq!(listing(&out), listing(folder.path()));
    assert!(listing(&out)[&b"bin/run"[..]].starts_with("0755 "));
    // And again from there.
    assert_eq!(self::packed(&out), (packed, bytes));
}

#[test]
fn ignore_files_count_and_beltignore_is_stronger() {
    let folder = folder(&[
        (".gitignore", "target/\n*.log\nkept.bin\n/only-top\n"),
        (
            ".beltignore",
            "!kept.bin\nsecret\n!target/\ntarget/*\n!target/app.wasm\n",
        ),
        ("target/app.wasm", ""),
        ("target/other", ""),
        ("kept.bin", ""),
        ("secret", ""),
        ("only-top", ""),
        ("a.log", ""),
        (".hidden/x", ""),
        ("sub/.gitignore", "!keep.log\nb\n"),
        ("sub/keep.log", ""),
        ("sub/a.log", ""),
        ("sub/b", ""),
        ("sub/only-top", ""),
        ("sub/deep/secret", ""),
    ]);
    let expected = [
        ".beltignore",
        ".gitignore",
        ".hidden",
        ".hidden/x",
        "kept.bin",
        "sub",
        "sub/.gitignore",
        "sub/deep",
        "sub/keep.log",
        "sub/only-top",
        "target",
        "target/app.wasm",
    ];
    assert_eq!(paths(folder.path()), expected);
}

#[test]
fn only_ignore_files_in_the_folder_count() {
    let parent = folder(&[
        (".gitignore", "a\n"),
        (".beltignore", "a\n"),
        ("work/.git/info/exclude", "b\n"),
        ("work/.ignore", "c\n"),
        ("work/.rgignore", "c\n"),
        ("work/a", ""),
        ("work/b", ""),
        ("work/c", ""),
        ("work/sub/.git", "gitdir: elsewhere"),
        ("work/sub/d", ""),
    ]);
    fs::create_dir(parent.path().join(".git")).unwrap();
    assert_eq!(
        paths(&parent.path().join("work")),
        [".ignore", ".rgignore", "a", "b", "c", "sub", "sub/d"]
    );
}

#[test]
fn state_folders_stay_out_whatever_is_said() {
    let folder = folder(&[
        (".beltignore", "!.belt\n!.git\n"),
        (".belt/store/log", ""),
        ("sub/.belt/store/log", ""),
        ("file/.belt", ""),
        (".git/HEAD", ""),
    ]);
    assert_eq!(
        paths(folder.path()),
        [".beltignore", "file", "file/.belt", "sub"]
    );
}

#[test]
fn an_ignore_file_with_a_wrong_line_is_an_error() {
    let folder = folder(&[("a/.beltignore", "[z-a]\n"), ("a/b", "")]);
    let text = refused(folder.path(), Limits::default());
    contains(&text, &["ignore file", "a/.beltignore", "line 1"]);
}

#[test]
fn a_link_that_leads_out_is_named() {
    for (target, says) in [
        ("/etc/passwd", "absolute"),
        ("../out", "out of the folder"),
        ("x/../y", "`..`"),
    ] {
        let folder = folder(&[("a", "")]);
        symlink(target, folder.path().join("link")).unwrap();
        let text = refused(folder.path(), Limits::default());
        contains(&text, &["`link`", target, says, BELTIGNORE]);
        fs::write(folder.path().join(BELTIGNORE), "link\n").unwrap();
        assert_eq!(paths(folder.path()), [BELTIGNORE, "a"]);
    }
}

#[test]
fn what_is_no_file_is_named() {
    let folder = folder(&[]);
    let fifo = folder.path().join("fifo");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        Mode::RUSR,
        0,
    );
    made.unwrap();
    let text = refused(folder.path(), Limits::default());
    contains(&text, &["`fifo` is a FIFO", BELTIGNORE]);
    fs::remove_file(fifo).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    contains(
        &refused(folder.path(), Limits::default()),
        &["`socket` is a socket"],
    );
    let text = refused(Path::new("/dev/null"), Limits::default());
    contains(&text, &["cannot open the folder `/dev/null`"]);
    contains(
        &refused(&folder.path().join("none"), Limits::default()),
        &["none`"],
    );
}

#[test]
fn a_limit_is_named_with_its_value() {
    let limits = Limits {
        bytes: 4,
        gzip_bytes: 2_000,
        entries: 3,
        path_bytes: 20,
        depth: 3,
    };
    let check = |files: &[(&str, &str)], parts: &[&str]| {
        let folder = folder(files);
        contains(&refused(folder.path(), limits), parts);
    };
    let fits = folder(&[("a", "1234"), ("b/c", "")]);
    pack_within(fits.path(), io::sink(), limits).unwrap();
    check(
        &[("a", "12"), ("b", "345")],
        &["`b`", "ARCHIVE_BYTES_MAX, 4"],
    );
    check(
        &[("a", ""), ("b", ""), ("c", ""), ("d", "")],
        &["`d`", "ARCHIVE_ENTRIES_MAX, 3"],
    );
    check(&[("n/n/n/n", "")], &["ARCHIVE_DEPTH_MAX, 3", "`n/n/n/n`"]);
    check(
        &[("123456789012345678901", "")],
        &["ARCHIVE_PATH_BYTES_MAX, 20", BELTIGNORE],
    );
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 64)
    };
    let noise: String = (0..100_000).map(|_| noise()).collect();
    let folder = folder(&[("noise", &noise)]);
    let limits = Limits {
        bytes: 1 << 20,
        ..limits
    };
    let mut out = Vec::new();
    let error = pack_within(folder.path(), &mut out, limits).unwrap_err();
    contains(&chain(&error), &["`noise`", "ARCHIVE_GZIP_BYTES_MAX, 2000"]);
    assert!(out.len() < 100_000, "{}", out.len());
}

/// Takes an archive, and changes the size of a file once.
struct Meddler {
    file: File,
    size: Option<u64>,
}

impl Write for Meddler {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(size) = self.size.take() {
            self.file.set_len(size)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_packed_is_named() {
    const SIZE: u64 = 50 << 20;
    for size in [SIZE, 1 << 20, SIZE + 1] {
        let folder = folder(&[("moving", "")]);
        let file = File::options()
            .write(true)
            .open(folder.path().join("moving"))
            .unwrap();
        file.set_len(SIZE).unwrap();
        let out = Meddler {
            file,
            size: Some(size),
        };
        let packed = pack(folder.path(), out);
        match size {
            SIZE => assert_eq!(packed.unwrap().entries, 1),
            _ => contains(
                &packed.unwrap_err().to_string(),
                &["`moving` changed", &SIZE.to_string()],
            ),
        }
    }
}

#[test]
fn a_taker_that_fails_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = folder(&[("a", "")]);
    let error = pack(folder.path(), Full).unwrap_err();
    assert_eq!(chain(&error), "cannot write the archive: the disk is full");
}
