//! What is tried again within a round, and when.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_retryable_failure_is_tried_again() {
    check(
        "
        step a attempts 3 backoff 1s factor 2
        step b
        1s step a attempt 1 fails retryable
        3s tick
        4s step a attempt 2 fails retryable
        8s tick
        9s step a attempt 3 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 1.977s
            3s tick
                (changed)
                a 2 started, start 1, wasm
            4s step a attempt 2 fails retryable
                a 2 ended: retryable: no luck
                a 3 is due at 5.942s
            8s tick
                (changed)
                a 3 started, start 1, wasm
            9s step a attempt 3 ok
                a 3 ended: done
                a succeeded
                b 1 started, start 1, wasm
            run running: a succeeded, b running
            wants b 1, to wake at 609s
        "#]],
    );
}

#[test]
fn attempts_are_limited() {
    check(
        "
        step a attempts 2
        step b
        1s step a attempt 1 fails retryable
        3s tick
        4s step a attempt 2 fails retryable
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 1.977s
            3s tick
                (changed)
                a 2 started, start 1, wasm
            4s step a attempt 2 fails retryable
                a 2 ended: retryable: no luck
                a failed
                b skipped
                run failed by a
            run failed at 4s, a: retryable: no luck: a failed, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn one_attempt_is_the_default() {
    check(
        "
        step a
        1s step a attempt 1 fails retryable
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a failed
                run failed by a
            run failed at 1s, a: retryable: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn permanent_failures_are_not_tried_again() {
    check(
        "
        step a attempts 3
        1s step a attempt 1 fails permanent
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                run failed by a
            run failed at 1s, a: permanent: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn other_failures_are_not_tried_again() {
    check(
        "
        step a attempts 3
        1s step a attempt 1 fails other
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails other
                a 1 ended: other: no luck
                a failed
                run failed by a
            run failed at 1s, a: other: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn trap_failures_are_not_tried_again() {
    check(
        "
        step a attempts 3
        1s step a attempt 1 fails trap
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails trap
                a 1 ended: trap: no luck
                a failed
                run failed by a
            run failed at 1s, a: trap: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn limit_failures_are_not_tried_again() {
    check(
        "
        step a attempts 3
        1s step a attempt 1 fails limit
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails limit
                a 1 ended: limit: no luck
                a failed
                run failed by a
            run failed at 1s, a: limit: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn the_rest_has_a_maximum() {
    check(
        "
        step a attempts 9 backoff 10s factor 10 max 15s
        1s step a attempt 1 fails retryable
        20s tick
        21s step a attempt 2 fails retryable
        40s tick
        41s step a attempt 3 fails retryable
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            20s tick
                (changed)
                a 2 started, start 1, wasm
            21s step a attempt 2 fails retryable
                a 2 ended: retryable: no luck
                a 3 is due at 35.57s
            40s tick
                (changed)
                a 3 started, start 1, wasm
            41s step a attempt 3 fails retryable
                a 3 ended: retryable: no luck
                a 4 is due at 55.367s
            run waiting: a retrying
            wants to wake at 55.367s
        "#]],
    );
}

#[test]
fn a_driver_may_ask_for_a_longer_rest() {
    check(
        "
        step a attempts 9 max 5s
        1s step a attempt 1 fails retryable after 30s
        30s tick
        31s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable after 30s
                a 1 ended: retryable: no luck
                a 2 is due at 31s
            30s tick
                nothing changes
            31s tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running
            wants a 2, to wake at 631s
        "#]],
    );
}

#[test]
fn a_shorter_rest_than_the_backoff_is_not_granted() {
    check(
        "
        step a attempts 9 backoff 10s
        1s step a attempt 1 fails retryable after 1ms
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable after 1ms
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            run waiting: a retrying
            wants to wake at 10.777s
        "#]],
    );
}

#[test]
fn a_rest_cannot_outlast_the_run() {
    check(
        "
        run timeout 1m
        step a attempts 9
        1s step a attempt 1 fails retryable after 100h
        1m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable after 100h
                a 1 ended: retryable: no luck
                a 2 is due at 61s
            1m tick
                a timed_out
                run timed_out
            run timed_out at 60s: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_rest_of_nothing_is_a_moment() {
    check(
        "
        step a attempts 2 backoff 0s max 0s
        1s step a attempt 1 fails retryable
        1001ms tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 1.001s
            1001ms tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running
            wants a 2, to wake at 601.001s
        "#]],
    );
}

#[test]
fn an_attempt_timeout_is_tried_again() {
    check(
        "
        step a attempts 2 timeout 1m
        1m tick
        2m tick
        3m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a 2 is due at 60.977s
            2m tick
                (changed)
                a 2 started, start 1, wasm
            3m tick
                a 2 ended: attempt_timeout: no answer within 1m
                a timed_out
                run failed by a
            run failed at 180s, a: attempt_timeout: no answer within 1m: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn other_steps_go_on_while_one_rests() {
    check(
        "
        step a attempts 2 backoff 10s
        step b alone
        1s step a attempt 1 fails retryable
        2s step b attempt 1 ok
        12s tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            2s step b attempt 1 ok
                b 1 ended: done
                b succeeded
            12s tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running, b succeeded
            wants a 2, to wake at 612s
        "#]],
    );
}

#[test]
fn nothing_starts_while_its_step_rests() {
    check(
        "
        step a attempts 2 backoff 10s
        1s step a attempt 1 fails retryable
        2s step a attempt 2 starts
        3s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            2s step a attempt 2 starts
                nothing changes
            3s tick
                nothing changes
            run waiting: a retrying
            wants to wake at 10.777s
        "#]],
    );
}
