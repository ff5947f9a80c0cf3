//! The contract: one suite that every adapter passes.
//!
//! An adapter's tests implement [`Site`] and name it once: `contract!(MySite::new())`. Each case below
//! then runs as a test of its own against a fresh site.

use std::future::Future;
use std::sync::{Arc, Barrier};
use std::thread;

use super::{
    BATCH_BYTES_MAX, BATCH_KEYS_MAX, Batch, KEY_BYTES_MAX, Order, Record, Revision, Store,
    StoreError, VALUE_BYTES_MAX,
};

/// A place where one store is kept.
pub(super) trait Site: Sync {
    /// Opens the store; the one opened before has been dropped.
    fn open(&self) -> Arc<dyn Store>;

    /// Waits for an answer, on whatever runtime the adapter needs. Called from many threads at once.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T;
}

/// Every case as a test. The expression makes a fresh site.
macro_rules! contract {
    ($site:expr) => {
        $crate::store::contract::contract!(
            $site; absent_keys, put_get_delete, compare_and_swap, all_or_nothing, revisions_increase,
            changes_of_nothing, scans, scan_pages, limits, repeated_keys, reopened, sync_before_writing,
            one_sync_for_many, counter_of_many_threads, no_half_commits
        );
    };
    ($site:expr; $($case:ident),*) => {
        $(#[test] fn $case() { $crate::store::contract::$case(&$site); })*
    };
}
pub(super) use contract;

/// The store, with waiting built in.
struct Client<'a, S> {
    site: &'a S,
    store: Arc<dyn Store>,
}

impl<'a, S: Site> Client<'a, S> {
    fn open(site: &'a S) -> Self {
        Self {
            site,
            store: site.open(),
        }
    }

    fn get(&self, key: &str) -> Option<Record> {
        self.site.wait(self.store.get(key)).unwrap()
    }

    fn value(&self, key: &str) -> Option<String> {
        self.get(key)
            .map(|record| String::from_utf8(record.value).unwrap())
    }

    fn revision(&self, key: &str) -> Revision {
        self.get(key).unwrap().revision
    }

    fn commit(&self, batch: Batch) -> Revision {
        self.try_commit(batch).unwrap()
    }

    fn try_commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.site.wait(self.store.commit(batch))
    }

    fn sync(&self, upto: Revision) -> Result<(), StoreError> {
        self.site.wait(self.store.sync(upto))
    }

    /// As `keys` has them, which are those that `scan` has.
    fn keys(&self, prefix: &str, after: Option<&str>, order: Order, limit: usize) -> String {
        let scan = self.store.scan(prefix, after, order, limit);
        let records = self.site.wait(scan).unwrap();
        let keys = self.store.keys(prefix, after, order, limit);
        let keys = self.site.wait(keys).unwrap();
        assert!(keys.iter().eq(records.iter().map(|record| &record.key)));
        keys.join(" ")
    }

    fn conflict(&self, batch: Batch) -> String {
        match self.try_commit(batch) {
            Err(StoreError::Conflict { key }) => key,
            other => panic!("no conflict but {other:?}"),
        }
    }
}

fn put(key: &str, value: &str) -> Batch {
    Batch::new().put(key, value)
}

pub(super) fn absent_keys(site: &impl Site) {
    let store = Client::open(site);
    assert_eq!(store.get("a"), None);
    assert_eq!(store.keys("", None, Order::Ascending, 10), "");
}

pub(super) fn put_get_delete(site: &impl Site) {
    let store = Client::open(site);
    let revision = store.commit(put("a", "1").put("empty", ""));
    let record = Record {
        key: "a".into(),
        value: b"1".into(),
        revision,
    };
    assert_eq!(store.get("a"), Some(record));
    assert_eq!(store.value("empty").as_deref(), Some(""));
    store.commit(put("a", "2").delete("empty"));
    assert_eq!(store.value("a").as_deref(), Some("2"));
    assert_eq!(store.value("empty"), None);
}

pub(super) fn compare_and_swap(site: &impl Site) {
    let store = Client::open(site);
    let first = store.commit(put("a", "1").expect_absent("a"));
    assert_eq!(store.conflict(put("a", "x").expect_absent("a")), "a");
    let second = store.commit(put("a", "2").expect("a", first));
    assert_eq!(store.conflict(put("a", "x").expect("a", first)), "a");
    assert_eq!(
        store.conflict(put("b", "x").expect("missing", second)),
        "missing"
    );
    let third = store.commit(Batch::new().delete("a").expect("a", second));
    assert_eq!(store.conflict(put("a", "x").expect("a", second)), "a");
    assert_eq!(
        store.conflict(put("a", "x").expect("a", third)),
        "a",
        "a delete leaves nothing"
    );
    store.commit(put("a", "3").expect_absent("a"));
    assert_eq!(store.value("a").as_deref(), Some("3"));
}

