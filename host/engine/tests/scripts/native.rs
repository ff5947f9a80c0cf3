//! Native drivers: waiting for one, and running on without the host.

use expect_test::expect;

use crate::script::check;

#[test]
fn an_attempt_waits_until_its_driver_has_it() {
    check(
        "
        step a native queue 1h timeout 2m
        step b
        10m step a attempt 1 delivered
        11m step a attempt 1 delivered
        12m tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 waits for its driver until 3600s
            10m step a attempt 1 delivered
                a 1 started, start 1, native
            11m step a attempt 1 delivered
                nothing changes
            12m tick
                a 1 ended: attempt_timeout: no answer within 2m
                a timed_out
                b skipped
                run failed by a
            run failed at 720s, a: attempt_timeout: no answer within 2m: a timed_out, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn a_delivered_attempt_has_its_own_timeout() {
    check(
        "
        step a native timeout 2m
        10m step a attempt 1 delivered
        11m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            10m step a attempt 1 delivered
                a 1 started, start 1, native
            11m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                run succeeded
            run succeeded at 660s: a succeeded
            wants nothing
        "#]],
    );
}

#[test]
fn an_answer_is_proof_of_delivery() {
    check(
        "
        step a native
        step b
        1m step a attempt 1 ok
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 waits for its driver until 3600s
            1m step a attempt 1 ok
                a 1 ended: done
                a succeeded
                b 1 started, start 1, wasm
            run running: a succeeded, b running
            wants b 1, to wake at 660s
        "#]],
    );
}

#[test]
fn a_driver_that_never_comes_fails_the_step_once() {
    check(
        "
        run timeout 3h
        step a native queue 30m attempts 3
        step b
        30m tick
        ",
        expect![[r#"
            0s
                run started, 2 steps
                a 1 waits for its driver until 1800s
            30m tick
                a 1 ended: queue_timeout: driver `driver` did not take it within 30m; is it running?
                a timed_out
                b skipped
                run failed by a
            run failed at 1800s, a: queue_timeout: driver `driver` did not take it within 30m; is it running?: a timed_out, b skipped
            wants nothing
        "#]],
    );
}

#[test]
fn a_delivery_of_another_attempt_changes_nothing() {
    check(
        "
        step a native
        1s step a attempt 2 delivered
        2s step a attempt 0 delivered
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            1s step a attempt 2 delivered
                nothing changes
            2s step a attempt 0 delivered
                nothing changes
            run waiting: a waiting_for_driver
            wants a 1, to wake at 3600s
        "#]],
    );
}

#[test]
fn a_native_failure_is_tried_again_by_way_of_the_queue() {
    check(
        "
        step a native attempts 2
        1s step a attempt 1 delivered
        2s step a attempt 1 fails retryable
        4s tick
        ",
        expect![[r#"
            0s
                run started, 1 steps
                a 1 waits for its driver until 3600s
            1s step a attempt 1 delivered
                a 1 started, start 1, native
            2s step a attempt 1 fails retryable
                a 1 ended: retryable: no luck
                a 2 is due at 2.977s
            4s tick
                (changed)
                a 2 waits for its driver until 3604s
            run waiting: a waiting_for_driver
            wants a 2, to wake at 3600s
        "#]],
    );
}
