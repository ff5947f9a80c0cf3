//! Which answers count: one a step and round.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_repeated_answer_changes_nothing() {
    check(
        "
        step a
        step b
        1s step a attempt 1 ok
        2s step a attempt 1 ok
        3s step a attempt 1 fails permanent
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            2s step a attempt 1 ok
                nothing changes
            3s step a attempt 1 fails permanent
                nothing changes
            run running: a succeeded, b running
            wants b 1, to wake at 601s
        "#]],
    );
}

#[test]
fn an_answer_of_another_attempt_changes_nothing() {
    check(
        "
        step a attempts 2
        1s step a attempt 2 ok
        2s step a attempt 0 ok
        3s step a attempt 1 fails retryable
        4s step a attempt 1 ok
        5s step a attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 2 ok
                nothing changes
            2s step a attempt 0 ok
                nothing changes
            3s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 3.977s
            4s step a attempt 1 ok
                nothing changes
              then tick
                (changed)
                a 2 started, start 1, wasm
            5s step a attempt 2 ok
                a 2 ended: done
                a succeeded
                run succeeded
            run succeeded at 5s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn an_answer_of_a_step_that_has_not_begun_changes_nothing() {
    check(
        "
        step a
        step b
        1s step b attempt 1 ok
        2s step 7 attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step b attempt 1 ok
                nothing changes
            2s step 7 attempt 1 ok
                nothing changes
            run running: a running, b pending
            wants a 1, to wake at 600s
        "#]],
    );
}

#[test]
fn an_answer_while_resting_is_late() {
    check(
        "
        step a attempts 2 backoff 10s
        1s step a attempt 1 fails retryable
        2s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            2s step a attempt 1 ok
                nothing changes
            run waiting: a retrying
            wants to wake at 10.777s
        "#]],
    );
}

#[test]
fn an_answer_after_the_end_is_late() {
    check(
        "
        step a timeout 1m
        1m tick
        2m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a timed_out
                run failed by a
            2m step a attempt 1 ok
                nothing changes
            run failed at 60s, a: attempt_timeout: no answer within 1m: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn an_answer_of_an_older_round_is_late() {
    check(
        "
        step a timeout 1m
        1m tick
        2m retry
        150s step a attempt 1 ok
        160s step a attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a timed_out
                run failed by a
            2m retry
                round 2 started: a
                a 2 started, start 1, wasm
            150s step a attempt 1 ok
                nothing changes
            160s step a attempt 2 ok
                a 2 ended: done
                a succeeded
                run succeeded
            run succeeded at 160s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn an_answer_beats_a_deadline_that_nobody_enforced() {
    check(
        "
        step a timeout 1m
        2m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            2m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 120s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn the_last_answer_beats_the_deadline_of_the_run() {
    check(
        "
        run timeout 1m
        step a
        2m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            2m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 120s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn another_answer_does_not_beat_the_deadline_of_the_run() {
    check(
        "
        run timeout 1m
        step a
        step b
        2m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            2m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b skipped
                run timed_out
            run timed_out at 120s: a succeeded, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn a_late_answer_changes_nothing_even_when_a_deadline_is_due() {
    check(
        "
        hold
        step a timeout 1m
        0s step a attempt 1 starts
        2m step a attempt 9 ok
        2m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
            0s step a attempt 1 starts
                a 1 started, start 1, wasm
            2m step a attempt 9 ok
                nothing changes
            2m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a timed_out
                run failed by a
            run failed at 120s, a: attempt_timeout: no answer within 1m: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn steps_of_one_driver_are_told_apart() {
    check(
        "
        step first
        step second
        step third
        1s step first attempt 1 ok
        2s step first attempt 1 ok
        3s step second attempt 1 ok
        4s step third attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                first 1 started, start 1, wasm
            1s step first attempt 1 ok
                first 1 ended: done
                first succeeded
                second 1 started, start 1, wasm
            2s step first attempt 1 ok
                nothing changes
            3s step second attempt 1 ok
                second 1 ended: done
                second succeeded
                third 1 started, start 1, wasm
            4s step third attempt 1 ok
                third 1 ended: done
                third succeeded
                run succeeded
            run succeeded at 4s: first succeeded, second succeeded, third succeeded
            wants nothing
        "#]],
    );
}
