//! Which step may begin when, and how a run ends.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_run_without_steps_succeeds_at_once() {
    check(
        "
        1s tick
        ",
        expect![[r#"
            0s
                run started, 0 steps
                run succeeded
            1s tick
                nothing changes
            run succeeded at 0s: nothing
            wants nothing
        "#]],
    );
}

#[test]
fn steps_run_in_order() {
    check(
        "
        step a
        step b
        step c
        1s step a attempt 1 ok
        2s step b attempt 1 ok with output
        3s step c attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            2s step b attempt 1 ok with output
                b 1 ended: done, output
                b succeeded
                c 1 started, start 1, wasm
            3s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run succeeded
            run succeeded at 3s: a succeeded, b succeeded, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_step_begins_only_after_what_it_waits_for() {
    check(
        "
        hold
        step a
        step b
        1s step b attempt 1 starts
        2s step a attempt 2 starts
        3s step a attempt 1 starts
        4s step b attempt 1 starts
        5s step a attempt 1 ok
        6s step b attempt 1 starts
        ",
        expect![[r#"
            0s
                run started, 2 steps
            1s step b attempt 1 starts
                nothing changes
            2s step a attempt 2 starts
                nothing changes
            3s step a attempt 1 starts
                a 1 started, start 1, wasm
            4s step b attempt 1 starts
                nothing changes
            5s step a attempt 1 ok
                a 1 ended: done
                a succeeded
            6s step b attempt 1 starts
                b 1 started, start 1, wasm
            run running: a succeeded, b running
            wants b 1, to wake at 606s
        "#]],
    );
}

#[test]
fn independent_steps_run_together() {
    check(
        "
        step a
        step b alone
        step c after a,b
        1s step b attempt 1 ok
        2s step a attempt 1 ok
        3s step c attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1s step b attempt 1 ok
                b 1 ended: done
                b succeeded
            2s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                c 1 started, start 1, wasm
            3s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                run succeeded
            run succeeded at 3s: a succeeded, b succeeded, c succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn a_failed_step_skips_all_that_wait_for_it() {
    check(
        "
        step a
        step b
        step c
        1s step a attempt 1 fails permanent
        ",
        expect![[r#"
            0s
                run started, 3 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                b skipped
                c skipped
                run failed by a
            run failed at 1s, a: permanent: no luck: a failed, b skipped, c skipped
            wants nothing
        "#]],
    );
}

#[test]
fn independent_steps_go_on_when_one_fails() {
    check(
        "
        step a
        step b
        step c alone
        step d
        1s step a attempt 1 fails permanent
        2s step c attempt 1 ok
        3s step d attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 4 steps
                a 1 started, start 1, wasm
                c 1 started, start 1, wasm
            1s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                b skipped
            2s step c attempt 1 ok
                c 1 ended: done
                c succeeded
                d 1 started, start 1, wasm
            3s step d attempt 1 ok
                d 1 ended: done
                d succeeded
                run failed by a
            run failed at 3s, a: permanent: no luck: a failed, b skipped, c succeeded, d succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn the_run_names_the_step_that_failed_first() {
    check(
        "
        step a
        step b alone
        1s step b attempt 1 fails other
        2s step a attempt 1 fails permanent
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1s step b attempt 1 fails other
                b 1 ended: other: no luck
                b failed
            2s step a attempt 1 fails permanent
                a 1 ended: permanent: no luck
                a failed
                run failed by b
            run failed at 2s, b: other: no luck: a failed, b failed
            wants nothing
        "#]],
    );
}

#[test]
fn of_steps_that_fail_in_one_moment_the_earlier_one_is_named() {
    check(
        "
        step a timeout 1m
        step b alone timeout 1m
        1m tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 started, start 1, wasm
                b 1 started, start 1, wasm
            1m tick
                a 1 ended: attempt_timeout: no answer within 1m
                a timed_out
                b 1 ended: attempt_timeout: no answer within 1m
                b timed_out
                run failed by a
            run failed at 60s, a: attempt_timeout: no answer within 1m: a timed_out, b timed_out
            wants nothing
        "#]],
    );
}

#[test]
fn a_diamond_is_skipped_through_either_side() {
    check(
        "
        step a
        step b after a
        step c after a
        step d after b,c
        1s step a attempt 1 ok
        2s step c attempt 1 fails trap
        3s step b attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 4 steps
                a 1 started, start 1, wasm
            1s step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
                c 1 started, start 1, wasm
            2s step c attempt 1 fails trap
                c 1 ended: trap: no luck
                c failed
                d skipped
            3s step b attempt 1 ok
                b 1 ended: done
                b succeeded
                run failed by c
            run failed at 3s, c: trap: no luck: a succeeded, b succeeded, c failed, d skipped
            wants nothing
        "#]],
    );
}

#[test]
fn a_run_is_pending_until_a_step_begins() {
    check(
        "
        hold
        step a
        1s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
            1s tick
                nothing changes
            run pending: a pending
            wants a 1 to start, to wake at 3600s
        "#]],
    );
}

#[test]
fn a_run_is_running_between_two_steps() {
    check(
        "
        hold
        step a
        step b
        1s step a attempt 1 starts
        2s step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
            1s step a attempt 1 starts
                a 1 started, start 1, wasm
            2s step a attempt 1 ok
                a 1 ended: done
                a succeeded
            run running: a succeeded, b pending
            wants b 1 to start, to wake at 3600s
        "#]],
    );
}
