//! Workspaces over HTTP: what is sent is kept under its own digest, and becomes a folder that nothing in it leads out of.

use crate::belt::Bench;
use crate::http::Answer;
use crate::up::{Up, id, order};
use beltline::digest::Digest;
use beltline::workspaces::{ARCHIVE_GZIP_BYTES_MAX, pack};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use tar::{EntryType, Header};

const GZIP: [(&str, &str); 1] = [("content-type", "application/gzip")];

fn path(digest: Digest) -> String {
    format!("/workspaces/{digest}")
}

fn put(up: &Up, archive: &[u8]) -> Digest {
    let digest = Digest::of(archive);
    up.ask("PUT", &path(digest), &GZIP, archive).is(201);
    digest
}

/// What lies in a folder of the state, by name.
fn names(bench: &Bench, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.path("state").join(folder));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// An archive of a folder with one file.
fn archive(bench: &Bench) -> Vec<u8> {
    bench.write("work/a", "as it was sent");
    let mut bytes = Vec::new();
    pack(&bench.path("work"), &mut bytes).unwrap();
    bytes
}

/// A run of the pipeline `line` on an archive.
fn post(up: &Up, digest: Digest) -> Answer {
    let mut order = order("one");
    order["workspace"] = json!(digest);
    up.post("/runs", &order)
}

/// Why such a run is refused, which its field is told with.
#[track_caller]
fn refused(up: &Up, digest: Digest) -> String {
    let answer = post(up, digest);
    assert_eq!(answer.is(400)["errors"][0]["field"], "/workspace");
    answer.refused(400)
}

#[test]
fn what_is_sent_is_kept_under_its_own_digest_or_not_at_all() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let bytes = archive(&bench);
    let (own, other) = (Digest::of(&bytes), Digest::of(b"other"));
    up.get(&path(own)).refused(404);
    let said = up.ask("PUT", &path(other), &GZIP, &bytes).refused(400);
    assert!(
        said.contains(&own.to_string()) && said.contains("its own digest"),
        "{said}"
    );
    let said = up
        .ask("PUT", "/workspaces/sha256:abc", &GZIP, &bytes)
        .refused(400);
    assert!(said.contains("sha256"), "{said}");
    for kind in ["application/json", "text/plain", "application/x-tar", ""] {
        let headers = [("content-type", kind)];
        let said = up.ask("PUT", &path(own), &headers, &bytes).refused(415);
        assert!(said.contains("application/gzip"), "{said}");
    }
    assert_eq!(names(&bench, "archives"), [""; 0]);
    assert_eq!(put(&up, &bytes), own);
    assert_eq!(put(&up, &bytes), own);
    up.get(&path(own)).is(204);
    up.get(&path(other)).refused(404);
    assert_eq!(names(&bench, "archives"), [format!("{}.tar.gz", own.hex())]);
}

#[test]
fn what_says_that_it_is_too_large_is_refused_before_it_comes() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let digest = path(Digest::of(b""));
    let length = (ARCHIVE_GZIP_BYTES_MAX + 1).to_string();
    for more in [&[][..], &[("expect", "100-continue")]] {
        let headers = [&GZIP[..], &[("content-length", &length)], more].concat();
        let mut connection = up.connect();
        connection.send("PUT", &digest, &headers, b"");
        let said = connection.answer().unwrap().refused(413);
        assert!(said.contains("ARCHIVE_GZIP_BYTES_MAX"), "{said}");
    }
    // Of the largest that is taken the first bytes are waited for.
    let length = ARCHIVE_GZIP_BYTES_MAX.to_string();
    let headers = [
        &GZIP[..],
        &[("content-length", &length), ("expect", "100-continue")],
    ]
    .concat();
    let mut connection = up.connect();
    connection.send("PUT", &digest, &headers, b"");
    assert_eq!(connection.head().unwrap().0, 100);
}

#[test]
fn of_a_client_that_hangs_up_nothing_stays() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let bytes = archive(&bench);
    let digest = path(Digest::of(&bytes));
    let length = (bytes.len() + 1).to_string();
    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
    for (header, body) in [
        (("content-length", length.as_str()), &bytes),
        (("transfer-encoding", "chunked"), &chunk),
    ] {
        let head = format!(
            "PUT {digest} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/gzip\r\n{}: {}\r\n\r\n",
            up.address, header.0, header.1
        );
        let mut connection = up.connect();
        connection.write(&[head.as_bytes(), body].concat()).unwrap();
        up.until("/health", |_| names(&bench, "archives").len() == 1);
        assert!(names(&bench, "archives")[0].ends_with(".partial"));
        drop(connection);
        up.until("/health", |_| names(&bench, "archives").is_empty());
        up.get(&digest).refused(404);
    }
    put(&up, &bytes);
}

#[test]
fn what_a_host_that_died_had_of_an_archive_is_removed() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let headers = [GZIP[0], ("content-length", "9")];
    let mut connection = up.connect();
    connection.send("PUT", &path(Digest::of(b"")), &headers, b"half");
    up.until("/health", |_| names(&bench, "archives").len() == 1);
    let up = up.killed_and_started(&bench);
    assert_eq!(names(&bench, "archives"), [""; 0]);
    up.get("/health").is(200);
}

