//! Crashes: whatever instant the folder is left at, what was synced is there, and of the rest a
//! whole number of commits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::super::disk::{Deed, Disk, Probe};
use super::super::marker;
use super::folder::{child, child_dir, path_of};
use super::{
    Folder, Random, State, apply, copy_folder, files, open, open_probed, put, scratch, state,
};
use crate::store::{Revision, StoreError};

/// The folder as it was before a deed, and what was known to be durable then.
struct Image {
    dir: TempDir,
    synced: Revision,
    deed: String,
}

/// Takes an image before each deed.
struct Camera {
    dir: std::path::PathBuf,
    synced: Mutex<Revision>,
    images: Mutex<Vec<Image>>,
}

impl Probe for Camera {
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        let dir = scratch();
        copy_folder(&self.dir, dir.path());
        let synced = *self.synced.lock().unwrap();
        self.images.lock().unwrap().push(Image {
            dir,
            synced,
            deed: format!("{deed:?} {name}"),
        });
        Ok(())
    }
}

/// States by revision; the state between two is that of the lower one.
type History = BTreeMap<Revision, State>;

/// A history of commits with images of all its instants. Every third commit is synced.
fn filmed(segment_bytes: u64, seed: u64) -> (History, Vec<Image>) {
    let folder = Folder::new(segment_bytes);
    let dir = folder.dir.path();
    let camera = Arc::new(Camera {
        dir: dir.to_owned(),
        synced: Mutex::default(),
        images: Mutex::default(),
    });
    let store = open_probed(dir, segment_bytes, camera.clone()).unwrap();
    let mut random = Random(seed);
    let mut history = History::from([(Revision::default(), State::new())]);
    let mut model = State::new();
    for n in 0..40 {
        let batch = random.batch();
        let revision = store.commit_now(&batch).unwrap();
        apply(&mut model, &batch, revision);
        history.insert(revision, model.clone());
        if n % 3 == 0 {
            store.sync_now(revision).unwrap();
            *camera.synced.lock().unwrap() = revision;
        }
    }
    drop(store);
    let images = std::mem::take(&mut *camera.images.lock().unwrap());
    (history, images)
}

