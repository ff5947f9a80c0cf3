//! Damage: no byte of the folder can change without the store saying so or nothing being lost.

use std::fs;
use std::path::Path;

use super::{
    Embedded, Folder, Random, State, apply, copy_folder, files, open, put, scratch, state,
};
use crate::store::{Batch, Flaw, Order, Revision, Store, StoreError};

/// Small enough to have a base, sealed segments and a tail; all of it synced.
fn filled(dir: &Path, segment_bytes: u64) -> State {
    let mut random = Random(5);
    let store = open(dir, segment_bytes).unwrap();
    let mut model = State::new();
    let mut last = Revision::default();
    for _ in 0..45 {
        let batch = random.batch();
        last = store.commit_now(&batch).unwrap();
        apply(&mut model, &batch, last);
    }
    store.sync_now(last).unwrap();
    assert_eq!(state(&store).unwrap(), model);
    model
}

/// Names the file in which the damage was made, or has lost nothing.
fn held_against(dir: &Path, model: &State, file: &str, segment_bytes: u64, nothing: bool) {
    let names = |error: &StoreError| {
        let path = dir.join(file);
        let damaged =
            matches!(error, StoreError::Damaged(all) if all.iter().any(|one| one.file == path));
        damaged || matches!(error, StoreError::Version { path: other, .. } if *other == path)
    };
    match open(dir, segment_bytes) {
        Err(error) => assert!(names(&error), "{file}: {error}"),
        Ok(store) => {
            match state(&store) {
                Ok(found) => assert_eq!(found, *model, "{file}"),
                Err(error) => assert!(names(&error), "{file}: {error}"),
            }
            let named = store
                .check()
                .unwrap()
                .iter()
                .any(|one| one.file == dir.join(file));
            let spare = nothing || file == "LOCK" || file.ends_with(".keys");
            assert!(
                named || spare,
                "{file}: opened, and the check finds nothing"
            );
        }
    }
}

/// Of a damaged store each record reads as it was, or is named.
fn readable(dir: &Path, model: &State, what: &str) {
    let store = match Embedded::open_read_only(dir) {
        Ok(store) => store,
        Err(StoreError::Version { .. }) => return,
        Err(error) => panic!("{what}: {error}"),
    };
    assert!(
        keys(&store).iter().eq(model.keys()),
        "{what}: keys are missing, or a deleted one is back"
    );
    let mut whole = true;
    for (key, (value, revision)) in model {
        // No key of the model begins with another.
        let scanned = store.scan_now(key, None, Order::Ascending, 1);
        match store.get_now(key) {
            Ok(Some(found)) => {
                assert_eq!(
                    (&found.value, found.revision),
                    (value, *revision),
                    "{what}: {key}"
                );
                assert_eq!(scanned.unwrap(), [found], "{what}");
            }
            Ok(None) => panic!("{what}: {key} is silently lost"),
            Err(error) => {
                assert!(
                    error.to_string().contains(&format!("`{key}`")),
                    "{what}: {error}"
                );
                assert!(
                    store
                        .damage()
                        .iter()
                        .any(|damage| damage.keys.contains(key)),
                    "{what}"
                );
                let scanned = scanned.unwrap_err().to_string();
                assert_eq!(scanned, error.to_string(), "{what}");
                whole = false;
            }
        }
    }
    match state(&store) {
        Ok(found) => assert!(whole && found == *model, "{what}: a record is left out"),
        Err(error) => assert!(!whole && matches!(error, StoreError::Damaged(_)), "{what}"),
    }
    let refused = store.commit_now(&put("a", "1")).unwrap_err();
    assert!(
        matches!(refused, StoreError::ReadOnly { source: None, .. }),
        "{refused}"
    );
}

fn keys(store: &Embedded) -> Vec<String> {
    store
        .keys_now("", None, Order::Ascending, usize::MAX)
        .unwrap()
}

#[test]
fn every_flipped_byte_is_named_or_harmless() {
    for segment_bytes in [900, super::SEGMENT_BYTES] {
        let origin = Folder::new(segment_bytes);
        let model = filled(origin.dir.path(), segment_bytes);
        let copy = scratch();
        copy_folder(origin.dir.path(), copy.path());
        let mut random = Random(1);
        let all = files(origin.dir.path());
        for (file, len) in &all {
            let whole = fs::read(origin.dir.path().join(file)).unwrap();
            for place in 0..*len as usize {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 + random.below(255) as u8;
                fs::write(copy.path().join(file), &bytes).unwrap();
                readable(copy.path(), &model, &format!("{file} at {place}"));
                // Behind the last commit there is nothing to lose.
                let nothing = whole[place..].iter().all(|byte| *byte == 0);
                held_against(copy.path(), &model, file, segment_bytes, nothing);
                restore(origin.dir.path(), copy.path(), &all);
            }
        }
    }
}

