//! Timeouts of attempts, steps and runs, and clocks that jump.

use expect_test::expect;

use crate::script::check;

#[test]
fn an_attempt_that_is_never_answered_times_out() {
    check(
        "
        step a timeout 2m
        step b
        119s tick
        2m tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            119s tick
                nothing changes
            2m tick
                a 1 ended: attempt_timeout: no answer within 2m
                a timed_out
                b skipped
                run failed by a
            run failed at 120s, a: attempt_timeout: no answer within 2m: a timed_out, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn the_run_times_out_at_once() {
    check(
        "
        run timeout 5m
        step a timeout 10m
        step b
        step c alone attempts 2 timeout 4m
        step d alone
        1s step d attempt 1 ok
        4m tick
        5m tick
        ",
        expect![[r#"
            0s
                run started, 4 steps
                a 1 started, start 1, wasm
                c 1 started, start 1, wasm
                d 1 started, start 1, wasm
            1s step d attempt 1 ok
                d 1 ended: done
                d succeeded
            4m tick
                c 1 ended: attempt_timeout: no answer within 4m
                c 2 is due at 240.809s
            5m tick
                a 1 ended: run_timeout: the run's timeout of 5m passed
                a timed_out
                b skipped
                c timed_out
                run timed_out
            run timed_out at 300s: a timed_out, b skipped, c timed_out, d succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_run_that_times_out_before_anything_began_skips_all() {
    check(
        "
        hold
        run timeout 5m
        step a
        5m step a attempt 1 starts
        5m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
            5m step a attempt 1 starts
                a skipped
                run timed_out
            5m tick
                nothing changes
            run timed_out at 300s: a skipped
            wants nothing
        "#]],
    );
}

#[test]
fn the_timeout_of_the_run_outranks_that_of_the_attempt() {
    check(
        "
        run timeout 5m
        step a timeout 5m
        10m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            10m tick
                a 1 ended: run_timeout: the run's timeout of 5m passed
                a timed_out
                run timed_out
            run timed_out at 600s: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_forward_jump_expires_what_is_due() {
    check(
        "
        step a timeout 10m attempts 2
        30m tick
        31m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            30m tick
                a 1 ended: attempt_timeout: no answer within 10m
                a 2 is due at 1800.977s
            31m tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running
            wants a 2, to wake at 2460s
        "#]],
    );
}

#[test]
fn a_backward_jump_gives_no_more_than_the_allowance() {
    check(
        "
        run timeout 20m
        step a timeout 10m
        -2h tick
        -110m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            -2h tick
                (changed)
            -110m tick
                a 1 ended: attempt_timeout: no answer within 10m
                a timed_out
                run failed by a
            run failed at 0s, a: attempt_timeout: no answer within 10m: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_backward_jump_shortens_a_rest() {
    check(
        "
        step a attempts 2 backoff 10s
        1s step a attempt 1 fails retryable
        -1h tick
        -3590s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            -1h tick
                (changed)
            -3590s tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running
            wants a 2, to wake at -2990s
        "#]],
    );
}

#[test]
fn a_backward_jump_shortens_a_queue() {
    check(
        "
        run timeout 3h
        step a native queue 30m
        -1h tick
        -30m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 1800s
            -1h tick
                (changed)
            -30m tick
                a 1 ended: queue_timeout: driver `driver` did not take it within 30m; is it running?
                a timed_out
                run failed by a
            run failed at 0s, a: queue_timeout: driver `driver` did not take it within 30m; is it running?: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_backward_jump_shortens_the_time_to_stop() {
    check(
        "
        step a
        1s cancel
        -1h tick
        -3590s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s cancel
                stopping until 11s
            -1h tick
                (changed)
            -3590s tick
                a 1 ended: cancelled
                a cancelled
                run cancelled
            run cancelled at 1s: a cancelled
            wants nothing
        "#]],
    );
}

#[test]
fn a_step_after_a_backward_jump_ends_no_earlier_than_it_began() {
    check(
        "
        step a
        step b
        10s step a attempt 1 ok
        5s step b attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            10s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            5s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                run succeeded
            run succeeded at 10s: a succeeded, b succeeded
            wants nothing
        "#]],
    );
}
