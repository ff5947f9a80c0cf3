//! One at a time of those who want the same thing, by its name. Whoever wants another thing goes on beside them.

use super::Owner;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex as Waiting, OwnedMutexGuard};

/// Names that somebody has or waits for.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Waiting<()>>>>);

/// Whose turn it is, until it is dropped.
pub struct Turn<'t> {
    // Dropped first: the place then counts those who still wait.
    _held: OwnedMutexGuard<()>,
    _place: Place<'t>,
}

/// That somebody has a name or waits for it.
struct Place<'t> {
    turns: &'t Turns,
    name: String,
    line: Arc<Waiting<()>>,
}

impl Owner {
    /// Waits until nobody else has that name.
    pub async fn turn(&self, name: &str) -> Turn<'_> {
        self.turns.take(name).await
    }
}

impl Turns {
    async fn take(&self, name: &str) -> Turn<'_> {
        let place = Place {
            turns: self,
            name: name.to_owned(),
            line: Arc::clone(self.0.lock().entry(name.to_owned()).or_default()),
        };
        Turn {
            _held: Arc::clone(&place.line).lock_owned().await,
            _place: place,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock();
        // The map's and this one: nobody else has it or waits.
        if Arc::strong_count(&self.line) <= 2 {
            turns.remove(&self.name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn of_one_name_there_is_one_turn_and_nothing_is_left_of_it() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        let mut given_up = Box::pin(turns.take("a"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(given_up.as_mut().now_or_never().is_none());
        // Another name waits for nobody.
        drop(turns.take("b").now_or_never().unwrap());
        drop(given_up);
        drop(first);
        let second = second.await;
        assert!(turns.take("a").now_or_never().is_none());
        drop(second);
        assert!(turns.0.lock().is_empty());
    }
}
