//! Stopping a run, kindly and by force.

use expect_test::expect;

use crate::script::check;

#[test]
fn what_runs_may_still_answer() {
    check(
        "
        step a
        step b
        1s cancel
        2s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 11s
                b cancelled
            2s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run cancelled
            run cancelled at 2s: a succeeded, b cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn what_rests_is_cancelled_at_once() {
    check(
        "
        step a attempts 2
        1s step a attempt 1 fails retryable
        1.5s cancel
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 1.977s
            1.5s cancel
                a cancelled
                run cancelled
            run cancelled at 1.5s: a cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn a_failure_while_stopping_is_not_tried_again() {
    check(
        "
        step a attempts 9
        step b alone
        1s cancel
        2s step a attempt 1 fails retryable
        3s step b attempt 1 fails cancelled
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1s cancel
                stopping until 11s
            2s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a failed
            3s step b attempt 1 fails cancelled
                b 1 ended: cancelled: no luck
                b cancelled
                run cancelled
            run cancelled at 3s: a failed, b cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn what_does_not_answer_is_cancelled_when_the_time_is_over() {
    check(
        "
        step a
        step b
        1s cancel
        10s tick
        11s tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 11s
                b cancelled
            10s tick
                nothing changes
            11s tick
                a 1 ended: cancelled
                a cancelled
                run cancelled
            run cancelled at 11s: a cancelled, b cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn the_time_to_stop_ends_with_that_of_the_run() {
    check(
        "
        run timeout 5s
        step a
        1s cancel
        5s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 5s
            5s tick
                a 1 ended: cancelled
                a cancelled
                run cancelled
            run cancelled at 5s: a cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn force_ends_at_once() {
    check(
        "
        step a
        step b
        step c alone native
        1s cancel by force
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                c 1 waits for its driver until 3600s
            1s cancel by force
                a 1 ended: cancelled
                a cancelled
                b cancelled
                c 1 ended: cancelled
                c cancelled
                run cancelled
            run cancelled at 1s: a cancelled, b cancelled, c cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn force_after_kindness() {
    check(
        "
        step a
        1s cancel
        2s cancel
        3s cancel by force
        4s cancel
        5s cancel by force
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 11s
            2s cancel
                refused: the run is stopping already; force it to stop at once
            3s cancel by force
                a 1 ended: cancelled
                a cancelled
                run cancelled
            4s cancel
                refused: the run has ended already: cancelled
            5s cancel by force
                refused: the run has ended already: cancelled
            run cancelled at 3s: a cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn nothing_begins_in_a_run_that_is_stopping() {
    check(
        "
        hold
        step a
        step b alone
        1s step a attempt 1 starts
        2s cancel
        3s step b attempt 1 starts
        ",
        expect![[r#"
            0s
                run started, 2 steps
            1s step a attempt 1 starts
                a 1 started, start 1, wasm
            2s cancel
                stopping until 12s
                b cancelled
            3s step b attempt 1 starts
                nothing changes
            run running (stopping): a running, b cancelled
            wants a 1 to stop, to wake at 12s
        "#]],
    );
}

#[test]
fn a_cancel_before_anything_began() {
    check(
        "
        hold
        step a
        1s cancel
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s cancel
                a cancelled
                run cancelled
            run cancelled at 1s: a cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn a_waiting_attempt_may_still_answer() {
    check(
        "
        step a native
        1s cancel
        2s step a attempt 1 delivered
        3s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            1s cancel
                stopping until 11s
            2s step a attempt 1 delivered
                a 1 started, start 1, native
            3s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 3s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_driver_that_says_cancelled_stops_the_run() {
    check(
        "
        step a
        step b
        step c alone
        1s step a attempt 1 fails cancelled
        2s step c attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                c 1 started, start 1, wasm
            1s step a attempt 1 fails cancelled
                stopping until 11s
                a 1 ended: cancelled: no luck
                a cancelled
                b cancelled
            2s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run cancelled
            run cancelled at 2s: a cancelled, b cancelled, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_driver_that_says_cancelled_ends_the_run_if_it_was_alone() {
    check(
        "
        step a attempts 3
        step b
        1s step a attempt 1 fails cancelled
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails cancelled
                a 1 ended: cancelled: no luck
                a cancelled
                b cancelled
                run cancelled
            run cancelled at 1s: a cancelled, b cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn an_attempt_timeout_while_stopping() {
    check(
        "
        step a timeout 5s attempts 3
        1s cancel
        5s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 11s
            5s tick
                a 1 ended: attempt_timeout: no answer within 5s
                a timed_out
                run cancelled
            run cancelled at 5s: a timed_out
            wants nothing
        "#]],
    );
}
