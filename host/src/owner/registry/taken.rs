//! Drivers that are being taken for a run that is not in the store yet.
//!
//! Whoever removes a driver has new runs wait for it first, then waits for those who took what was served before: their
//! runs are in the store by then, or never will be. So the look at the open runs that follows misses none.

use super::super::OwnerError;
use super::Registry;
use super::served::Served;
use crate::documents::Pipeline;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long an order waits for a driver that is being compiled or removed, and a removal for orders.
const SETTLED_WAIT_MAX: Duration = Duration::from_secs(60);

/// Those who take drivers now.
pub(super) struct Takers(Mutex<watch::Sender<()>>);

/// That somebody takes drivers, until his run is in the store.
#[must_use]
pub(in crate::owner) struct Taking {
    _taking: watch::Receiver<()>,
}

impl Default for Takers {
    fn default() -> Self {
        Takers(Mutex::new(watch::Sender::new(())))
    }
}

impl Takers {
    fn take(&self) -> Taking {
        Taking {
            _taking: self.0.lock().subscribe(),
        }
    }

    /// Waits for everybody who takes drivers now; those who come later are not waited for.
    async fn until_gone(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), watch::Sender::new(()));
        before.closed().await;
    }
}

impl Registry {
    /// What is served, once it is so: for a run that is in the store before the other is dropped.
    async fn take_when(
        &self,
        is_so: impl Fn(&Served) -> bool,
    ) -> Result<(Taking, Arc<Served>), OwnerError> {
        let mut changes = self.served.subscribe();
        let taken = async {
            loop {
                // In this order: what is served now may be removed by somebody who does not wait for us.
                let taking = self.takers.take();
                let served = Arc::clone(&changes.borrow_and_update());
                if is_so(&served) {
                    return Ok((taking, served));
                }
                drop(taking);
                changes.changed().await.map_err(|_| OwnerError::Closed)?;
            }
        };
        let taken = tokio::time::timeout(SETTLED_WAIT_MAX, taken).await;
        taken.unwrap_or(Err(OwnerError::Unready))
    }

    /// Waits until whoever has taken drivers by now has his run in the store.
    pub(super) async fn until_taken(&self) -> Result<(), OwnerError> {
        let gone = tokio::time::timeout(SETTLED_WAIT_MAX, self.takers.until_gone());
        gone.await.map_err(|_| OwnerError::Contended)
    }

    /// What is served, once each driver of the pipeline has been compiled and none is being removed.
    pub(super) async fn compiled(
        &self,
        pipeline: &Pipeline,
    ) -> Result<(Taking, Arc<Served>), OwnerError> {
        self.take_when(|served| served.is_settled(pipeline)).await
    }

    /// For a run of a pipeline with bytes of its own, once none of its drivers is being removed.
    pub(in crate::owner) async fn take(&self, pipeline: &Pipeline) -> Result<Taking, OwnerError> {
        let taken = self.take_when(|served| !served.removes_one_of(pipeline));
        Ok(taken.await?.0)
    }
}
