//! What the shell relies on beyond the rules of a run: keys, what a transition leaves untouched, and
//! the JSON of what appears in records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use beltline_engine::{
    Answer, Event, Failure, FailureKind, Input, OnLost, Placement, Plan, PlanStep, Retry, Run,
    RunId, RunStatus, StepStatus, events,
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const RUN: RunId = RunId(0x0190_d6c8_7f5e_7cc0_98a5_2f3a_5d8a_1b6e);

fn run() -> Run {
    let step = |id: &str, after: &[u32]| PlanStep {
        id: id.to_owned(),
        driver: "driver".to_owned(),
        after: after.to_vec(),
        timeout_ms: 60_000,
        queue_timeout_ms: 60_000,
        retry: Retry {
            max_attempts: 2,
            ..Retry::default()
        },
        on_lost: OnLost::Retry,
    };
    let steps = vec![step("sbom", &[]), step("policy", &[0])];
    Run::new(
        RUN,
        Arc::new(Plan {
            timeout_ms: 600_000,
            steps,
        }),
        1,
        1_000,
    )
}

fn start(step: u32, attempt: u32) -> Input {
    Input::Start {
        step,
        attempt,
        placement: Placement::Wasm { effects: false },
    }
}

fn answer(step: u32, attempt: u32, kind: Option<FailureKind>) -> Input {
    let answer = match kind {
        None => Answer::Succeeded {
            message: "3 packages".to_owned(),
            output: true,
        },
        Some(kind) => Answer::Failed(Failure::new(kind, "no luck")),
    };
    Input::Answer {
        step,
        attempt,
        answer,
    }
}

fn play(mut run: Run, inputs: &[Input]) -> Run {
    for (input, now_ms) in inputs.iter().zip((1_000u64..).step_by(5_000)) {
        run = run.on(input, now_ms).unwrap();
    }
    run
}

#[test]
fn a_key_is_the_same_for_all_attempts_of_a_round() {
    let retryable = FailureKind::Retryable { after_ms: None };
    let first = run();
    let key = first.key(0);
    assert_eq!(key, "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e/sbom/1");
    let second = play(
        first,
        &[
            start(0, 1),
            answer(0, 1, Some(retryable)),
            Input::Tick,
            start(0, 2),
        ],
    );
    assert_eq!(second.key(0), key);
    let ended = second.on(&answer(0, 2, None), 30_000).unwrap();
    let ended = play(
        ended,
        &[start(1, 1), answer(1, 1, Some(FailureKind::Permanent))],
    );
    let again = ended.on(&Input::Retry { from: None }, 40_000).unwrap();
    assert_eq!(
        again.key(0),
        key,
        "a step that the round does not cover keeps its own"
    );
    assert_eq!(
        again.key(1),
        "0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e/policy/2"
    );
}

#[test]
#[should_panic(expected = "has 2 steps, none of number 2")]
fn a_step_that_is_not_there_has_no_key() {
    run().key(2);
}

#[test]
fn a_step_that_a_transition_does_not_touch_stays_the_same() {
    let before = run();
    let after = before.on(&start(0, 1), 2_000).unwrap();
    assert!(!Arc::ptr_eq(&before.steps[0], &after.steps[0]));
    assert!(Arc::ptr_eq(&before.steps[1], &after.steps[1]));
    assert!(Arc::ptr_eq(&before.plan, &after.plan));
    assert_eq!((before.head.revision, after.head.revision), (1, 2));
}

#[test]
fn an_owner_of_a_lower_epoch_takes_nothing() {
    let run = run();
    assert_eq!(run.on(&Input::Claim { epoch: 1 }, 2_000), None);
    let claimed = run.on(&Input::Claim { epoch: 5 }, 2_000).unwrap();
    assert_eq!(claimed.head.epoch, 5);
    assert_eq!(claimed.on(&Input::Claim { epoch: 4 }, 2_000), None);
}

