//! The run machine by itself.

use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline_engine::{
    Answer, Effect, Input, OnLost, Placement, Plan, PlanStep, Retry, Run, RunId,
};
use std::sync::Arc;

const NOW_MS: u64 = 1_700_000_000_000;

/// Of a run that is retried from its first step again and again.
const ROUND: u32 = 50;

pub fn measure(effort: Effort, table: &mut Table) {
    let turns = effort.turns(20);
    let per_transition = |steps: u32, round: u32| {
        let run = begun(&plan(steps), round);
        let transitions = f64::from(2 * steps * turns);
        (
            timed(move || (0..turns).for_each(|_| drop(drive(run.clone())))),
            transitions,
        )
    };
    let (ten, of_ten) = per_transition(10, 1);
    let (hundred, of_hundred) = per_transition(100, 1);
    let (retried, of_retried) = per_transition(100, ROUND);
    let [ten, hundred, retried] = medians(effort, [ten, hundred, retried]);
    table.figure("engine, a transition of 10 steps", ten / of_ten, "µs");
    table.bound(
        "engine, a transition of 100 steps",
        hundred / of_hundred,
        "µs",
        Goal::AtMost(2.0),
    );
    table.ratio(
        format!("engine, a transition of 100 steps in the {ROUND}th round"),
        (retried / of_retried, "µs"),
        (hundred / of_hundred, "the first round"),
        Some(Goal::AtMost(1.1)),
    );
}

/// A run at the start of that round, those before it driven to their ends.
fn begun(plan: &Arc<Plan>, round: u32) -> Run {
    let mut run = Run::new(RunId(7), Arc::clone(plan), 1, NOW_MS);
    for _ in 1..round {
        let retried = drive(run).on(&Input::Retry { from: Some(0) }, NOW_MS);
        run = retried.expect("it was over");
    }
    assert_eq!(run.head.round, round);
    run
}

/// From the first step's start to the last one's answer: two transitions a step, and what is wanted after each.
fn drive(mut run: Run) -> Run {
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
    run
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