pub(super) fn all_or_nothing(site: &impl Site) {
    let store = Client::open(site);
    let revision = store.commit(put("a", "1").put("b", "1"));
    let batch = put("a", "2")
        .put("c", "2")
        .delete("b")
        .expect("a", revision);
    let wrong = batch.clone().expect("c", revision);
    assert_eq!(store.conflict(wrong), "c");
    assert_eq!(store.keys("", None, Order::Ascending, 10), "a b");
    assert_eq!(store.value("a").as_deref(), Some("1"));
    assert_eq!(store.revision("b"), revision);
    store.commit(batch);
    assert_eq!(store.keys("", None, Order::Ascending, 10), "a c");
    assert_eq!(store.value("a").as_deref(), Some("2"));
}

pub(super) fn revisions_increase(site: &impl Site) {
    let store = Client::open(site);
    let first = store.commit(put("a", "1").put("b", "1"));
    let second = store.commit(put("a", "1"));
    assert!(first > Revision::default());
    assert!(second > first);
    assert_eq!((store.revision("a"), store.revision("b")), (second, first));
}

pub(super) fn changes_of_nothing(site: &impl Site) {
    let store = Client::open(site);
    let first = store.commit(put("a", "1"));
    let before = store.store.counters();
    assert_eq!(store.commit(Batch::new().expect("a", first)), first);
    assert_eq!(store.commit(Batch::new().delete("missing")), first);
    assert_eq!(store.conflict(Batch::new().expect_absent("a")), "a");
    assert_eq!(store.store.counters().commits, before.commits);
    store.sync(first).unwrap();
}

pub(super) fn scans(site: &impl Site) {
    let store = Client::open(site);
    let keys = [
        "a",
        "a/1",
        "a/10",
        "a/2",
        "a0",
        "b",
        "ä/1",
        "a/\u{10ffff}",
        "a/\u{10ffff}x",
    ];
    store.commit(
        keys.iter()
            .fold(Batch::new(), |batch, key| batch.put(*key, "")),
    );
    let all = |prefix, order| store.keys(prefix, None, order, 100);
    let last = "a/\u{10ffff}";
    assert_eq!(
        all("a/", Order::Ascending),
        format!("a/1 a/10 a/2 {last} {last}x")
    );
    assert_eq!(
        all("a/", Order::Descending),
        format!("{last}x {last} a/2 a/10 a/1")
    );
    assert_eq!(all(last, Order::Descending), format!("{last}x {last}"));
    assert_eq!(all("ä", Order::Descending), "ä/1");
    assert_eq!(all("c", Order::Ascending), "");
    assert_eq!(all("", Order::Ascending).split(' ').count(), keys.len());
    assert!(all("", Order::Descending).starts_with("ä/1 b a0"));
}

pub(super) fn scan_pages(site: &impl Site) {
    let store = Client::open(site);
    let keys = ["r/1", "r/2", "r/3", "q", "s"];
    store.commit(
        keys.iter()
            .fold(Batch::new(), |batch, key| batch.put(*key, "")),
    );
    let page = |after, order, limit| store.keys("r/", after, order, limit);
    assert_eq!(page(None, Order::Ascending, 2), "r/1 r/2");
    assert_eq!(page(Some("r/2"), Order::Ascending, 2), "r/3");
    assert_eq!(
        page(Some("r/15"), Order::Ascending, 1),
        "r/2",
        "after a key that is not there"
    );
    assert_eq!(
        page(Some("a"), Order::Ascending, 9),
        "r/1 r/2 r/3",
        "after a key before all"
    );
    assert_eq!(page(Some("z"), Order::Ascending, 9), "");
    assert_eq!(page(None, Order::Descending, 2), "r/3 r/2");
    assert_eq!(page(Some("r/2"), Order::Descending, 2), "r/1");
    assert_eq!(page(Some("z"), Order::Descending, 9), "r/3 r/2 r/1");
    assert_eq!(page(Some("a"), Order::Descending, 9), "");
    assert_eq!(page(None, Order::Ascending, 0), "");
}

