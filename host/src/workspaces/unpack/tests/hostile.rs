//! Archives that want out.

use super::handmade::Handmade;
use super::*;

/// One archive that is refused, and what the error has to say.
#[track_caller]
fn check(archive: Handmade, parts: &[&str]) {
    contains(&refused(&archive.end()[..], Limits::default()), parts);
}

fn tar() -> Handmade {
    Handmade::default().file("before", "x")
}

#[test]
fn a_path_that_leads_out_is_refused() {
    check(
        tar().file("../sentinel", "evil"),
        &["`../sentinel`", "`..`"],
    );
    check(tar().file("a/../../sentinel", "evil"), &["`..`"]);
    check(tar().folder("../beside/new"), &["`..`"]);
    check(tar().link("../beside/link", "x"), &["`..`"]);
    check(tar().file("..", "evil"), &["`..`"]);
    check(
        tar().file("/tmp/evil", "evil"),
        &["`/tmp/evil`", "absolute"],
    );
    check(tar().folder("/"), &["absolute"]);
    check(tar().file("", "evil"), &["empty"]);
    check(tar().file(".", "evil"), &["taken"]);
    check(tar().link("./", "a"), &["taken"]);
}

#[test]
fn a_path_that_leads_out_is_refused_wherever_it_stands() {
    let long = |kind, text: &[u8]| tar().member(kind, b"././@LongLink", b"", 0o644, text);
    check(long(b'L', b"../sentinel\0").file("a", "evil"), &["`..`"]);
    check(long(b'L', b"/tmp/evil").file("a", "evil"), &["absolute"]);
    check(long(b'L', b"a\0b\0").file("a", "evil"), &["NUL"]);
    check(long(b'L', b"\0").file("a", "evil"), &["empty"]);
    check(long(b'K', b"../sentinel\0").link("a", "b"), &["points out"]);
    let pax = |record: &[u8]| tar().pax(record);
    check(pax(b"20 path=../sentinel\n").file("a", "evil"), &["`..`"]);
    check(pax(b"9 path=/\n").file("a", "evil"), &["absolute"]);
    check(pax(b"12 path=a\0b\n").file("a", "evil"), &["NUL"]);
    check(pax(b"8 path=\n").file("a", "evil"), &["empty"]);
    check(pax(b"15 linkpath=..\n").link("a", "b"), &["points out"]);
    let mut header = tar::Header::new_ustar();
    let ustar = header.as_ustar_mut().unwrap();
    handmade::put(&mut ustar.prefix, b"..");
    handmade::put(&mut ustar.name, b"sentinel");
    header.set_mode(0o644);
    header.set_size(0);
    header.as_old_mut().linkflag = [b'0'];
    check(tar().header(header, b""), &["`../sentinel`", "`..`"]);
}

#[test]
fn a_link_that_points_out_is_refused() {
    check(tar().link("l", "/etc/passwd"), &["`l`", "absolute"]);
    check(tar().link("l", ".."), &["points out"]);
    check(tar().link("l", "../sentinel"), &["points out"]);
    check(tar().link("a/l", "../../sentinel"), &["points out"]);
    check(tar().link("l", ""), &["points to nothing"]);
}

/// By the text the second link stays inside; through the first one it would not.
#[test]
fn a_link_that_points_out_through_another_is_refused() {
    let archive = tar()
        .folder("a/b/c")
        .link("a/b/c/up", "../..")
        .link("a/b/c/evil", "up/../../sentinel");
    check(archive, &["`a/b/c/evil`", "`..`"]);
    // In the other order, too.
    let archive = tar()
        .link("a/b/c/evil", "up/../../sentinel")
        .link("a/b/c/up", "../..");
    check(archive, &["`a/b/c/evil`"]);
}

#[test]
fn nothing_is_written_through_a_link() {
    let inside = || tar().folder("real").link("l", "real");
    check(inside().file("l/x", "evil"), &["`l/x`", "through a link"]);
    check(inside().folder("l/x"), &["through a link"]);
    check(inside().link("l/x", "y"), &["through a link"]);
    check(inside().file("l/y/z", "evil"), &["through a link"]);
    check(inside().file("l", "evil"), &["`l`", "taken"]);
    check(inside().folder("l"), &["`l`", "taken"]);
    check(inside().folder("l/"), &["`l`", "taken"]);
    // Between two files of one folder, so that its descriptor is at hand.
    let archive = inside().file("real/a", "x").file("l/b", "evil");
    check(archive, &["`l/b`", "through a link"]);
    let archive = tar().link("d", "not/there").file("d", "evil");
    check(archive, &["taken"]);
    check(tar().link("d", "e").link("d", "f"), &["`d`", "taken"]);
}

