//! New rounds: what a retry covers.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_retry_goes_on_from_the_first_step_that_did_not_succeed() {
    check(
        "
        step a
        step b
        step c
        1s step a attempt 1 ok
        2s step b attempt 1 fails permanent
        1h retry
        61m step b attempt 2 ok
        62m step c attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            2s step b attempt 1 fails permanent
                b 1 ended: permanent: no luck
                b failed
                c skipped
                run failed by b
            1h retry
                round 2 started: b, c
                b 2 started, start 1, wasm
            61m step b attempt 2 ok
                b 2 ended: done
                b succeeded
                c 1 started, start 1, wasm
            62m step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run succeeded
            run succeeded at 3720s: a succeeded, b succeeded, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_named_step_takes_all_after_it_along() {
    check(
        "
        step a
        step b
        step c
        1s step a attempt 1 ok
        2s step b attempt 1 ok
        3s step c attempt 1 ok
        4s retry
        5s retry from b
        6s step b attempt 2 ok
        7s step c attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            2s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                c 1 started, start 1, wasm
            3s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run succeeded
            4s retry
                refused: every step of the run succeeded; name the step to retry from
            5s retry from b
                round 2 started: b, c
                b 2 started, start 1, wasm
            6s step b attempt 2 ok
                b 2 ended: done
                b succeeded
                c 2 started, start 1, wasm
            7s step c attempt 2 ok
                c 2 ended: done
                c succeeded
                run succeeded
            run succeeded at 7s: a succeeded, b succeeded, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_retry_from_a_later_step_covers_the_failed_one_too() {
    check(
        "
        step a
        step b
        step c alone
        1s step a attempt 1 fails permanent
        2s step c attempt 1 ok
        3s retry from c
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                c 1 started, start 1, wasm
            1s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                b skipped
            2s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run failed by a
            3s retry from c
                round 2 started: a, b, c
                a 2 started, start 1, wasm
                c 2 started, start 1, wasm
            run running: a running, b pending, c running
            wants a 2, c 2, to wake at 603s
        "#]],
    );
}

#[test]
fn independent_outcomes_stay() {
    check(
        "
        step a
        step b alone
        step c after b
        1s step b attempt 1 ok
        2s step a attempt 1 fails permanent
        3s step c attempt 1 ok
        4s retry
        5s step a attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                c 1 started, start 1, wasm
            2s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
            3s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run failed by a
            4s retry
                round 2 started: a
                a 2 started, start 1, wasm
            5s step a attempt 2 ok
                a 2 ended: done
                a succeeded
                run succeeded
            run succeeded at 5s: a succeeded, b succeeded, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn attempts_of_a_round_are_counted_anew() {
    check(
        "
        step a attempts 2
        1s step a attempt 1 fails retryable
        3s tick
        4s step a attempt 2 fails retryable
        5s retry
        6s step a attempt 3 fails retryable
        8s tick
        9s step a attempt 4 fails retryable
        ",
        expect![[r#"
            0s
                run started, 1 steps
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
                run failed by a
            5s retry
                round 2 started: a
                a 3 started, start 1, wasm
            6s step a attempt 3 fails retryable
                a 3 ended: retryable: no luck
                a 4 is due at 6.957s
            8s tick
                (changed)
                a 4 started, start 1, wasm
            9s step a attempt 4 fails retryable
                a 4 ended: retryable: no luck
                a failed
                run failed by a
            run failed at 9s, a: retryable: no luck: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn a_cancelled_run_can_go_on() {
    check(
        "
        step a
        step b
        1s step a attempt 1 ok
        2s cancel by force
        3s retry
        4s step b attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            2s cancel by force
                b 1 ended: cancelled
                b cancelled
                run cancelled
            3s retry
                round 2 started: b
                b 2 started, start 1, wasm
            4s step b attempt 2 ok
                b 2 ended: done
                b succeeded
                run succeeded
            run succeeded at 4s: a succeeded, b succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_timed_out_run_gets_a_new_deadline() {
    check(
        "
        run timeout 5m
        step a
        5m tick
        6m retry
        10m tick
        11m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            5m tick
                a 1 ended: run_timeout: the run's timeout of 5m passed
                a timed_out
                run timed_out
            6m retry
                round 2 started: a
                a 2 started, start 1, wasm
            10m tick
                nothing changes
            11m tick
                a 2 ended: run_timeout: the run's timeout of 5m passed
                a timed_out
                run timed_out
            run timed_out at 660s: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_run_that_goes_on_cannot_be_retried() {
    check(
        "
        step a
        1s retry
        2s cancel
        3s retry
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s retry
                refused: the run has not ended: it is running; cancel it first
            2s cancel
                stopping until 12s
            3s retry
                refused: the run has not ended: it is running; cancel it first
            run running (stopping): a running
            wants a 1 to stop, to wake at 12s
        "#]],
    );
}

#[test]
fn a_step_that_is_not_there_cannot_be_retried() {
    check(
        "
        step a
        1s step a attempt 1 ok
        2s retry from 7
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            2s retry from 7
                refused: the run has no step number 7; it has 1, counted from 0
            run succeeded at 1s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_run_without_steps_has_nothing_to_retry() {
    check(
        "
        1s retry
        ",
        expect![[r#"
            0s
                run started, 0 steps
                run succeeded
            1s retry
                refused: every step of the run succeeded; name the step to retry from
            run succeeded at 0s: nothing
            wants nothing
        "#]],
    );
}

#[test]
fn starts_are_counted_anew_with_each_attempt() {
    check(
        "
        step a
        1s crash
        2s step a attempt 1 fails permanent
        3s retry
        4s crash
        5s step a attempt 2 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s crash
                a 1 started, start 2, wasm
            2s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                run failed by a
            3s retry
                round 2 started: a
                a 2 started, start 1, wasm
            4s crash
                a 2 started, start 2, wasm
            5s step a attempt 2 ok
                a 2 ended: done
                a succeeded
                run succeeded
            run succeeded at 5s: a succeeded
            wants nothing
        "#]],
    );
}