/// Puts back what the store may have touched; the same files, so that no folder is made anew.
fn restore(origin: &Path, copy: &Path, all: &[(String, u64)]) {
    for (name, _) in files(copy) {
        if !all.iter().any(|(known, _)| *known == name) {
            fs::remove_file(copy.join(name)).unwrap();
        }
    }
    for (name, _) in all {
        let bytes = fs::read(origin.join(name)).unwrap();
        if fs::read(copy.join(name)).ok().as_ref() != Some(&bytes) {
            fs::write(copy.join(name), bytes).unwrap();
        }
    }
}

/// Ranges of zeros or noise, files cut short or gone: refused by name, or nothing is lost.
#[test]
fn heavy_damage_is_named_or_harmless() {
    let segment_bytes = 900;
    let origin = Folder::new(segment_bytes);
    let model = filled(origin.dir.path(), segment_bytes);
    let copy = scratch();
    copy_folder(origin.dir.path(), copy.path());
    // Keys that are not written out yet are an empty file.
    let mut all = files(origin.dir.path());
    all.retain(|(_, len)| *len > 0);
    let mut random = Random(2);
    for round in 0..3000 {
        let (file, len) = &all[random.below(all.len())];
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let from = random.below(*len as usize);
        let to = (from + 1 + random.below(400)).min(bytes.len());
        match random.below(4) {
            0 => bytes[from..to].fill(0),
            1 => bytes[from..to]
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8),
            2 => bytes.truncate(from),
            _ => drop(bytes.drain(from..to)),
        }
        let same = fs::read(&path).unwrap() == bytes;
        fs::write(&path, &bytes).unwrap();
        let gone = random.one_in(20);
        if gone {
            fs::remove_file(&path).unwrap();
        }
        match open(copy.path(), segment_bytes) {
            Ok(store) => match state(&store) {
                Ok(found) => assert_eq!(found, model, "round {round}: {file} {from}..{to}"),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => panic!("round {round}: {error}"),
            },
            Err(StoreError::Damaged(damage)) => assert!((gone || !same) && !damage.is_empty()),
            Err(StoreError::Version { .. }) => {}
            Err(error) => panic!("round {round}: {file} {from}..{to}: {error}"),
        }
        restore(origin.dir.path(), copy.path(), &all);
    }
}

/// What the message says: file, place, key.
#[test]
fn damage_names_file_place_and_key() {
    let folder = Folder::new(super::SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, folder.segment_bytes).unwrap();
    store.commit_now(&put("run/1", "before")).unwrap();
    store
        .commit_now(&put("run/2", "the value in question").put("run/3", "x"))
        .unwrap();
    let last = store.commit_now(&put("run/4", "behind")).unwrap();
    store.sync_now(last).unwrap();
    drop(store);
    let file = dir.join("00000000000000000001.log");
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes
        .windows(9)
        .position(|text| text == b"the value")
        .unwrap();
    bytes[place + 4] ^= 1;
    fs::write(&file, bytes).unwrap();

    let error = open(dir, folder.segment_bytes).err().unwrap();
    let path = file.display();
    assert_eq!(
        error.to_string(),
        format!("damaged: {path} at byte {place}: a value is damaged (`run/2`)")
    );
    let store = Embedded::open_read_only(dir).unwrap();
    assert_eq!(store.damage().len(), 1);
    assert_eq!(store.damage()[0].flaw, Flaw::Value);
    assert_eq!(
        store.get_now("run/2").unwrap_err().to_string(),
        error.to_string()
    );
    assert_eq!(state(&store).unwrap_err().to_string(), error.to_string());
    assert_eq!(keys(&store), ["run/1", "run/2", "run/3", "run/4"]);
}

/// What compaction meets is said, though the commit that led to it is made; and is over when it is over.
#[test]
fn damage_that_stops_a_compaction_is_kept_and_fails_no_commit() {
    let folder = Folder::new(3000);
    let dir = folder.dir.path();
    let store = open(dir, 3000).unwrap();
    let value = "the value in question".repeat(50);
    store.commit_now(&put("kept", &value)).unwrap();
    let overwrite = |times: usize| {
        for n in 0..times {
            let value = n.to_string().repeat(1000);
            let revision = store.commit_now(&put("k", &value)).unwrap();
            store.sync_now(revision).unwrap();
        }
    };
    overwrite(4);
    assert_eq!(store.state().log.sealed.len(), 1);
    assert!(store.compaction_failure().is_none());
    let file = dir.join("00000000000000000001.log");
    let whole = fs::read(&file).unwrap();
    let place = whole
        .windows(9)
        .position(|text| text == b"the value")
        .unwrap();
    let mut bytes = whole.clone();
    bytes[place] ^= 1;
    fs::write(&file, bytes).unwrap();

    overwrite(6);
    let expected = format!(
        "damaged: {} at byte {place}: a value is damaged (`kept`)",
        file.display()
    );
    assert_eq!(store.compaction_failure().unwrap().to_string(), expected);
    assert_eq!(store.get_now("kept").unwrap_err().to_string(), expected);
    let counters = store.counters();
    assert_eq!(counters.compactions, 0);
    assert!(counters.compactions_failed > 0);

    fs::write(&file, whole).unwrap();
    overwrite(6);
    assert!(store.compaction_failure().is_none());
    assert!(store.counters().compactions > 0);
    assert!(state(&store).unwrap().contains_key("kept"));
}

