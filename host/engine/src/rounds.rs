//! A new round of an ended run, because a person asked for it. It covers the step asked for, every
//! step that waits for a covered one, and every other step that did not succeed, so that the run can
//! succeed. What it does not cover keeps its outcome.

use crate::change::Change;
use crate::{Phase, Run, Step};

impl Change<'_> {
    /// Begins a new round, unless the request is refused.
    pub(crate) fn retry_from(&mut self, from: Option<u32>) {
        if self.before().refuses_retry(from).is_some() {
            return;
        }
        let Some(from) = from.or_else(|| self.before().first_unsuccessful()) else {
            return;
        };
        let round = self.next_round();
        let deadline_ms = self.now_ms.saturating_add(self.plan().timeout_ms);
        self.set_phase(Phase::Running { deadline_ms });
        let mut covered = vec![false; self.steps().len()];
        for step in self.indices() {
            let is_covered = step == from || self.is_drawn_in(step, &covered);
            if let (true, Some(current)) = (is_covered, self.step(step)) {
                let next = Step::begin(round, current.attempts);
                self.set_step(step, next);
            }
            if let Some(place) = covered.get_mut(step as usize) {
                *place = is_covered;
            }
        }
    }

    fn is_drawn_in(&self, step: u32, covered: &[bool]) -> bool {
        let succeeded = self
            .step(step)
            .is_some_and(|step| step.state.is_succeeded());
        let after = self
            .plan()
            .step(step)
            .map(|plan| plan.after.as_slice())
            .unwrap_or_default();
        !succeeded
            || after
                .iter()
                .any(|&after| covered.get(after as usize) == Some(&true))
    }
}

impl Run {
    /// The first step that did not succeed.
    pub(crate) fn first_unsuccessful(&self) -> Option<u32> {
        let index = self
            .steps
            .iter()
            .position(|step| !step.state.is_succeeded())?;
        u32::try_from(index).ok()
    }
}
