//! The store: a history of states, of which the first part is on disk. A killed host loses nothing that
//! was written; a power failure loses what was not synced, or some of it.

use beltline_engine::Run;

use crate::random::Random;

#[derive(Default)]
pub(crate) struct Store {
    written: Vec<Run>,
    synced: usize,
}

/// The state that a save was to replace is not the last one.
pub(crate) struct Stale;

impl Store {
    /// The last state and its place in the history.
    pub(crate) fn load(&self) -> Option<(usize, Run)> {
        let run = self.written.last()?.clone();
        Some((self.written.len() - 1, run))
    }

    /// Writes a state that replaces the one of this revision and epoch; `None` where there was none.
    /// `compares` is false only where a test takes the comparison away.
    pub(crate) fn save(
        &mut self,
        replaces: Option<(u64, u64)>,
        run: Run,
        compares: bool,
    ) -> Result<usize, Stale> {
        let last = self
            .written
            .last()
            .map(|run| (run.head.revision, run.head.epoch));
        if compares && last != replaces {
            return Err(Stale);
        }
        self.written.push(run);
        Ok(self.written.len() - 1)
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.written.len();
    }

    /// Whether a power failure cannot take the state at this place.
    pub(crate) fn is_synced(&self, place: usize) -> bool {
        place < self.synced
    }

    pub(crate) fn at(&self, place: usize) -> Option<&Run> {
        self.written.get(place)
    }

    /// The last state that a power failure cannot take.
    pub(crate) fn last_synced(&self) -> Option<&Run> {
        self.written.get(self.synced.checked_sub(1)?)
    }

    /// Keeps what was synced, and by chance some of what came after it. Returns how much is lost.
    pub(crate) fn power_failure(&mut self, random: &mut Random) -> usize {
        let written = self.written.len();
        let kept = match random.below(3) {
            0 => self.synced,
            1 => random.between(self.synced as u64, written as u64) as usize,
            _ => written,
        };
        self.written.truncate(kept);
        self.synced = kept;
        written - kept
    }
}