#[test]
fn events_of_a_round_read_as_json() {
    let mut run = run();
    let mut lines = lines(&events(None, &run));
    let inputs = [
        start(0, 1),
        answer(
            0,
            1,
            Some(FailureKind::Retryable {
                after_ms: Some(2_000),
            }),
        ),
        Input::Tick,
        Input::Start {
            step: 0,
            attempt: 2,
            placement: Placement::Native,
        },
        Input::Delivered {
            step: 0,
            attempt: 2,
        },
        answer(0, 2, None),
        start(1, 1),
        answer(1, 1, Some(FailureKind::Trap)),
        Input::Retry { from: Some(0) },
        start(0, 3),
        Input::Claim { epoch: 2 },
        Input::Cancel { force: false },
        answer(0, 3, Some(FailureKind::Cancelled)),
    ];
    for (input, now_ms) in inputs.iter().zip((1_000u64..).step_by(5_000)) {
        let next = run.on(input, now_ms).unwrap();
        lines += &self::lines(&events(Some(&run), &next));
        run = next;
    }
    check(
        &lines,
        expect![[r#"
            {"event":"run_started","steps":2}
            {"event":"attempt_started","step":0,"attempt":1,"start":1,"placement":"wasm"}
            {"event":"attempt_ended","step":0,"attempt":1,"end":{"failed":{"kind":{"retryable":{"after_ms":2000}},"reason":"no luck"}}}
            {"event":"retry_scheduled","step":0,"attempt":2,"at_ms":8000}
            {"event":"attempt_waiting","step":0,"attempt":2,"deadline_ms":76000}
            {"event":"attempt_started","step":0,"attempt":2,"start":1,"placement":"native"}
            {"event":"attempt_ended","step":0,"attempt":2,"end":{"succeeded":{"message":"3 packages","output":true}}}
            {"event":"step_ended","step":0,"status":"succeeded"}
            {"event":"attempt_started","step":1,"attempt":1,"start":1,"placement":"wasm"}
            {"event":"attempt_ended","step":1,"attempt":1,"end":{"failed":{"kind":"trap","reason":"no luck"}}}
            {"event":"step_ended","step":1,"status":"failed"}
            {"event":"run_ended","status":"failed","step":1}
            {"event":"round_started","round":2,"steps":[0,1]}
            {"event":"attempt_started","step":0,"attempt":3,"start":1,"placement":"wasm"}
            {"event":"run_claimed","epoch":2}
            {"event":"run_cancelling","until_ms":66000}
            {"event":"step_ended","step":1,"status":"cancelled"}
            {"event":"attempt_ended","step":0,"attempt":3,"end":{"cancelled":{"reason":"no luck"}}}
            {"event":"step_ended","step":0,"status":"cancelled"}
            {"event":"run_ended","status":"cancelled"}
        "#]],
    );
}

fn lines(events: &[Event]) -> String {
    let line = |event: &Event| {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event);
        text + "\n"
    };
    events.iter().map(line).collect()
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

#[test]
fn words_are_the_same_in_json_and_for_people() {
    let run_words = [
        RunStatus::Pending,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::TimedOut,
    ];
    for word in run_words {
        assert_eq!(serde_json::to_value(word).unwrap(), json!(word.as_str()));
    }
    let step_words = [
        StepStatus::Pending,
        StepStatus::Running,
        StepStatus::WaitingForDriver,
        StepStatus::Retrying,
        StepStatus::Succeeded,
        StepStatus::Failed,
        StepStatus::Skipped,
        StepStatus::Cancelled,
        StepStatus::TimedOut,
    ];
    for word in step_words {
        assert_eq!(serde_json::to_value(word).unwrap(), json!(word.as_str()));
    }
}

#[test]
fn leaves_go_into_json_and_back() {
    fn there_and_back<T>(value: T, expected: Value)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_value(&value).unwrap(), expected);
        assert_eq!(serde_json::from_value::<T>(expected).unwrap(), value);
    }
    there_and_back(RUN, json!("0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e"));
    there_and_back(OnLost::Fail, json!("fail"));
    there_and_back(Placement::Native, json!("native"));
    there_and_back(
        Placement::Wasm { effects: true },
        json!("wasm_with_effects"),
    );
    there_and_back(FailureKind::AttemptTimeout, json!("attempt_timeout"));
    there_and_back(
        FailureKind::Retryable { after_ms: None },
        json!({"retryable": {}}),
    );
    there_and_back(
        Failure::new(FailureKind::Retryable { after_ms: Some(5) }, "busy"),
        json!({"kind": {"retryable": {"after_ms": 5}}, "reason": "busy"}),
    );
    there_and_back(
        Retry::default(),
        json!({"max_attempts": 1, "backoff_ms": 1000, "factor": 2.0, "max_backoff_ms": 60000}),
    );
}
