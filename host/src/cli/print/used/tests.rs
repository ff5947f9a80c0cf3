//! The tables, of runs made by hand.

use super::super::{details, run};
use crate::view::{AttemptView, FailureView, LedgerView, ResourceView, RunView, StepView};
use beltline_engine::{RunStatus, StepStatus};
use expect_test::{Expect, expect};
use std::collections::BTreeMap;

fn attempt(attempt: u32, round: u32, ledger: Option<LedgerView>) -> AttemptView {
    AttemptView {
        attempt,
        round,
        placement: "wasm".into(),
        starts: 1,
        started_at: "2026-01-01T00:00:00.000Z".to_owned(),
        started_ms: 0,
        ended_at: None,
        elapsed_ms: Some(1_400),
        message: None,
        failure: None,
        fenced: None,
        ledger,
    }
}

fn failed(mut attempt: AttemptView, kind: &'static str, reason: &str) -> AttemptView {
    let reason = reason.to_owned();
    attempt.failure = Some(FailureView {
        kind: kind.into(),
        reason,
    });
    attempt
}

fn used(cpu_ms: f64, memory_bytes: u64) -> LedgerView {
    LedgerView {
        cpu_ms,
        wall_ms: 1_390.5,
        memory_bytes,
        host_calls: 12_345,
        calls_denied: 2,
        bytes_read: 3 << 20,
        bytes_written: 1_536,
        log_bytes: 87,
    }
}

fn step(id: &str, status: StepStatus, attempts: Vec<AttemptView>) -> StepView {
    StepView {
        id: id.to_owned(),
        driver: "build".to_owned(),
        status,
        round: 2,
        message: None,
        failure: None,
        elapsed_ms: Some(2_800),
        attempts: Some(attempts),
        output: None,
    }
}

fn view() -> RunView {
    let nothing = LedgerView {
        host_calls: 0,
        calls_denied: 0,
        bytes_read: 0,
        bytes_written: 0,
        log_bytes: 0,
        ..used(0.2, 0)
    };
    let mut lost = failed(attempt(2, 2, None), "lost", "the host went down with it");
    lost.starts = 3;
    let mut done = attempt(4, 2, Some(used(1_402.0, 17 << 20)));
    done.message = Some("built\nand more".to_owned());
    let over = "over its cpu limit of 1s: it was stopped while it computed";
    let attempts = vec![
        failed(attempt(1, 1, Some(nothing)), "trap", "unreachable"),
        lost,
        failed(attempt(3, 2, Some(used(1_003.0, 40 << 20))), "limit", over),
        done,
    ];
    RunView {
        run: "0".to_owned(),
        status: RunStatus::Running,
        pipeline: Some("line".to_owned()),
        event: "create".to_owned(),
        ignored: Vec::new(),
        cut_off: false,
        since: None,
        notes: Vec::new(),
        resource: ResourceView {
            kind: "app".to_owned(),
            name: "thing".to_owned(),
        },
        round: 2,
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        ended_at: None,
        elapsed_ms: None,
        failure: None,
        steps: vec![
            step("make", StepStatus::Succeeded, attempts),
            step("ship", StepStatus::Running, vec![attempt(1, 2, None)]),
            step("tell", StepStatus::Pending, Vec::new()),
        ],
        drivers: BTreeMap::new(),
        workspace: None,
        out: "/nowhere".into(),
        rerun_of: None,
    }
}

#[track_caller]
fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&anstream::adapter::strip_str(text).to_string());
}

/// CPU time is of all attempts of the step's round, memory the most that one of them held.
#[test]
fn the_table_has_what_each_step_used_in_its_round() {
    check(
        &run(&view(), &[]),
        &expect![[r#"
              STEP  DRIVER  STATUS     ATTEMPTS  TIME   CPU    MEMORY  MESSAGE
            ✓ make  build   succeeded  4         2.8 s  2.4 s  40 MiB
            … ship  build   running    1         2.8 s
            · tell  build   pending    0         2.8 s
              4.2 s in drivers, 24690 calls of the host, 4 denied, read 6 MiB, wrote 3 KiB, logged 174 B

            run 0 running
        "#]],
    );
}

#[test]
fn details_have_the_ledger_of_each_attempt_in_a_line() {
    check(
        &details(&view(), &[]),
        &expect![[r#"
            run        0
            pipeline   line
            resource   app thing
            created    2026-01-01T00:00:00.000Z
            round      2
            out        /nowhere

            STEP  ROUND  ATTEMPT  TIME   CPU     MEMORY  CALLS  DENIED  READ   WRITTEN  LOG   END
            make  1      1        1.4 s  0.2 ms  -       -      -       -      -        -     trap: unreachable
            make  2      2        1.4 s                                                       lost: the host went down with it (started 3 times)
            make  2      3        1.4 s  1.0 s   40 MiB  12345  2       3 MiB  1.5 KiB  87 B  limit: over its cpu limit of 1s: it was stopped while it computed
            make  2      4        1.4 s  1.4 s   17 MiB  12345  2       3 MiB  1.5 KiB  87 B  built
            ship  2      1        1.4 s                                                       no end recorded

              STEP  DRIVER  STATUS     ATTEMPTS  TIME   CPU    MEMORY  MESSAGE
            ✓ make  build   succeeded  4         2.8 s  2.4 s  40 MiB
            … ship  build   running    1         2.8 s
            · tell  build   pending    0         2.8 s
              4.2 s in drivers, 24690 calls of the host, 4 denied, read 6 MiB, wrote 3 KiB, logged 174 B

            run 0 running
        "#]],
    );
}

#[test]
fn a_run_without_attempts_has_no_table_of_them() {
    let mut view = view();
    view.steps.truncate(0);
    check(&super::attempts(&view), &expect![[r#""#]]);
}