#[test]
fn a_path_is_taken_once() {
    check(tar().file("a", "1").file("a", "2"), &["`a`", "taken"]);
    check(tar().file("a", "1").file("./a", "2"), &["`a`", "taken"]);
    check(tar().file("a", "1").folder("a"), &["`a`", "taken"]);
    check(tar().folder("a").file("a", "1"), &["`a`", "taken"]);
    check(tar().file("a/b", "1").file("a", "1"), &["`a`", "taken"]);
    check(
        tar().file("a", "1").file("a/b", "1"),
        &["`a/b`", "or a file"],
    );
    check(tar().file("a", "1").link("a", "b"), &["`a`", "taken"]);
}

#[test]
fn what_is_no_file_folder_or_link_is_refused() {
    let member = |kind, target: &[u8]| tar().member(kind, b"m", target, 0o644, b"");
    check(member(b'1', b"/etc/passwd"), &["`m`", "a hard link"]);
    check(member(b'1', b"before"), &["`m`", "a hard link"]);
    check(member(b'3', b""), &["`m`", "a device"]);
    check(member(b'4', b""), &["`m`", "a device"]);
    check(member(b'6', b""), &["`m`", "a FIFO"]);
    check(member(b'7', b""), &["`m`", "a contiguous file"]);
    check(member(b'S', b""), &["`m`", "a sparse file"]);
    check(member(b'V', b""), &["`m`", "type `V`"]);
    check(member(0xff, b""), &["`m`", "type `\\xff`"]);
}

#[test]
fn headers_that_disagree_are_refused() {
    let long = |kind| tar().member(kind, b"././@LongLink", b"", 0o644, b"a\0");
    let again = |tar: Handmade, kind| tar.member(kind, b"././@LongLink", b"", 0o644, b"b\0");
    check(
        again(long(b'L'), b'L').file("c", ""),
        &["header", "damaged"],
    );
    check(
        again(long(b'K'), b'K').link("c", "d"),
        &["header", "damaged"],
    );
    check(
        long(b'L').pax(b"9 path=b\n").file("c", ""),
        &["path", "disagree"],
    );
    check(
        long(b'K').pax(b"14 linkpath=b\n").link("c", "d"),
        &["target", "disagree"],
    );
    let twice = tar().pax(b"9 path=a\n").pax(b"9 path=b\n");
    check(twice.file("c", ""), &["header", "damaged"]);
    check(
        tar().pax(b"9 size=2\n").file("c", "x"),
        &["size", "disagree"],
    );
    check(
        tar().pax(b"nonsense").file("c", "x"),
        &["header", "damaged"],
    );
    let sparse = tar().pax(b"22 GNU.sparse.major=1\n");
    check(sparse.file("c", "x"), &["`c`", "sparse"]);
    check(tar().pax(b"9 path=a\n"), &["header", "damaged"]);
    let global = tar().member(b'g', b"g", b"", 0o644, b"9 path=a\n");
    check(global.file("c", "x"), &["`path`", "for all"]);
    let folder = tar().member(b'5', b"d", b"", 0o755, b"content");
    check(folder, &["`d`", "7 bytes"]);
    let link = tar().member(b'2', b"l", b"d", 0o755, b"content");
    check(link, &["`l`", "7 bytes"]);
    check(tar().file("d/", "x"), &["`d/`", "ends in `/`"]);
}

#[test]
fn a_folder_that_is_not_fresh_is_left_alone() {
    let archive = tar().end();
    let parent = tempfile::tempdir().unwrap();
    let full = parent.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "x").unwrap();
    let error = unpack(&archive[..], &full).unwrap_err();
    assert!(matches!(error, UnpackError::NotEmpty(_)), "{error}");
    assert_eq!(listing(&full).len(), 1);
    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&empty, &link).unwrap();
    let error = unpack(&archive[..], &link).unwrap_err();
    assert!(matches!(error, UnpackError::Io { .. }), "{error}");
    assert_eq!(listing(&empty).len(), 0);
    // One that was there stays, empty, where the archive is refused.
    unpack(&tar().file("..", "x").end()[..], &empty).unwrap_err();
    assert_eq!(listing(&empty).len(), 0);
    unpack(&archive[..], &empty).unwrap();
    assert_eq!(listing(&empty).len(), 1);
    let error = unpack(&archive[..], &parent.path().join("none/in")).unwrap_err();
    contains(&chain(&error), &["cannot make", "none/in"]);
}
