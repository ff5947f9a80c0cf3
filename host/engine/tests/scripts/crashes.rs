//! Crash and recovery: the state alone says what goes on.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_wasm_attempt_starts_again_under_its_number() {
    check(
        "
        step a timeout 1m
        50s crash
        100s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            50s crash
                a 1 started, start 2, wasm
            100s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 100s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn the_third_start_is_not_made() {
    check(
        "
        step a
        step b
        1s crash
        2s crash
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
            1s crash
                a 1 started, start 2, wasm
            2s crash
                a 1 ended: lost: the host ended 2 times before the attempt did
                a failed
                b skipped
                run failed by a
            run failed at 2s, a: lost: the host ended 2 times before the attempt did: a failed, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn a_lost_attempt_is_tried_again() {
    check(
        "
        step a attempts 2
        1s crash
        2s crash
        4s tick
        5s crash
        6s crash
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s crash
                a 1 started, start 2, wasm
            2s crash
                a 1 ended: lost: the host ended 2 times before the attempt did
                a 2 is due at 2.977s
            4s tick
                (changed)
                a 2 started, start 1, wasm
            5s crash
                a 2 started, start 2, wasm
            6s crash
                a 2 ended: lost: the host ended 2 times before the attempt did
                a failed
                run failed by a
            run failed at 6s, a: lost: the host ended 2 times before the attempt did: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn an_attempt_with_effects_starts_again() {
    check(
        "
        step a effects
        1s crash
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, effects
            1s crash
                a 1 started, start 2, effects
            run running: a running
            wants a 1, to wake at 601s
        "#]],
    );
}

#[test]
fn an_attempt_with_effects_fails_under_on_lost_fail() {
    check(
        "
        step a effects on_lost fail attempts 3
        1s crash
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, effects
            1s crash
                a 1 ended: lost: the host ended before the attempt did, and `on_lost` is `fail`
                a failed
                run failed by a
            run failed at 1s, a: lost: the host ended before the attempt did, and `on_lost` is `fail`: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn an_attempt_without_effects_starts_again_under_on_lost_fail() {
    check(
        "
        step a on_lost fail
        1s crash
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s crash
                a 1 started, start 2, wasm
            run running: a running
            wants a 1, to wake at 601s
        "#]],
    );
}

#[test]
fn effects_count_as_they_were_when_the_attempt_started() {
    check(
        "
        hold
        step a on_lost fail
        1s step a attempt 1 starts effects
        2s step a attempt 1 starts wasm
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts effects
                a 1 started, start 1, effects
            2s step a attempt 1 starts wasm
                a 1 ended: lost: the host ended before the attempt did, and `on_lost` is `fail`
                a failed
                run failed by a
            run failed at 2s, a: lost: the host ended before the attempt did, and `on_lost` is `fail`: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn effects_once_had_stay() {
    check(
        "
        hold
        step a
        1s step a attempt 1 starts wasm
        2s step a attempt 1 starts effects
        3s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts wasm
                a 1 started, start 1, wasm
            2s step a attempt 1 starts effects
                a 1 started, start 2, effects
            3s tick
                nothing changes
            run running: a running
            wants a 1, to wake at 602s
        "#]],
    );
}

#[test]
fn effects_gained_at_the_second_start_count_at_the_third() {
    check(
        "
        hold
        step a on_lost fail attempts 2
        1s step a attempt 1 starts wasm
        2s step a attempt 1 starts effects
        3s step a attempt 1 starts wasm
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts wasm
                a 1 started, start 1, wasm
            2s step a attempt 1 starts effects
                a 1 started, start 2, effects
            3s step a attempt 1 starts wasm
                a 1 ended: lost: the host ended before the attempt did, and `on_lost` is `fail`
                a failed
                run failed by a
            run failed at 3s, a: lost: the host ended before the attempt did, and `on_lost` is `fail`: a failed
            wants nothing
        "#]],
    );
}

#[test]
fn a_native_attempt_runs_on() {
    check(
        "
        step a native timeout 10m
        1s step a attempt 1 delivered
        2s crash
        3s crash
        4s crash
        5s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            1s step a attempt 1 delivered
                a 1 started, start 1, native
            2s crash
            3s crash
            4s crash
            5s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 5s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_waiting_attempt_waits_on() {
    check(
        "
        step a native
        1s crash
        2s crash
        3s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            1s crash
            2s crash
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
fn a_native_attempt_stays_native() {
    check(
        "
        hold
        step a native
        1s step a attempt 1 starts
        2s step a attempt 1 delivered
        3s step a attempt 1 starts effects
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts
                a 1 waits for its driver until 3601s
            2s step a attempt 1 delivered
                a 1 started, start 1, native
            3s step a attempt 1 starts effects
                nothing changes
            run running: a running
            wants a 1, to wake at 602s
        "#]],
    );
}

#[test]
fn a_wasm_attempt_whose_driver_became_native_is_handed_over() {
    check(
        "
        hold
        step a
        1s step a attempt 1 starts wasm
        2s step a attempt 1 starts native
        3s step a attempt 1 delivered
        4s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts wasm
                a 1 started, start 1, wasm
            2s step a attempt 1 starts native
                a 1 waits for its driver until 3602s
            3s step a attempt 1 delivered
                a 1 started, start 1, native
            4s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 4s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn all_that_ran_starts_again() {
    check(
        "
        step a
        step b alone native
        step c alone effects
        step d after a,b,c
        1s crash
        2s step c attempt 1 ok
        3s step a attempt 1 ok
        4s step b attempt 1 ok
        5s crash
        6s step d attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 4 steps
                a 1 started, start 1, wasm
                b 1 waits for its driver until 3600s
                c 1 started, start 1, effects
            1s crash
                a 1 started, start 2, wasm
                c 1 started, start 2, effects
            2s step c attempt 1 ok
                c 1 ended: done
                c succeeded
            3s step a attempt 1 ok
                a 1 ended: done
                a succeeded
            4s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                d 1 started, start 1, wasm
            5s crash
                d 1 started, start 2, wasm
            6s step d attempt 1 ok
                d 1 ended: done
                d succeeded
                run succeeded
            run succeeded at 6s: a succeeded, b succeeded, c succeeded, d succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_crash_while_a_step_rests_keeps_its_time() {
    check(
        "
        step a attempts 2 backoff 10s
        1s step a attempt 1 fails retryable
        2s crash
        11s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 10.777s
            2s crash
            11s tick
                (changed)
                a 2 started, start 1, wasm
            run running: a running
            wants a 2, to wake at 611s
        "#]],
    );
}

#[test]
fn nothing_starts_again_in_a_run_that_is_stopping() {
    check(
        "
        step a
        step b alone native
        1s cancel
        2s crash
        3s step b attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
                b 1 waits for its driver until 3600s
            1s cancel
                stopping until 11s
            2s crash
                a 1 ended: cancelled
                a cancelled
            3s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                run cancelled
            run cancelled at 3s: a cancelled, b succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_run_whose_timeout_passed_meanwhile_starts_nothing() {
    check(
        "
        run timeout 5m
        step a
        10m crash
        10m tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            10m crash
                a 1 ended: run_timeout: the run's timeout of 5m passed
                a timed_out
                run timed_out
            10m tick
                nothing changes
            run timed_out at 600s: a timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn downtime_is_not_taken_from_the_attempt() {
    check(
        "
        step a timeout 1m
        30m crash
        30.5m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            30m crash
                a 1 started, start 2, wasm
            30.5m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 1830s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn another_owner_goes_on() {
    check(
        "
        step a
        1s claim 2
        2s claim 2
        3s claim 1
        4s crash
        5s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 started, start 1, wasm
            1s claim 2
                claimed by epoch 2
            2s claim 2
                nothing changes
            3s claim 1
                nothing changes
            4s crash
                a 1 started, start 2, wasm
            5s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 5s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn downtime_is_not_taken_from_any_attempt() {
    check(
        "
        step a timeout 1m
        step b alone timeout 1m
        step c
        30m crash
        31m tick
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            30m crash
                a 1 started, start 2, wasm
                b 1 started, start 2, wasm
            31m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a timed_out
                b 1 ended: attempt_timeout: no answer within 1m
                b timed_out
                c skipped
                run failed by a
            run failed at 1860s, a: attempt_timeout: no answer within 1m: a timed_out, b timed_out, c skipped
            wants nothing
        "#]],
    );
}

#[test]
fn effects_of_the_first_start_are_not_forgotten() {
    check(
        "
        hold
        step a
        1s step a attempt 1 starts effects
        2s step a attempt 1 starts wasm
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s step a attempt 1 starts effects
                a 1 started, start 1, effects
            2s step a attempt 1 starts wasm
                a 1 started, start 2, effects
            run running: a running
            wants a 1, to wake at 602s
        "#]],
    );
}
