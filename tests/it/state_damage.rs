//! A store whose bytes are not what was written: what was synced is refused by name, and what is whole can still
//! be read; what was never synced is cut without a word.

mod random;
mod sealed;

use crate::belt::{Bench, Said};
use beltline::store::{Batch, Embedded, Store};
use std::fs;
use std::path::PathBuf;
use tokio::runtime::Builder;

const LOG: &str = "state/store/00000000000000000001.log";
/// The marker's offset field, as `docs/store.md` has it.
const SYNCED_OFFSET_AT: usize = 32;
const SYNCED_VERSION_AT: usize = 8;
/// Places that are damaged one after the other, evenly over what was synced.
const PLACES: usize = 80;

/// Two runs that succeeded, and their ids.
fn two_runs() -> (Bench, [String; 2]) {
    let bench = Bench::with_steps(&["echo"], &["{id: one, driver: echo}"]);
    let ids = [(); 2].map(|()| {
        let said = bench.run(&["-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.json()["run"].as_str().unwrap().to_owned()
    });
    (bench, ids)
}

/// Where what has been synced ends in the log.
fn synced(bench: &Bench) -> usize {
    let marker = fs::read(bench.path("state/store/synced")).unwrap();
    let field = &marker[SYNCED_OFFSET_AT..SYNCED_OFFSET_AT + 8];
    usize::try_from(u64::from_le_bytes(field.try_into().unwrap())).unwrap()
}

/// Writes the log anew, changed.
fn change_log(bench: &Bench, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let path = bench.path(LOG);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    path
}

/// Flips a bit of the log: at the first place of `part` behind the place of `text` that `pick` names.
fn damage_behind(bench: &Bench, text: &str, pick: impl FnOnce(&[usize]) -> usize, part: &str) {
    change_log(bench, |log| {
        let is_at = |at: usize, text: &str| log[at..].starts_with(text.as_bytes());
        let places: Vec<_> = (0..log.len()).filter(|at| is_at(*at, text)).collect();
        let at = (pick(&places)..log.len())
            .find(|at| is_at(*at, part))
            .unwrap();
        log[at] ^= 1;
    });
}

fn runs(bench: &Bench, args: &[&str]) -> Said {
    bench.belt(&[&["runs"], args, &["--state", "state"]].concat())
}

#[track_caller]
fn refused_to_write(bench: &Bench, parts: &[&str]) {
    let state = bench.state();
    for said in [
        bench.run(&[]),
        runs(bench, &["resume"]),
        runs(bench, &["rerun"]),
    ] {
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (4, ""),
            "{}",
            said.stderr
        );
        for part in parts {
            assert!(said.stderr.contains(part), "no `{part}` in {}", said.stderr);
        }
    }
    let intact = |files: Vec<(PathBuf, Vec<u8>)>| {
        files
            .into_iter()
            .filter(|file| !file.0.ends_with("LOCK"))
            .collect::<Vec<_>>()
    };
    assert!(
        intact(bench.state()) == intact(state),
        "the damaged state was changed"
    );
}

#[test]
fn a_damaged_run_is_refused_by_name_and_does_not_hide_the_others() {
    let (bench, [first, second]) = two_runs();
    // The record begins with its own id, and nothing in the log does so before it.
    let record = format!("{{\"v\":1,\"run\":\"{first}\"");
    damage_behind(&bench, &record, |places| places[0], "\"line\"");
    let named = format!("a value is damaged (`run/{first}`)");
    refused_to_write(
        &bench,
        &[
            "error: damaged: ",
            "/00000000000000000001.log at byte ",
            &named,
        ],
    );

    let list = runs(&bench, &["list", "-o", "json"]);
    assert_eq!(list.code, 4, "{}", list.stderr);
    assert!(list.stderr.contains(&named), "{}", list.stderr);
    let listed = list.json();
    assert_eq!(
        (listed.as_array().unwrap().len(), &listed[0]["run"]),
        (1, &second.as_str().into())
    );

    let get = runs(&bench, &["get", &second, "-o", "json"]);
    assert_eq!((get.code, &get.json()["status"]), (0, &"succeeded".into()));
    assert!(get.stderr.contains(&named), "{}", get.stderr);
    let get = runs(&bench, &["get", &first]);
    assert_eq!((get.code, get.stdout.as_str()), (4, ""));
    assert!(
        get.stderr.lines().last().unwrap().contains(&named),
        "{}",
        get.stderr
    );
}

#[test]
fn a_run_without_a_readable_head_is_told_in_its_place() {
    let (bench, [first, second]) = two_runs();
    // A frame names its keys before its values and again behind them: the last but one place is before the values
    // of the run's last commit, of which the head is the first.
    let before_values = |places: &[usize]| places[places.len() - 2];
    damage_behind(&bench, &format!("head/{first}"), before_values, "\"v\":1");
    let named = format!("a value is damaged (`head/{first}`)");
    refused_to_write(&bench, &[&named]);
    let list = runs(&bench, &["list", "-o", "json"]);
    assert_eq!(list.code, 4, "{}", list.stderr);
    assert!(
        list.stderr
            .contains(&format!("run {first} cannot be read: ")),
        "{}",
        list.stderr
    );
    assert_eq!(list.json()[0]["run"], second);
    assert_eq!(runs(&bench, &["get", &second]).code, 0);
    assert_eq!(runs(&bench, &["get", &first]).code, 4);
}

#[test]
fn wherever_a_synced_bit_is_flipped_nothing_is_written_and_nothing_panics() {
    let (bench, _) = two_runs();
    let (path, end) = (bench.path(LOG), synced(&bench));
    let whole = fs::read(&path).unwrap();
    for place in 0..PLACES {
        let at = end * place / PLACES;
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let said = runs(&bench, &["resume"]);
        let named = said.stderr.contains("00000000000000000001.log");
        assert!(
            said.code == 4 && named && said.stdout.is_empty(),
            "byte {at}: {said:?}"
        );
        assert!(
            fs::read(&path).unwrap() == bytes,
            "byte {at}: the log was changed"
        );
        let said = runs(&bench, &["list"]);
        assert!(
            [0, 4].contains(&said.code) && !said.stderr.is_empty(),
            "byte {at}: {said:?}"
        );
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(runs(&bench, &["resume"]).code, 0);
}

#[test]
fn a_torn_tail_is_cut_without_a_word_and_everything_synced_is_there() {
    let (bench, ids) = two_runs();
    let end = synced(&bench);
    let tails: [fn(&mut Vec<u8>, usize); 3] = [
        |log, end| log.truncate(end),
        |log, end| log[end..end + 100].fill(0xA5),
        |log, end| {
            // The beginning of the last frame once more, as if the next one were half written.
            log.copy_within(end - 200..end - 100, end);
        },
    ];
    for tail in tails {
        let end = synced(&bench).max(end);
        change_log(&bench, |log| tail(log, end));
        let list = runs(&bench, &["list", "-o", "json"]);
        assert_eq!((list.code, list.stderr.as_str()), (0, ""));
        let listed = list.json();
        let listed: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|run| &run["run"])
            .collect();
        assert!(
            ids.iter()
                .rev()
                .all(|id| listed.iter().any(|run| *run == id)),
            "{listed:?}"
        );
        let run = bench.run(&[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!run.stderr.contains("damage"), "{}", run.stderr);
    }
    assert_eq!(
        runs(&bench, &["list", "-o", "json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn a_log_that_ends_before_what_was_synced_is_damaged() {
    let (bench, _) = two_runs();
    let end = synced(&bench);
    change_log(&bench, |log| log.truncate(end - 1));
    refused_to_write(
        &bench,
        &["error: damaged: ", "/00000000000000000001.log at byte "],
    );
    fs::remove_file(bench.path(LOG)).unwrap();
    refused_to_write(
        &bench,
        &[
            "error: damaged: ",
            "/00000000000000000001.log at byte ",
            "the file is gone",
        ],
    );
}

#[test]
fn files_of_another_format_version_are_refused() {
    let (bench, _) = two_runs();
    let path = bench.path("state/store/synced");
    let mut marker = fs::read(&path).unwrap();
    marker[SYNCED_VERSION_AT] = 9;
    fs::write(&path, marker).unwrap();
    let message = "synced has format version 9, this build reads 1; use the build that wrote it";
    refused_to_write(&bench, &[message]);
    let list = runs(&bench, &["list"]);
    assert_eq!((list.code, list.stdout.as_str()), (4, ""));
    assert!(list.stderr.contains(message), "{}", list.stderr);
}

#[test]
fn a_record_of_another_version_is_named_and_does_not_hide_the_others() {
    let (bench, [first, second]) = two_runs();
    let key = format!("head/{first}");
    for (version, message) in [
        (
            r#"{"v":2}"#,
            format!("the record `{key}` is of version 2; this host reads version 1"),
        ),
        (
            r#"{"v":0}"#,
            format!("the record `{key}` is of version 0; this host reads version 1"),
        ),
        (
            "{}",
            format!("the record `{key}` cannot be read: missing field `v`"),
        ),
        (
            r#"{"v":1}"#,
            format!("the record `{key}` cannot be read: missing field"),
        ),
    ] {
        let store = Embedded::open(&bench.path("state/store")).unwrap();
        let written = Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async {
                let revision = store.commit(Batch::new().put(key.clone(), version)).await?;
                store.sync(revision).await
            });
        written.unwrap();
        drop(store);
        for verb in ["get", "resume", "retry", "rerun"] {
            let said = runs(&bench, &[verb, &first]);
            assert_eq!(
                (said.code, said.stdout.as_str()),
                (4, ""),
                "{}",
                said.stderr
            );
            assert!(said.stderr.contains(&message), "{}", said.stderr);
        }
        let list = runs(&bench, &["list", "-o", "json"]);
        assert_eq!((list.code, list.json().as_array().unwrap().len()), (4, 1));
        assert!(list.stderr.contains(&message), "{}", list.stderr);
        assert_eq!(runs(&bench, &["get", &second]).code, 0);
    }
}
