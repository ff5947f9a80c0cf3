//! Against a map: whatever is done, the store and the map say the same.

use super::{Folder, Random, State, apply, open, state};
use crate::store::{Batch, Order, StoreError};

#[test]
fn store_and_map_agree() {
    for seed in 0..40 {
        run(seed, 400 + 37 * seed);
    }
}

fn run(seed: u64, segment_bytes: u64) {
    let folder = Folder::new(segment_bytes);
    let dir = folder.dir.path();
    let mut random = Random(seed);
    let mut model = State::new();
    let mut store = open(dir, segment_bytes).unwrap();
    let (mut last, mut compactions) = (Default::default(), 0);
    for step in 0..250 {
        match random.below(10) {
            0 => {
                compactions += store.state().log.counters.compactions;
                drop(store);
                store = open(dir, segment_bytes).unwrap();
                assert_eq!(state(&store).unwrap(), model, "seed {seed} step {step}");
            }
            1 => store.sync_now(last).unwrap(),
            2 => scan(&store, &model, &mut random),
            _ => {
                let batch = expecting(random.batch(), &model, &mut random);
                let holds = batch.expectations().iter().all(|(key, revision)| {
                    model.get(key).map(|(_, revision)| *revision) == *revision
                });
                match store.commit_now(&batch) {
                    Ok(revision) => {
                        assert!(holds && revision >= last);
                        apply(&mut model, &batch, revision);
                        last = revision;
                    }
                    Err(StoreError::Conflict { .. }) => assert!(!holds),
                    Err(error) => panic!("seed {seed} step {step}: {error}"),
                }
            }
        }
    }
    assert_eq!(state(&store).unwrap(), model, "seed {seed}");
    assert!(
        compactions + store.state().log.counters.compactions > 0,
        "seed {seed}"
    );
    assert_eq!(store.check().unwrap(), []);
}

/// Adds expectations, most of them true.
fn expecting(mut batch: Batch, model: &State, random: &mut Random) -> Batch {
    for key in ["run/1/x", "run/2/xx"] {
        let revision = model.get(key).map(|(_, revision)| *revision);
        batch = match (random.below(8), revision) {
            (0, _) => batch.expect(key, Default::default()),
            (1 | 2, Some(revision)) => batch.expect(key, revision),
            (1 | 2, None) => batch.expect_absent(key),
            _ => batch,
        };
    }
    batch
}

fn scan(store: &super::Embedded, model: &State, random: &mut Random) {
    let prefix = ["", "run/", "run/1", "run/1/", "s"][random.below(5)];
    let after = [None, Some("run/1/x"), Some("run/10/"), Some("a"), Some("z")][random.below(5)];
    let limit = random.below(14);
    let within = |key: &&String| key.starts_with(prefix);
    let up = model
        .keys()
        .filter(within)
        .filter(|key| after.is_none_or(|after| key.as_str() > after));
    let down = model
        .keys()
        .rev()
        .filter(within)
        .filter(|key| after.is_none_or(|after| key.as_str() < after));
    let keys = |order| {
        let records = store.scan_now(prefix, after, order, limit).unwrap();
        records
            .into_iter()
            .map(|record| record.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(Order::Ascending),
        up.take(limit).cloned().collect::<Vec<_>>()
    );
    assert_eq!(
        keys(Order::Descending),
        down.take(limit).cloned().collect::<Vec<_>>()
    );
}
