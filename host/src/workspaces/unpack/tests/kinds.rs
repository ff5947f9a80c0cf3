//! Archives of other programs, which are as good as our own.

use super::handmade::{self, Handmade};
use super::*;

#[track_caller]
fn check(archive: Handmade, expected: &[(&str, &str)]) {
    let out = unpacked(&archive.end());
    let out: Vec<(&str, &str)> = out.iter().map(|(path, is)| (&**path, &**is)).collect();
    assert_eq!(out, expected);
}

fn tar() -> Handmade {
    Handmade::default()
}

#[test]
fn folders_may_be_named_never_or_twice() {
    let all = [("a", "0755/"), ("a/b", "0755/"), ("a/b/c", "0644 x")];
    check(tar().file("a/b/c", "x"), &all);
    let twice = tar().folder("./").folder("a").folder("a/b/");
    check(twice.file("a/b/c", "x").folder("a"), &all);
    check(tar(), &[]);
}

#[test]
fn a_folder_is_not_another_whose_name_starts_like_it() {
    let archive = tar().file("a/x", "1").file("ab/y", "2");
    let all = [
        ("a", "0755/"),
        ("a/x", "0644 1"),
        ("ab", "0755/"),
        ("ab/y", "0644 2"),
    ];
    check(archive, &all);
}

#[test]
fn modes_are_three() {
    let file = |mode| tar().member(b'0', b"f", b"", mode, b"x");
    for (mode, is) in [
        (0, "0644 x"),
        (0o7777, "0755 x"),
        (0o4644, "0644 x"),
        (0o2755, "0755 x"),
        (0o666, "0644 x"),
        (0o100, "0755 x"),
        (0o011, "0644 x"),
    ] {
        check(file(mode), &[("f", is)]);
    }
    for mode in [0, 0o1777, 0o2755] {
        check(tar().member(b'5', b"d", b"", mode, b""), &[("d", "0755/")]);
    }
}

#[test]
fn long_names_come_in_two_ways() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let is = [
        ("d".repeat(200), "0755/".to_owned()),
        (long.clone(), "0644 x".to_owned()),
    ];
    let gnu = tar().member(
        b'L',
        b"././@LongLink",
        b"",
        0o644,
        format!("{long}\0").as_bytes(),
    );
    assert_eq!(unpacked(&gnu.file("cut", "x").end()), is);
    let record = format!("466 path={long}\n");
    assert_eq!(record.len(), 466);
    let pax = tar().pax(record.as_bytes());
    assert_eq!(unpacked(&pax.file("cut", "x").end()), is);
    let target = "t/".repeat(100);
    let gnu = tar().member(
        b'K',
        b"././@LongLink",
        b"",
        0o644,
        format!("{target}\0").as_bytes(),
    );
    check(gnu.link("l", "cut"), &[("l", &format!("-> {target}"))]);
}

#[test]
fn what_git_and_others_say_beside_is_passed_over() {
    let global = tar().member(b'g', b"pax_global_header", b"", 0o644, b"13 comment=x\n");
    let pax = global.pax(b"13 mtime=1.5\n21 hdrcharset=BINARY\n");
    check(pax.file("a", "x"), &[("a", "0644 x")]);
    let pax = tar().pax(b"28 SCHILY.xattr.user.x=evil\n9 size=1\n");
    check(pax.file("a", "x"), &[("a", "0644 x")]);
    let mut old = tar::Header::new_old();
    handmade::put(&mut old.as_old_mut().name, b"v7");
    old.set_mode(0o644);
    old.set_size(1);
    check(tar().header(old, b"x"), &[("v7", "0644 x")]);
    let mut ustar = tar::Header::new_ustar();
    ustar.set_path(format!("{}/name", "p".repeat(120))).unwrap();
    ustar.set_mode(0o644);
    ustar.set_size(0);
    let long = "p".repeat(120);
    check(
        tar().header(ustar, b""),
        &[(&long, "0755/"), (&format!("{long}/name"), "0644 ")],
    );
}

#[test]
fn names_are_bytes() {
    let archive = tar().member(b'0', b"\xff\n\x1b", b"", 0o644, b"x").end();
    let place = Place::new();
    place.unpack(&archive[..], Limits::default()).unwrap();
    assert!(place.folder().join(name(b"\xff\n\x1b")).exists());
}

#[test]
fn links_that_stay_inside_are_made() {
    let archive = tar()
        .link("dangling", "not/there")
        .link("a/up", "../b")
        .link("round", "round")
        .link("top", ".")
        .link("a/top", "..");
    check(
        archive,
        &[
            ("a", "0755/"),
            ("a/top", "-> .."),
            ("a/up", "-> ../b"),
            ("dangling", "-> not/there"),
            ("round", "-> round"),
            ("top", "-> ."),
        ],
    );
}
