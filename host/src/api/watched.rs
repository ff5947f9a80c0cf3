//! A run that somebody watches: how far it has come, and word when it goes on.

use super::Shared;
use crate::owner::{HeldFeed, Marks, OwnerError};
use beltline_engine::RunId;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) struct Watched {
    pub(super) owner: Shared,
    pub(super) id: RunId,
    pub(super) feed: HeldFeed,
    marks: watch::Receiver<Marks>,
}

impl Watched {
    pub(super) fn new(owner: &Shared, id: RunId) -> Self {
        let feed = owner.feed(id);
        Watched {
            owner: Arc::clone(owner),
            id,
            marks: feed.subscribe(),
            feed,
        }
    }

    /// How far the run has come. One that is gone has ended.
    pub(super) async fn marks(&mut self) -> Result<Marks, OwnerError> {
        let marks = *self.marks.borrow_and_update();
        if marks.written > 0 {
            return Ok(marks);
        }
        // No runner has had it since we watch: what the store has is durable.
        let head = self.owner.runs().head(self.id).await?;
        let has_ended = head.as_ref().is_none_or(|head| head.is_ended());
        let revision = head.map_or(0, |head| head.revision);
        Ok(Marks {
            written: revision,
            durable: revision,
            has_ended,
            ..marks
        })
    }

    /// Waits until it goes on; says whether anybody could still tell.
    pub(super) async fn changed(&mut self) -> bool {
        self.marks.changed().await.is_ok()
    }
}
