//! Bytes of a state with several runs, changed at random before its last synced commit. Whatever is changed, `belt`
//! shows what is whole as it was, and names the rest: nothing is lost or other than it was without a word.

use super::{LOG, runs, synced};
use crate::belt::{Bench, Said};
use serde_json::Value;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SEEDS: u64 = 1_000;
const UNSURE: &str = "something of the state is lost, and nobody can tell what";

/// What `belt` says of an undamaged state.
struct Whole {
    log: Vec<u8>,
    marker: Vec<u8>,
    synced: usize,
    list: Value,
    runs: Vec<(String, Value)>,
}

fn whole() -> Whole {
    let bench = Bench::new(&["echo", "fail", "relay"]);
    let steps: [&[&str]; 4] = [
        &["{id: one, driver: echo}", "{id: two, driver: relay}"],
        &[
            "{id: bad, driver: fail, with: {kind: permanent, reason: no}}",
            "{driver: echo}",
        ],
        &[
            "{driver: fail, retry: {max_attempts: 3, backoff: 1ms}, with: {kind: retryable, reason: no}}",
        ],
        &["{id: last, driver: relay}"],
    ];
    for steps in steps {
        bench.pipeline("", steps);
        assert!([0, 1].contains(&bench.run(&[]).code));
    }
    let list = runs(&bench, &["list", "-o", "json"]).json();
    let ids = list.as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|run| run["run"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    let get = |id: &String| (id.clone(), runs(&bench, &["get", id, "-o", "json"]).json());
    Whole {
        log: fs::read(bench.path(LOG)).unwrap(),
        marker: fs::read(bench.path("state/store/synced")).unwrap(),
        synced: synced(&bench),
        list,
        runs: ids.iter().map(get).collect(),
    }
}

#[test]
fn whatever_bytes_are_changed_nothing_is_lost_without_a_word() {
    let whole = whole();
    if let Ok(seed) = std::env::var("BELTLINE_SEED") {
        return held(&whole, &Bench::new(&[]), seed.parse().unwrap())
            .map(drop)
            .unwrap();
    }
    let (next, unsure) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let bench = Bench::new(&[]);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            match held(&whole, &bench, seed) {
                Ok(is_unsure) => unsure.fetch_add(u64::from(is_unsure), Ordering::Relaxed),
                Err(why) => panic!("BELTLINE_SEED={seed}: {why}"),
            };
        }
    };
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let unsure = unsure.into_inner();
    assert!(
        unsure < SEEDS / 2,
        "of {unsure} nobody could tell what was lost"
    );
}

/// Damages the state as this seed has it and looks at all of it. Whether nobody can tell what is lost.
fn held(whole: &Whole, bench: &Bench, seed: u64) -> Result<bool, String> {
    let mut random = Random(seed);
    let mut log = whole.log.clone();
    for _ in 0..=random.below(3) {
        let at = random.below(whole.synced);
        log[at] ^= u8::try_from(1 + random.below(255)).unwrap();
    }
    bench.write(LOG, &log);
    bench.write("state/store/synced", &whole.marker);
    let is_damaged = log != whole.log;

    let list = runs(bench, &["list", "-o", "json"]);
    let is_unsure = list.stderr.contains(UNSURE);
    exit_code(&list)?;
    if list.code == 0 && is_damaged && list.stderr.is_empty() {
        return Err(format!("no word of the damage: {list:?}"));
    }
    let listed = parsed(&list)?;
    let empty = Vec::new();
    let listed = listed.as_array().unwrap_or(&empty);
    for run in whole.list.as_array().unwrap() {
        let found = listed.iter().find(|found| found["run"] == run["run"]);
        let id = run["run"].as_str().unwrap();
        let is_named = list.code == 4 && (is_unsure || list.stderr.contains(id));
        if found != Some(run) && !is_named {
            return Err(format!("{id} is listed as {found:?}: {}", list.stderr));
        }
    }
    for (id, run) in &whole.runs {
        let get = runs(bench, &["get", id, "-o", "json"]);
        exit_code(&get)?;
        let is_same = !get.stdout.is_empty() && parsed(&get)? == *run;
        // A record that several runs share has no run's id in its name.
        let last = get.stderr.lines().last().unwrap_or_default();
        let is_named =
            get.code == 4 && (last.contains(UNSURE) || last.starts_with("error: damaged: "));
        if !is_same && !is_named {
            return Err(format!("{id} is shown as {get:?}"));
        }
        // What is not named is there, whatever became of the others.
        if !is_same && !is_unsure && !list.stderr.contains(id.as_str()) {
            return Err(format!(
                "{id} is not named by the list, and shown as {get:?}"
            ));
        }
    }
    Ok(is_unsure)
}

fn exit_code(said: &Said) -> Result<(), String> {
    match [0, 4].contains(&said.code) && !said.stderr.contains("panicked") {
        true => Ok(()),
        false => Err(format!("{said:?}")),
    }
}

fn parsed(said: &Said) -> Result<Value, String> {
    if said.stdout.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&said.stdout).map_err(|error| format!("{error}: {said:?}"))
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}