/// A value that holds a frame, taken from the store's own file, is never taken for one.
#[test]
fn a_frame_within_a_value_is_a_value() {
    let folder = Folder::new(super::SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, folder.segment_bytes).unwrap();
    store.commit_now(&put("secret", "forged")).unwrap();
    let file = dir.join("00000000000000000001.log");
    let frame = fs::read(&file)
        .unwrap()
        .split_off(super::super::segment::HEADER_BYTES);
    store.commit_now(&put("secret", "true")).unwrap();
    let last = store.commit_now(&Batch::new().put("value", frame)).unwrap();
    store.sync_now(last).unwrap();
    drop(store);
    // Both heads of the last frame are damaged: all that is left of it is its value.
    let mut bytes = fs::read(&file).unwrap();
    let heads: Vec<usize> = (0..bytes.len() - 4)
        .filter(|place| matches!(&bytes[*place..*place + 4], b"BLT<" | b"BLT>"))
        .collect();
    assert_eq!(heads.len(), 8);
    bytes[heads[4] + 9] ^= 1;
    bytes[heads[7] + 9] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(matches!(
        open(dir, folder.segment_bytes),
        Err(StoreError::Damaged(_))
    ));
    let store = Embedded::open_read_only(dir).unwrap();
    assert_eq!(store.get_now("secret").unwrap().unwrap().value, b"true");
}

/// The commits of another store, in the same places and with the same revisions, are foreign.
#[test]
fn commits_of_another_store_are_foreign() {
    let (ours, theirs) = (
        Folder::new(super::SEGMENT_BYTES),
        Folder::new(super::SEGMENT_BYTES),
    );
    let file = "00000000000000000001.log";
    for (folder, value) in [(&ours, "ours"), (&theirs, "them")] {
        let store = open(folder.dir.path(), folder.segment_bytes).unwrap();
        let revision = store.commit_now(&put("whose", value)).unwrap();
        store.sync_now(revision).unwrap();
    }
    let header = super::super::segment::HEADER_BYTES;
    let mut bytes = fs::read(ours.dir.path().join(file)).unwrap();
    bytes.truncate(header);
    bytes.extend_from_slice(&fs::read(theirs.dir.path().join(file)).unwrap()[header..]);
    fs::write(ours.dir.path().join(file), bytes).unwrap();
    let error = open(ours.dir.path(), ours.segment_bytes).err().unwrap();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

/// A disk that kept what it should have overwritten: an old frame, whole, in the place of a later one,
/// which the frame behind it notices, or the marker where none is behind.
#[test]
fn a_write_that_the_disk_forgot() {
    for behind in [true, false] {
        let folder = Folder::new(super::SEGMENT_BYTES);
        let dir = folder.dir.path();
        let file = dir.join("00000000000000000001.log");
        let store = open(dir, folder.segment_bytes).unwrap();
        store.commit_now(&put("a", "old")).unwrap();
        let old = fs::read(&file).unwrap();
        let end = old.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        // As after a failed sync: nothing is durable, so the next commit takes the place.
        store.state().log.take_back().unwrap();
        let mut last = store.commit_now(&put("a", "new")).unwrap();
        if behind {
            last = store.commit_now(&put("b", "x")).unwrap();
        }
        store.sync_now(last).unwrap();
        drop(store);
        let mut bytes = fs::read(&file).unwrap();
        bytes[..end].copy_from_slice(&old[..end]);
        fs::write(&file, bytes).unwrap();
        let error = open(dir, folder.segment_bytes).err().unwrap().to_string();
        let expected = match behind {
            true => "follows revision 1 but was written after 2",
            false => "was synced here up to revision 2, which is not found",
        };
        assert!(error.contains(expected), "{error}");
    }
}

/// A file that ends where a frame ends, before what has been synced.
#[test]
fn a_file_cut_between_two_commits() {
    let folder = Folder::new(super::SEGMENT_BYTES);
    let dir = folder.dir.path();
    let file = dir.join("00000000000000000001.log");
    let store = open(dir, folder.segment_bytes).unwrap();
    let end = || store.state().log.tail.as_ref().unwrap().end;
    store.commit_now(&put("a", "1")).unwrap();
    let cut = end();
    let last = store.commit_now(&put("b", "1")).unwrap();
    store.sync_now(last).unwrap();
    let synced = end();
    drop(store);
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(cut)
        .unwrap();
    let error = open(dir, folder.segment_bytes).err().unwrap().to_string();
    let expected = format!("at byte {cut}: ends, yet was synced up to byte {synced}");
    assert!(error.contains(&expected), "{error}");
}
