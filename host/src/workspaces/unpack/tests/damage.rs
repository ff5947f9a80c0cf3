//! Archives that were whole once. The seed is fixed: what fails, fails again.

use super::handmade::{Handmade, gzip};
use super::*;
use crate::workspaces::pack;

fn whole() -> Handmade {
    Handmade::default()
        .folder("a")
        .file("a/b", "content")
        .link("a/l", "b")
}

#[test]
fn what_is_cut_short_anywhere_is_refused() {
    let archive = whole().end();
    let place = Place::new();
    for length in 0..archive.len() {
        assert!(place.unpack(&archive[..length], Limits::default()).is_err());
    }
    place.unpack(&archive[..], Limits::default()).unwrap();
}

#[test]
fn a_tar_without_its_end_is_refused() {
    let tar = whole().0;
    let place = Place::new();
    for length in (0..=tar.len()).step_by(64) {
        let cut = gzip(&tar[..length]);
        let error = place.unpack(&cut[..], Limits::default()).unwrap_err();
        contains(&error.to_string(), &["cut short", &length.to_string()]);
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut archive = whole().end();
    // Of gzip: what is unpacked is right all the same.
    let at = archive.len() - 8;
    archive[at] ^= 1;
    contains(
        &refused(&archive[..], Limits::default()),
        &["no whole gzip"],
    );
    archive[at] ^= 1;
    archive[at + 4] ^= 1;
    contains(
        &refused(&archive[..], Limits::default()),
        &["no whole gzip"],
    );
    // Of a header.
    let mut tar = whole().0;
    tar[512] ^= 1;
    let text = refused(&gzip(&tar)[..], Limits::default());
    contains(&text, &["header at byte 512", "damaged"]);
}

#[test]
fn nothing_follows_the_end() {
    let archive = whole().end();
    for after in [&b"x"[..], &[0], &archive] {
        let long = [&archive[..], after].concat();
        contains(
            &refused(&long[..], Limits::default()),
            &["goes on after its end"],
        );
    }
    let mut tar = whole().0;
    tar.extend_from_slice(&[0; 10_240]);
    assert_eq!(unpacked(&gzip(&tar)).len(), 3);
    tar.push(1);
    contains(
        &refused(&gzip(&tar)[..], Limits::default()),
        &["goes on after its end"],
    );
    let second = [
        &whole().0[..],
        &[0; 512],
        &Handmade::default().file("c", "x").0,
    ]
    .concat();
    contains(
        &refused(&gzip(&second)[..], Limits::default()),
        &["goes on after its end"],
    );
    contains(&refused(&b""[..], Limits::default()), &["no whole gzip"]);
    contains(&refused(&gzip(b"")[..], Limits::default()), &["cut short"]);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Tars to start from: one that was packed, and some that try things.
fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("x/y")).unwrap();
    fs::write(folder.path().join("x/y").join("n".repeat(150)), "long").unwrap();
    fs::write(folder.path().join("x/file"), "f".repeat(600)).unwrap();
    std::os::unix::fs::symlink("../x/file", folder.path().join("x/link")).unwrap();
    let mut packed = Vec::new();
    pack(folder.path(), &mut packed).unwrap();
    let mut tar = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&packed[..]);
    gzip.read_to_end(&mut tar).unwrap();
    let handmade = |archive: Handmade| [&archive.0[..], &[0; 1024]].concat();
    let links = Handmade::default()
        .folder("a/b")
        .link("a/b/up", "..")
        .link("l", "a/b")
        .file("a/b/up2", "x")
        .link("a/b/over", "up/c")
        .file("m/x", "through");
    let pax = Handmade::default()
        .pax(b"16 linkpath=x/y\n")
        .link("p", "q")
        .pax(b"14 path=d/e/f\n")
        .file("cut", "content")
        .file("l", "y");
    vec![tar, handmade(links), handmade(pax)]
}

/// Changes a tar somewhere, mostly in headers, which then have a right checksum.
fn change(tar: &mut Vec<u8>, outside: &str, random: &mut Random) {
    let texts: [&[u8]; 14] = [
        b"..",
        b"../new",
        b"/",
        b"a",
        b"a/b",
        b"l",
        b"l/x",
        b"a/b/up/x",
        b"up/../..",
        b"../../beside",
        b".",
        b"",
        b"x/link",
        outside.as_bytes(),
    ];
    let blocks = tar.len() / 512;
    let block = random.below(blocks) * 512;
    match random.below(7) {
        0 => {
            let at = random.below(tar.len());
            tar[at] = random.next() as u8;
        }
        1 => tar[block + random.below(500)] = random.next() as u8,
        2 => tar[block + 156] = b"0123456700LKxgSV5522"[random.below(20)],
        kind @ (3 | 4) => {
            let text = texts[random.below(texts.len())];
            let field = block + if kind == 3 { 0 } else { 157 };
            let length = text.len().min(100);
            tar[field..field + 100].fill(0);
            tar[field..field + length].copy_from_slice(&text[..length]);
        }
        5 => {
            let from = random.below(blocks) * 512;
            let copied = tar[from..from + 512].to_owned();
            tar.splice(block..block, copied);
        }
        _ => {
            tar.drain(block..block + 512);
        }
    }
    let block = block.min(tar.len().saturating_sub(512));
    if random.below(8) > 0 && tar.get(block + 257..block + 262) == Some(b"ustar") {
        let mut header = tar::Header::from_byte_slice(&tar[block..block + 512]).clone();
        header.set_cksum();
        tar[block..block + 512].copy_from_slice(header.as_bytes());
    }
}

#[test]
fn no_change_of_a_tar_leads_out() {
    let place = Place::new();
    let outside = place.parent.path().join("beside/new").display().to_string();
    let seeds = seeds();
    let mut whole = 0;
    for case in 0..2_500 {
        let mut random = Random(case);
        let mut tar = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut tar, &outside, &mut random);
        }
        let limits = Limits {
            bytes: 1 << 20,
            ..Limits::default()
        };
        let unpacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            place.unpack(&gzip(&tar)[..], limits).is_ok()
        }));
        whole += u32::from(unpacked.unwrap_or_else(|_| panic!("case {case}")));
        place.clear();
    }
    // Enough of them get as far as they can.
    assert!(whole > 200, "{whole}");
}

#[test]
fn no_change_of_an_archive_leads_out() {
    let place = Place::new();
    let archives: Vec<Vec<u8>> = seeds().iter().map(|tar| gzip(tar)).collect();
    for case in 0..3_000 {
        let mut random = Random(case);
        let mut archive = archives[random.below(archives.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(archive.len());
            archive[at] ^= 1 << random.below(8);
        }
        let unpacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            place.unpack(&archive[..], Limits::default()).is_ok()
        }));
        unpacked.unwrap_or_else(|_| panic!("case {case}"));
        place.clear();
    }
}
