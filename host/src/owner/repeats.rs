//! Answers to requests that may be repeated: kept for a day, or for as long as there is room for as many as come.
//!
//! Owns how long they are kept, and looks through a part of them with each sweep.

use super::sweep::ANSWERS;
use crate::store::{Batch, Order, Store, StoreError};
use parking_lot::Mutex;
use serde::Deserialize;

/// How long an answer is kept.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// About so many are kept: the keys of all are in memory.
const COUNT_MAX: u64 = 1_000_000;

/// Answers that are read at once.
const PAGE: usize = 1_000;

/// Pages that are looked through with each sweep.
const PAGES_MAX: usize = 50;

/// How far they have been looked through.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<Pass>);

/// From the first to the last of them.
#[derive(Debug, Clone)]
struct Pass {
    after: Option<String>,
    seen: u64,
    kept_ms: u64,
}

impl Default for Pass {
    fn default() -> Self {
        Pass::after(0)
    }
}

impl Pass {
    /// The one that follows one that has seen so many.
    fn after(seen: u64) -> Self {
        let share = COUNT_MAX as f64 / seen.max(COUNT_MAX) as f64;
        Pass {
            after: None,
            seen: 0,
            kept_ms: (DAY_MS as f64 * share) as u64,
        }
    }
}

/// What is read of an answer.
#[derive(Deserialize)]
struct Kept {
    at_ms: u64,
}

impl Repeats {
    /// Forgets those that nobody repeats any more, as far as it comes.
    ///
    /// # Errors
    /// The store's; what is left goes with a later sweep.
    pub(super) async fn sweep(&self, store: &dyn Store, now_ms: u64) -> Result<(), StoreError> {
        let mut pass = self.0.lock().clone();
        for _ in 0..PAGES_MAX {
            let after = pass.after.as_deref();
            let page = store.scan(ANSWERS, after, Order::Ascending, PAGE).await?;
            let is_old = |value: &[u8]| {
                let kept = serde_json::from_slice::<Kept>(value);
                kept.is_ok_and(|kept| kept.at_ms.saturating_add(pass.kept_ms) < now_ms)
            };
            let old = page.iter().filter(|one| is_old(&one.value));
            let batch = old.fold(Batch::new(), |batch, one| batch.delete(&one.key));
            if !batch.deletes().is_empty() {
                store.commit(batch).await?;
            }
            pass.seen += page.len() as u64;
            pass.after = page.last().map(|last| last.key.clone());
            if page.len() < PAGE {
                *self.0.lock() = Pass::after(pass.seen);
                return Ok(());
            }
        }
        *self.0.lock() = pass;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Embedded;

    #[tokio::test]
    async fn answers_go_when_they_are_older_than_a_day_and_a_part_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let now_ms = 3 * DAY_MS;
        let count = PAGE * PAGES_MAX + 10;
        let kept = |nth: usize| {
            // Every second one is a day and a moment old.
            let at_ms = now_ms - DAY_MS - (nth as u64 % 2);
            let kept = format!("{{\"at_ms\":{at_ms},\"status\":201}}");
            (format!("{ANSWERS}{nth:06}"), kept)
        };
        let all: Vec<_> = (0..count).collect();
        for some in all.chunks(PAGE) {
            let some = some.iter().map(|nth| kept(*nth));
            let batch = some.fold(Batch::new(), |batch, (key, kept)| batch.put(key, kept));
            store.commit(batch).await.unwrap();
        }
        let other = Batch::new().put("other/1", "{}");
        store.commit(other).await.unwrap();
        let left = async || {
            let all = store.keys(ANSWERS, None, Order::Ascending, 2 * count);
            all.await.unwrap().len()
        };
        let repeats = Repeats::default();
        repeats.sweep(&store, now_ms).await.unwrap();
        assert_eq!(left().await, count - PAGE * PAGES_MAX / 2);
        repeats.sweep(&store, now_ms).await.unwrap();
        assert_eq!(left().await, count / 2);
        assert!(store.get("other/1").await.unwrap().is_some());
    }

    #[test]
    fn where_more_come_than_there_is_room_for_they_are_kept_for_less_long() {
        assert_eq!(Pass::after(0).kept_ms, DAY_MS);
        assert_eq!(Pass::after(COUNT_MAX).kept_ms, DAY_MS);
        assert_eq!(Pass::after(4 * COUNT_MAX).kept_ms, DAY_MS / 4);
    }
}