#[test]
fn a_run_on_an_archive_that_nobody_sent_is_refused() {
    let bench = Bench::new(&["files"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "files", "with": {"do": []}}]));
    let digest = Digest::of(b"never sent");
    let said = refused(&up, digest);
    assert!(said.contains(&format!("no archive {digest}")), "{said}");
    let mut order = order("one");
    order["workspace"] = json!("sha256:abc");
    let refused = up.post("/runs", &order).is(400);
    assert_eq!(refused["errors"][0]["field"], "/workspace");
    left_nothing(&bench, &up);
}

/// Of a run that was refused.
fn left_nothing(bench: &Bench, up: &Up) {
    assert_eq!(up.get("/runs").is(200)["runs"], json!([]));
    up.get("/resources/app/one").refused(404);
    assert_eq!(names(bench, "workspaces"), [""; 0]);
}

/// One member of a tar, whatever it is called.
fn member(kind: EntryType, name: &str, target: &str, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes);
    header.set_cksum();
    header
}

/// A gzipped tar of these members, of which the last is followed by so many zeros.
fn tarred(members: &[Header], zeros: u64) -> Vec<u8> {
    let mut archive = GzEncoder::new(Vec::new(), Compression::fast());
    for member in members {
        archive.write_all(member.as_bytes()).unwrap();
    }
    let mut zeros = std::io::repeat(0).take(zeros + 1_024);
    std::io::copy(&mut zeros, &mut archive).unwrap();
    archive.finish().unwrap()
}

#[test]
fn no_archive_leads_out_or_fills_the_disk() {
    let bench = Bench::new(&["files"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "files", "with": {"do": []}}]));
    let outside: PathBuf = bench.path("outside");
    let absolute = outside.to_str().unwrap();
    let file = EntryType::Regular;
    let link = EntryType::Symlink;
    let large = 2 << 30;
    for (members, zeros, reason) in [
        (vec![member(file, "../outside", "", 0)], 0, "`../outside`"),
        (vec![member(file, "a/../../outside", "", 0)], 0, "`..`"),
        (vec![member(file, absolute, "", 0)], 0, "absolute"),
        (vec![member(link, "l", absolute, 0)], 0, "absolute"),
        (vec![member(link, "l", "..", 0)], 0, "points out"),
        (
            vec![member(link, "l", "a", 0), member(file, "l/outside", "", 0)],
            0,
            "through a link",
        ),
        (
            vec![member(EntryType::Link, "h", "/etc/passwd", 0)],
            0,
            "hard link",
        ),
        (vec![member(EntryType::Char, "null", "", 0)], 0, "device"),
        (vec![member(EntryType::Block, "disk", "", 0)], 0, "device"),
        (vec![member(EntryType::Fifo, "pipe", "", 0)], 0, "FIFO"),
        (
            vec![member(file, "bomb", "", large)],
            64 << 20,
            "ARCHIVE_BYTES_MAX",
        ),
    ] {
        let digest = put(&up, &tarred(&members, zeros));
        let said = refused(&up, digest);
        assert!(said.contains(reason), "{reason}: {said}");
        left_nothing(&bench, &up);
        assert!(fs::symlink_metadata(&outside).is_err());
    }
    // And what is no archive at all.
    let said = refused(&up, put(&up, b"no gzip"));
    assert!(said.contains("no whole gzip"), "{said}");
    left_nothing(&bench, &up);
}

#[test]
fn a_rerun_gets_the_workspace_as_it_was_sent_and_a_retry_goes_on_in_its_own() {
    let bench = Bench::new(&["files"]);
    let up = Up::start(&bench);
    let acts = json!([{"read": "/workspace/a"}, {"read": "/workspace/new"},
        {"write": "/workspace/a", "text": "changed"}, {"write": "/workspace/new", "text": "made"}]);
    up.line("line", json!([{"driver": "files", "with": {"do": acts}}]));
    let digest = put(&up, &archive(&bench));
    let first = up.succeeded(&id(&post(&up, digest).is(201)));
    assert_eq!(read(&first), ["as it was sent", "none"]);

    let rerun = up.post(&format!("/runs/{}/rerun", id(&first)), &json!({}));
    let rerun = up.succeeded(&id(&rerun.is(201)));
    assert_eq!(read(&rerun), ["as it was sent", "none"]);
    assert_ne!(rerun["workspace"], first["workspace"]);

    let retry = format!("/runs/{}/retry", id(&first));
    up.post(&retry, &json!({"from": "files"})).is(202);
    assert_eq!(read(&up.succeeded(&id(&first))), ["changed", "made"]);
}

/// What a run's step read: of each file its text, or `none`.
fn read(run: &Value) -> [&str; 2] {
    let output = &run["steps"][0]["output"];
    [0, 1].map(|nth| output[nth]["ok"].as_str().unwrap_or("none"))
}
