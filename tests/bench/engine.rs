//! The run machine by itself.

use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline_engine::{
    Answer, Effect, Input, OnLost, Placement, Plan, PlanStep, Retry, Run, RunId,
};
use std::sync::Arc;

const NOW_MS: u64 = 1_700_000_000_000;

pub fn measure(effort: Effort, table: &mut Table) {
    let turns = effort.turns(20);
    let per_transition = |steps: u32| {
        let plan = plan(steps);
        let transitions = f64::from(2 * steps * turns);
        (
            timed(move || (0..turns).for_each(|_| drive(&plan))),
            transitions,
        )
    };
    let ((ten, of_ten), (hundred, of_hundred)) = (per_transition(10), per_transition(100));
    let [ten, hundred] = medians(effort, [ten, hundred]);
    table.figure("engine, a transition of 10 steps", ten / of_ten, "µs");
    table.bound(
        "engine, a transition of 100 steps",
        hundred / of_hundred,
        "µs",
        Goal::AtMost(2.0),
    );
}

/// From the first step's start to the last one's answer: two transitions a step, and what is wanted after each.
fn drive(plan: &Arc<Plan>) {
    let mut run = Run::new(RunId(7), Arc::clone(plan), 1, NOW_MS);
    while let Some(Effect::Attempt { step, attempt, .. }) = run.wanted().first().copied() {
        let placement = Placement::Wasm { effects: false };
        let started = run.on(
            &Input::Start {
                step,
                attempt,
                placement,
            },
            NOW_MS,
        );
        run = started.expect("the start counts");
        std::hint::black_box(run.wanted());
        let answer = Answer::Succeeded {
            message: String::new(),
            output: false,
        };
        let answered = run.on(
            &Input::Answer {
                step,
                attempt,
                answer,
            },
            NOW_MS,
        );
        run = answered.expect("the answer counts");
    }
    assert!(run.is_ended());
}

fn plan(steps: u32) -> Arc<Plan> {
    let steps = (0..steps).map(|step| PlanStep {
        id: format!("s{step}"),
        driver: "d".to_owned(),
        after: step.checked_sub(1).into_iter().collect(),
        timeout_ms: 600_000,
        queue_timeout_ms: 3_600_000,
        retry: Retry::default(),
        on_lost: OnLost::Retry,
    });
    Arc::new(Plan {
        timeout_ms: 3_600_000,
        steps: steps.collect(),
    })
}
