//! Runs whose thread a guest's file call holds up: a file system that does not answer.
//!
//! Nothing in this process can end such a call, and its attempt has not ended before it does. `belt run` ends the process
//! instead; a host that carries other runs writes down that the step failed, and keeps the run's place in the books: no
//! other run of its resource, and no new round of it, begins beside that call.

use super::{Owner, OwnerError};
use crate::clock;
use beltline_engine::{Answer, Failure, FailureKind, Input, Run, RunId};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How much later than its deadline a runner may look up: a long file call on a slow disk takes less, and one that
/// never returns is told apart from it soon enough.
const HELD_UP_MS: u64 = 5_000;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after the runs for as long as the owner is there.
pub(super) async fn keep(owner: Weak<Owner>) {
    let mut told = HashSet::new();
    loop {
        {
            let Some(owner) = owner.upgrade() else { return };
            let held_up = owner.held_up(clock::now_ms());
            owner.metrics.held_up(held_up.len());
            told.retain(|id| held_up.contains(id));
            for id in held_up {
                if told.contains(&id) {
                    continue;
                }
                match owner.give_up(id).await {
                    Ok(true) => _ = told.insert(id),
                    Ok(false) => {}
                    Err(error) => owner.trouble(id, &error),
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Owner {
    /// The runs whose threads are held up.
    pub fn held_up(&self, now_ms: u64) -> Vec<RunId> {
        self.feeds.waiting_since(now_ms.saturating_sub(HELD_UP_MS))
    }

    /// Writes down that the steps of a run that are over their time have failed; whether it has ended by that.
    async fn give_up(self: &Arc<Self>, id: RunId) -> Result<bool, OwnerError> {
        let mut stored = self.stored(id).await?;
        for input in overdue(&stored.run, clock::now_ms()) {
            self.fold(&mut stored, &input, None).await?;
        }
        self.runs.store().sync(stored.head).await?;
        if stored.run.is_ended() {
            tracing::error!(run = %id, "a file call of a step does not return and holds a thread; its run has failed");
            self.feed(id).begin(&stored.run);
        }
        Ok(stored.run.is_ended())
    }
}

/// What is answered for the attempts here that should have ended.
fn overdue(run: &Run, now_ms: u64) -> Vec<Input> {
    let steps = (0_u32..).zip(&run.steps);
    let overdue = steps.filter_map(|(step, now)| {
        let here = now
            .open_attempt()
            .filter(|_| now.native_attempt().is_none());
        let is_over = run.attempt_deadline_ms(step)? <= now_ms;
        here.filter(|_| is_over).map(|attempt| (step, attempt))
    });
    let failed = |(step, attempt)| Input::Answer {
        step,
        attempt,
        answer: Answer::Failed(Failure::new(
            FailureKind::Limit,
            "it is past its timeout in a file call that does not return (a network file system?)",
        )),
    };
    overdue.map(failed).collect()
}
