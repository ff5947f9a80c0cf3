//! A state in the making: the old one, and what differs so far. Steps are copied only when the first
//! of them changes, and then by pointer; a step that stays keeps its `Arc`. No rule of a run is here.

use std::sync::Arc;

use crate::{Head, Phase, Plan, Run, Step, StepState};

/// A state in the making.
pub(crate) struct Change<'run> {
    before: &'run Run,
    /// What deadlines are compared with.
    pub(crate) now_ms: u64,
    /// What is written down as the time of a change: never earlier than the last change.
    pub(crate) stamp_ms: u64,
    epoch: u64,
    round: u32,
    phase: Option<Phase>,
    steps: Option<Vec<Arc<Step>>>,
    changed: bool,
}

impl<'run> Change<'run> {
    pub(crate) fn of(before: &'run Run, now_ms: u64) -> Change<'run> {
        Change {
            before,
            now_ms,
            stamp_ms: now_ms.max(before.head.updated_ms),
            epoch: before.head.epoch,
            round: before.head.round,
            phase: None,
            steps: None,
            changed: false,
        }
    }

    /// The new state, if it differs from the old one.
    pub(crate) fn done(self) -> Option<Run> {
        if !self.changed {
            return None;
        }
        let before = self.before;
        let head = Head {
            revision: before.head.revision.saturating_add(1),
            epoch: self.epoch,
            round: self.round,
            created_ms: before.head.created_ms,
            updated_ms: self.stamp_ms,
            phase: self.phase.unwrap_or_else(|| before.head.phase.clone()),
        };
        let steps = self.steps.unwrap_or_else(|| before.steps.clone());
        Some(Run {
            id: before.id,
            plan: Arc::clone(&before.plan),
            head,
            steps,
        })
    }

    pub(crate) fn before(&self) -> &'run Run {
        self.before
    }

    pub(crate) fn plan(&self) -> &'run Plan {
        &self.before.plan
    }

    pub(crate) fn phase(&self) -> &Phase {
        self.phase.as_ref().unwrap_or(&self.before.head.phase)
    }

    pub(crate) fn steps(&self) -> &[Arc<Step>] {
        self.steps.as_deref().unwrap_or(&self.before.steps)
    }

    pub(crate) fn step(&self, step: u32) -> Option<&Step> {
        self.steps().get(step as usize).map(Arc::as_ref)
    }

    /// The indices of all steps.
    pub(crate) fn indices(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.before.steps.len()).unwrap_or(u32::MAX)
    }

    /// Whether any step differs so far.
    pub(crate) fn steps_changed(&self) -> bool {
        self.steps.is_some()
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = Some(phase);
        self.changed = true;
    }

    pub(crate) fn set_state(&mut self, step: u32, state: StepState) {
        if let Some(current) = self.step(step) {
            let next = current.with(state);
            self.set_step(step, next);
        }
    }

    pub(crate) fn set_step(&mut self, step: u32, next: Step) {
        let steps = self.steps.get_or_insert_with(|| self.before.steps.clone());
        if let Some(place) = steps.get_mut(step as usize) {
            *place = Arc::new(next);
            self.changed = true;
        }
    }

    /// Begins the next round and returns its number.
    pub(crate) fn next_round(&mut self) -> u32 {
        self.round = self.round.saturating_add(1);
        self.changed = true;
        self.round
    }

    /// A new owner: only one with a higher epoch, so that an older one cannot take the run back.
    pub(crate) fn claim(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.changed = true;
        }
    }
}
