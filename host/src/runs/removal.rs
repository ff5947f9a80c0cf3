//! A run that goes, with every record of it.

use super::{Runs, RunsError, head_key, of_key, requeue_key, run_key};
use crate::records::{HeadRecord, RunRecord};
use crate::store::{Batch, Order, Revision, StoreError};
use beltline_engine::{Phase, RunId};

/// Keys that one commit removes.
const KEYS_MAX: usize = 1_000;

impl Runs {
    /// What a removal compares of a run's head; `None` where there is no such run, or it has not ended.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn ended_head(&self, id: RunId) -> Result<Option<Revision>, RunsError> {
        let found = self.read::<HeadRecord>(&head_key(id)).await?;
        let ended = |head: HeadRecord| matches!(head.head(0).phase, Phase::Ended { .. });
        Ok(found.and_then(|(head, revision)| ended(head).then_some(revision)))
    }

    /// Removes a run if its head is still as it was read: says whether it was. A run of very many records goes in several
    /// commits, its head with the last; nobody may have it go on between them.
    ///
    /// # Errors
    /// The store's.
    pub async fn remove(&self, record: &RunRecord, head: Revision) -> Result<bool, RunsError> {
        let keys = self.keys_of(record, KEYS_MAX).await?;
        for some in keys.chunks(KEYS_MAX) {
            let batch = Batch::new().expect(head_key(record.run), head);
            let batch = some.iter().fold(batch, |batch, key| batch.delete(key));
            match self.store.commit(batch).await {
                Ok(_) => {}
                Err(StoreError::Conflict { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Every key of a run, that of its head last. More than `page` are read in several goes.
    async fn keys_of(&self, record: &RunRecord, page: usize) -> Result<Vec<String>, RunsError> {
        let id = record.run;
        let mut keys = Vec::new();
        for prefix in
            ["step", "output", "event", "dispatch", "ignored"].map(|sort| format!("{sort}/{id}/"))
        {
            let mut after: Option<String> = None;
            loop {
                let after_key = after.as_deref();
                let some = self
                    .store
                    .keys(&prefix, after_key, Order::Ascending, page)
                    .await?;
                let is_last = some.len() < page;
                after = some.last().cloned();
                keys.extend(some);
                if is_last {
                    break;
                }
            }
        }
        keys.push(requeue_key(id));
        keys.push(of_key(&record.kind, &record.resource, id));
        keys.push(run_key(id));
        keys.push(head_key(id));
        Ok(keys)
    }
}
