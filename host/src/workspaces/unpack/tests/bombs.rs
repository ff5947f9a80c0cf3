//! Archives that are small and want to be large.

use super::handmade::{self, Handmade};
use super::*;
use flate2::Compression;
use flate2::read::GzEncoder;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use tar::Header;

/// Bytes that repeat, counted as they are read.
struct Endless {
    bytes: Vec<u8>,
    at: usize,
    read: Rc<Cell<u64>>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.bytes[self.at];
            self.at = (self.at + 1) % self.bytes.len();
        }
        self.read.set(self.read.get() + buffer.len() as u64);
        Ok(buffer.len())
    }
}

/// Unpacks an archive that has these bytes first and then others again and again; says how much of it was read.
#[track_caller]
fn refused_after(first: &[u8], again: &[u8], limits: Limits, parts: &[&str]) -> u64 {
    let read = Rc::new(Cell::new(0));
    let rest = Endless {
        bytes: again.to_owned(),
        at: 0,
        read: read.clone(),
    };
    let archive = GzEncoder::new(first.chain(rest), Compression::fast());
    contains(&refused(archive, limits), parts);
    read.get()
}

/// The header of a file that says it is so large.
fn large(bytes: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    handmade::put(&mut header.as_old_mut().name, b"zeros");
    header.as_old_mut().linkflag = [b'0'];
    header.set_mode(0o644);
    header.set_size(bytes);
    Handmade::default().header(header, b"").0
}

/// As much as is read ahead on the way to the unpacking.
const AHEAD: u64 = 8 << 20;

#[test]
fn ten_gibibytes_of_zeros_are_refused_at_their_header() {
    for bytes in [10 << 30, (1 << 30) + 1, u64::MAX] {
        let parts = ["`zeros`", "ARCHIVE_BYTES_MAX, 1073741824"];
        let read = refused_after(&large(bytes), &[0], Limits::default(), &parts);
        assert!(read <= AHEAD, "{bytes}: {read}");
    }
}

#[test]
fn files_are_counted_together() {
    let limits = Limits {
        bytes: 10_000,
        ..Limits::default()
    };
    let file = |path: &str| Handmade::default().file(path, &"x".repeat(4_000)).0;
    let three = [file("a"), file("b"), file("c")].concat();
    let parts = ["`c`", "ARCHIVE_BYTES_MAX, 10000"];
    let read = refused_after(&three, &[0], limits, &parts);
    assert!(read <= AHEAD, "{read}");
    let two = Handmade([file("a"), file("b")].concat()).end();
    assert_eq!(unpacked(&two).len(), 2);
}

#[test]
fn a_million_entries_are_not_made() {
    let limits = Limits {
        entries: 1_000,
        ..Limits::default()
    };
    let again = |archive: Handmade| {
        let parts = ["ARCHIVE_ENTRIES_MAX, 1000"];
        let read = refused_after(&[], &archive.0, limits, &parts);
        assert!(read <= AHEAD, "{read}");
    };
    // The same one again and again makes nothing, and is not read for ever all the same.
    again(Handmade::default().folder("a"));
    again(Handmade::default().member(b'g', b"g", b"", 0o644, b"13 comment=x\n"));
    let many = (0..1_001).fold(Handmade::default(), |archive, number| {
        archive.file(&format!("{number}"), "")
    });
    contains(
        &refused(&many.end()[..], limits),
        &["`1000`", "ARCHIVE_ENTRIES_MAX, 1000"],
    );
}

#[test]
fn folders_in_paths_count() {
    let limits = Limits {
        entries: 10,
        ..Limits::default()
    };
    let deep = |count: usize| Handmade::default().file(&format!("{}f", "d/".repeat(count)), "");
    let place = Place::new();
    let out = place.unpack(&deep(9).end()[..], limits).unwrap();
    assert_eq!(out.entries, 10);
    contains(
        &refused(&deep(10).end()[..], limits),
        &["ARCHIVE_ENTRIES_MAX, 10"],
    );
}

#[test]
fn a_path_has_so_many_names_and_bytes() {
    let long = |text: &str| {
        let archive = Handmade::default();
        archive.member(b'L', b"././@LongLink", b"", 0o644, text.as_bytes())
    };
    let path = |count: usize| "d/".repeat(count - 1) + "d";
    let out = unpacked(&long(&path(256)).folder("cut").end());
    assert_eq!(out.len(), 256);
    contains(
        &refused(&long(&path(257)).folder("cut").end()[..], Limits::default()),
        &["ARCHIVE_DEPTH_MAX, 256"],
    );
    let name = format!("{}/", "n".repeat(255));
    let longest = name.repeat(16);
    assert_eq!(longest.len(), 4_096);
    let parent = tempfile::tempdir().unwrap();
    let archive = long(&longest).folder("cut").end();
    // Too long for a path from the top: only who goes down name by name gets there.
    let out = unpack(&archive[..], &parent.path().join("in")).unwrap();
    assert_eq!(out.entries, 16);
    let longer = format!("{longest}n");
    contains(
        &refused(&long(&longer).folder("cut").end()[..], Limits::default()),
        &["ARCHIVE_PATH_BYTES_MAX, 4096"],
    );
    let pax = format!("4108 path={longer}\n");
    let pax = Handmade::default().pax(pax.as_bytes()).folder("cut").end();
    contains(
        &refused(&pax[..], Limits::default()),
        &["ARCHIVE_PATH_BYTES_MAX"],
    );
    let name = format!("{}\0", "n".repeat(256));
    contains(
        &refused(&long(&name).folder("cut").end()[..], Limits::default()),
        &["more than 255"],
    );
}

/// A header's own content is held in memory.
#[test]
fn a_header_has_no_endless_content() {
    for (kind, says) in [
        (b'L', "ARCHIVE_PATH_BYTES_MAX, 4096"),
        (b'K', "ARCHIVE_PATH_BYTES_MAX, 4096"),
        (b'x', "PAX_BYTES_MAX, 16384"),
        (b'g', "PAX_BYTES_MAX, 16384"),
    ] {
        let mut header = Header::from_byte_slice(&large(10 << 30)).clone();
        header.as_old_mut().linkflag = [kind];
        let first = Handmade::default().header(header, b"").0;
        let read = refused_after(&first, b"x", Limits::default(), &[says]);
        assert!(read <= AHEAD, "{read}");
    }
}

#[test]
fn zeros_after_the_end_come_to_an_end() {
    let read = refused_after(
        &[0; 512],
        &[0],
        Limits::default(),
        &["goes on after its end"],
    );
    assert!(read <= AHEAD, "{read}");
}