pub(super) fn limits(site: &impl Site) {
    let store = Client::open(site);
    let refused = |batch: Batch, expected: &str| {
        let error = store.try_commit(batch).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let key = "k".repeat(KEY_BYTES_MAX);
    store.commit(put(&key, "1").put("v", vec![7; VALUE_BYTES_MAX]));
    assert_eq!(store.value(&key).as_deref(), Some("1"));
    assert_eq!(store.get("v").unwrap().value, vec![7; VALUE_BYTES_MAX]);
    refused(
        put(&format!("{key}k"), ""),
        "bytes of a key: 513, at most 512",
    );
    refused(
        Batch::new().expect_absent(format!("{key}k")),
        "bytes of a key: 513, at most 512",
    );
    let value = vec![7; VALUE_BYTES_MAX + 1];
    refused(
        Batch::new().put("v", value),
        "bytes of a value: 1048577, at most 1048576",
    );
    refused(put("", "1"), "a key of the batch is empty");

    let full = (0..4).fold(Batch::new(), |batch, n| {
        batch.put(n.to_string(), vec![7; BATCH_BYTES_MAX / 4 - 1])
    });
    assert_eq!(full.bytes(), BATCH_BYTES_MAX);
    store.commit(full.clone());
    refused(
        full.delete("x"),
        "bytes of a batch: 4194305, at most 4194304",
    );
    let many = |count| (0..count).fold(Batch::new(), |batch, n| batch.put(format!("m/{n}"), ""));
    store.commit(many(BATCH_KEYS_MAX));
    refused(
        many(BATCH_KEYS_MAX).delete("x"),
        "changes of a batch: 1025, at most 1024",
    );
    assert_eq!(store.get("x"), None);
}

pub(super) fn repeated_keys(site: &impl Site) {
    let store = Client::open(site);
    let expected = "`a` comes twice in one batch";
    for batch in [
        put("a", "1").put("b", "1").put("a", "2"),
        put("a", "1").delete("a"),
        put("b", "1").expect_absent("a").expect_absent("a"),
    ] {
        assert_eq!(store.try_commit(batch).unwrap_err().to_string(), expected);
    }
    assert_eq!(store.keys("", None, Order::Ascending, 9), "");
}

pub(super) fn reopened(site: &impl Site) {
    let store = Client::open(site);
    for n in 0..50 {
        store.commit(put(&format!("k/{}", n % 7), &n.to_string()).put(format!("n/{n}"), "x"));
    }
    let last = store.commit(Batch::new().delete("k/3").delete("n/0"));
    let all = |store: &Client<'_, _>| {
        site.wait(store.store.scan("", None, Order::Ascending, usize::MAX))
            .unwrap()
    };
    let before = all(&store);
    assert_eq!(before.len(), 6 + 49);
    drop(store);
    let store = Client::open(site);
    assert_eq!(all(&store), before);
    store.sync(last).unwrap();
    assert!(store.commit(put("k/3", "again").expect_absent("k/3")) > last);
}

pub(super) fn sync_before_writing(site: &impl Site) {
    let store = Client::open(site);
    store.sync(Revision::default()).unwrap();
    let revision = store.commit(put("a", "1"));
    let next = Revision::new(revision.number() + 1);
    let error = store.sync(next).unwrap_err();
    assert!(
        matches!(error, StoreError::Unwritten { asked, last } if asked == next && last == revision)
    );
}

/// Commits that are all written when the first sync begins share it.
pub(super) fn one_sync_for_many(site: &impl Site) {
    const THREADS: usize = 16;
    let store = Client::open(site);
    let written = Barrier::new(THREADS);
    let before = store.store.counters();
    thread::scope(|scope| {
        for n in 0..THREADS {
            let (store, written) = (&store, &written);
            scope.spawn(move || {
                let revision = store.commit(put(&n.to_string(), "x"));
                written.wait();
                store.sync(revision).unwrap();
            });
        }
    });
    let after = store.store.counters();
    assert_eq!(after.commits - before.commits, THREADS as u64);
    assert!(
        after.syncs - before.syncs <= 1,
        "{} syncs",
        after.syncs - before.syncs
    );
}

/// Many threads add to one number by compare-and-swap; none of them loses an addition.
pub(super) fn counter_of_many_threads(site: &impl Site) {
    const THREADS: usize = 8;
    const ADDITIONS: usize = 40;
    let store = Client::open(site);
    store.commit(put("n", "0"));
    let add = || loop {
        let record = store.get("n").unwrap();
        let number: usize = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
        let batch = put("n", &(number + 1).to_string()).expect("n", record.revision);
        match store.try_commit(batch) {
            Ok(revision) => return store.sync(revision).unwrap(),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..ADDITIONS).for_each(|_| add()));
        }
    });
    assert_eq!(store.value("n"), Some((THREADS * ADDITIONS).to_string()));
    let counters = store.store.counters();
    assert_eq!(counters.commits, (THREADS * ADDITIONS) as u64 + 1);
    assert!(counters.syncs <= counters.commits);
}

/// A reader sees all of a commit or nothing of it, and never an earlier one after a later one.
pub(super) fn no_half_commits(site: &impl Site) {
    const COMMITS: usize = 300;
    let store = Client::open(site);
    store.commit(put("p/a", "0").put("p/b", "0"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=COMMITS {
                store.commit(put("p/a", &n.to_string()).put("p/b", n.to_string()));
            }
        });
        let mut seen = Revision::default();
        while store.value("p/a") != Some(COMMITS.to_string()) {
            let pair = site
                .wait(store.store.scan("p/", None, Order::Ascending, 2))
                .unwrap();
            assert_eq!(pair[0].value, pair[1].value);
            assert_eq!(pair[0].revision, pair[1].revision);
            assert!(pair[0].revision >= seen);
            seen = pair[0].revision;
        }
    });
}