/// Opens the folder and finds one of the states from `synced` on; then goes on with it.
fn recovers(dir: &Path, segment_bytes: u64, history: &History, synced: Revision, what: &str) {
    let store = open(dir, segment_bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = state(&store).unwrap();
    let mut possible = history.range(synced..);
    assert!(
        possible.any(|(_, state)| *state == found),
        "{what}: not a state since {synced}"
    );
    let revision = store.commit_now(&put("more", "x")).unwrap();
    assert!(revision > synced);
    store.sync_now(revision).unwrap();
    drop(store);
    let again = state(&open(dir, segment_bytes).unwrap()).unwrap();
    assert_eq!(again.len(), found.len() + 1, "{what}");
}

#[test]
fn at_every_deed() {
    for (seed, segment_bytes) in [(1, 500), (2, 900), (3, super::SEGMENT_BYTES)] {
        let (history, images) = filmed(segment_bytes, seed);
        let compacts = images.iter().any(|image| image.deed.ends_with(".base"));
        assert_eq!(compacts, segment_bytes < super::SEGMENT_BYTES);
        for image in images {
            recovers(
                image.dir.path(),
                segment_bytes,
                &history,
                image.synced,
                &image.deed,
            );
        }
    }
}

/// The unsynced end of the log, cut at every length, and with pages that never reached the disk; with
/// the marker as it is and as it was at the start.
#[test]
fn torn_at_every_byte() {
    let (history, images) = filmed(super::SEGMENT_BYTES, 4);
    let image = images.last().unwrap();
    let file = files(image.dir.path())
        .into_iter()
        .find(|(name, _)| name.ends_with(".log"));
    let (name, len) = file.unwrap();
    let mark = marker::read(&Disk::new(image.dir.path()))
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(mark.offset < len, "something is unsynced");
    let whole = fs::read(image.dir.path().join(&name)).unwrap();
    for end in mark.offset as usize..=whole.len() {
        for hole in [false, true] {
            let copy = scratch();
            copy_folder(image.dir.path(), copy.path());
            let mut bytes = whole.clone();
            match hole {
                true => bytes[end..].fill(0),
                false => bytes.truncate(end),
            }
            fs::write(copy.path().join(&name), bytes).unwrap();
            let what = format!("cut at {end} of {}, {hole}", whole.len());
            recovers(
                copy.path(),
                super::SEGMENT_BYTES,
                &history,
                image.synced,
                &what,
            );
        }
    }
}

/// Pages may reach the disk in any order: a hole of zeros with whole frames behind it is a torn tail
/// where nothing of it was synced, and damage where a frame behind it knows better.
#[test]
fn a_page_that_never_reached_the_disk() {
    let folder = Folder::new(super::SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, folder.segment_bytes).unwrap();
    let first = store.commit_now(&put("first", "1")).unwrap();
    store.sync_now(first).unwrap();
    let marker = fs::read(dir.join("synced")).unwrap();
    for n in 0..12 {
        store
            .commit_now(&put(&format!("k{n}"), &"v".repeat(1500)))
            .unwrap();
    }
    let file = dir.join("00000000000000000001.log");
    let unsynced = fs::read(&file).unwrap();
    let twelfth = Revision::new(first.number() + 12);
    store.sync_now(twelfth).unwrap();
    store.commit_now(&put("witness", "x")).unwrap();
    drop(store);
    let holed = |mut bytes: Vec<u8>| {
        bytes[4096..8192].fill(0);
        fs::write(&file, bytes).unwrap();
        fs::write(dir.join("synced"), &marker).unwrap();
    };
    let witnessed = fs::read(&file).unwrap();
    holed(witnessed);
    assert!(matches!(
        open(dir, folder.segment_bytes),
        Err(StoreError::Damaged(_))
    ));
    holed(unsynced);
    let found = state(&open(dir, folder.segment_bytes).unwrap()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["first", "k0", "k1"]);
}

/// A flipped byte beyond the marker with whole frames behind it is damage, not a torn tail.
#[test]
fn a_whole_frame_behind_a_bad_one() {
    let folder = Folder::new(super::SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, folder.segment_bytes).unwrap();
    for n in 0..3 {
        store.commit_now(&put(&format!("k{n}"), "value")).unwrap();
    }
    drop(store);
    let file = dir.join("00000000000000000001.log");
    let whole = fs::read(&file).unwrap();
    let places: Vec<usize> = (0..whole.len() - 5)
        .filter(|place| &whole[*place..*place + 5] == b"value")
        .collect();
    let flip = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    flip(places[1]);
    let error = open(dir, folder.segment_bytes).err().unwrap().to_string();
    assert!(error.contains("a value is damaged (`k1`)"), "{error}");
    flip(places[2]);
    let found = state(&open(dir, folder.segment_bytes).unwrap()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["k0", "k1"]);
}

/// A real process, really killed: every revision that it said was synced is there.
#[test]
fn kill_nine() {
    if let Some(dir) = child_dir() {
        let store = open(&dir, 2000).unwrap();
        println!();
        loop {
            let n = store.state().log.next;
            let revision = store
                .commit_now(&put(&format!("k{}", n % 9), &n.to_string()))
                .unwrap();
            store.sync_now(revision).unwrap();
            println!("{revision}");
        }
    }
    let folder = Folder::new(2000);
    let dir = folder.dir.path();
    let mut random = Random(6);
    let mut synced = 0;
    for _ in 0..15 {
        let test = path_of(module_path!(), "kill_nine");
        let mut child = child(&test, dir).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let revisions = lines.filter_map(|line| line.unwrap().parse::<u64>().ok());
        let count = 1 + random.below(60);
        let mut last = synced;
        let mut revisions = revisions.inspect(|revision| last = *revision);
        assert!(
            revisions.by_ref().take(count).count() > 0,
            "the child wrote nothing"
        );
        child.kill().unwrap();
        revisions.for_each(drop);
        child.wait().unwrap();
        synced = last;
        let found = state(&open(dir, 2000).unwrap()).unwrap();
        for key in 0..9 {
            // The last synced write to that key; a later one, written and not yet told, may be there.
            let Some(n) = (1..=synced).rev().find(|n| n % 9 == key) else {
                continue;
            };
            let (value, revision) = &found[&format!("k{key}")];
            assert_eq!(String::from_utf8_lossy(value), revision.to_string());
            assert!(
                revision.number() >= n,
                "k{key} is {revision}, {n} was synced"
            );
        }
    }
}
