//! What a transition costs, printed: `cargo test -p beltline-engine --test cost -- --nocapture`. Nothing
//! is asserted of time, which depends on the machine, but that no state grows with what happened.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beltline_engine::{
    Answer, Effect, Input, OnLost, Placement, Plan, PlanStep, Retry, Run, RunId, events,
};

const STEPS: u32 = 100;

fn plan() -> Plan {
    let step = |index: u32| PlanStep {
        id: format!("step-{index}"),
        driver: "driver".to_owned(),
        after: index.checked_sub(1).into_iter().collect(),
        timeout_ms: 60_000,
        queue_timeout_ms: 60_000,
        retry: Retry::default(),
        on_lost: OnLost::Retry,
    };
    Plan {
        timeout_ms: 3_600_000,
        steps: (0..STEPS).map(step).collect(),
    }
}

#[derive(Default)]
struct Cost {
    transitions: u32,
    fold_and_look: Duration,
    events: Duration,
}

fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "what is measured is time")]
    let began = Instant::now();
    let made = black_box(work());
    *spent += began.elapsed();
    made
}

/// Plays one round to its end and returns the run.
fn round(mut run: Run, cost: &mut Cost) -> Run {
    let mut now_ms = run.head.updated_ms;
    let mut wanted = run.wanted();
    while let Some(Effect::Attempt {
        step,
        attempt,
        started,
        ..
    }) = wanted.first().copied()
    {
        now_ms += 1;
        let input = if started {
            let answer = Answer::Succeeded {
                message: "done".to_owned(),
                output: true,
            };
            Input::Answer {
                step,
                attempt,
                answer,
            }
        } else {
            Input::Start {
                step,
                attempt,
                placement: Placement::Wasm { effects: false },
            }
        };
        let next = timed(&mut cost.fold_and_look, || {
            let next = run.on(&input, now_ms).unwrap();
            wanted = next.wanted();
            next
        });
        timed(&mut cost.events, || events(Some(&run), &next));
        timed(&mut cost.fold_and_look, || run = next);
        cost.transitions += 1;
    }
    run
}

#[test]
fn a_transition_costs_the_same_in_every_round() {
    let plan = Arc::new(plan());
    let mut run = Run::new(RunId(1), Arc::clone(&plan), 1, 1_700_000_000_000);
    for rounds in [1, 10, 100] {
        let mut cost = Cost::default();
        for _ in 0..rounds {
            run = round(run, &mut cost);
            assert!(run.is_ended());
            let now_ms = run.head.updated_ms;
            run = run.on(&Input::Retry { from: Some(0) }, now_ms).unwrap();
        }
        let each = |spent: Duration| spent / cost.transitions;
        println!(
            "{} transitions of {STEPS} steps: on + wanted {:?} each, events {:?} each",
            cost.transitions,
            each(cost.fold_and_look),
            each(cost.events)
        );
    }
    let fresh = Run::new(RunId(1), plan, 1, run.head.created_ms);
    let size = |run: &Run| format!("{:?}", run.steps).len() / 100;
    assert!(
        size(&run) <= size(&fresh) + 10,
        "a step of round {} has grown",
        run.head.round
    );
}
