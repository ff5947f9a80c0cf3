//! A run whose thread a guest's file call holds up: a pipe in the workspace that nobody writes into.

use crate::belt::Bench;
use crate::live::Live;
use serde_json::json;
use std::process::Command;

#[test]
fn a_file_call_that_never_returns_ends_the_process_and_at_last_the_attempt() {
    let step = "{driver: files, timeout: 200ms, with: {do: [{read: /workspace/pipe}]}}";
    let bench = Bench::with_steps(&["files", "echo"], &[step, "{driver: echo}"]);
    std::fs::create_dir_all(bench.path("work")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(bench.path("work/pipe"))
            .status()
            .unwrap()
            .success()
    );
    let resume = ["runs", "resume", "--state", "state"];
    for said in [bench.run(&[]), bench.belt(&resume)] {
        assert_eq!(said.code, 4, "{}", said.stderr);
        let expected = "a step is past its deadline in a file call that does not return";
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    assert_eq!(bench.latest()["status"], "running");
    let listed = bench.belt(&["runs", "list", "--state", "state"]);
    assert!(
        listed.stderr.contains("was cut off; `belt runs resume"),
        "{}",
        listed.stderr
    );
    assert_eq!(bench.belt(&resume).code, 1);
    let run = bench.latest();
    assert_eq!(run["failure"]["kind"], "lost");
    assert_eq!(run["steps"][1]["status"], "skipped");
}

#[test]
fn a_termination_asks_like_ctrl_c() {
    let bench = Bench::with_steps(&["wait", "echo"], &["{driver: wait}", "{driver: echo}"]);
    let mut live = Live::run(&bench, &[]);
    live.until("waiting");
    live.terminate();
    let said = live.end();
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_eq!(bench.latest()["status"], json!("cancelled"));
}

#[test]
fn a_third_ctrl_c_leaves_a_run_that_cannot_be_ended() {
    let step = "{driver: files, with: {do: [{read: /workspace/pipe}]}}";
    let bench = Bench::with_steps(&["say", "files"], &["{driver: say}", step]);
    std::fs::create_dir_all(bench.path("work")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(bench.path("work/pipe"))
            .status()
            .unwrap()
            .success()
    );
    let mut live = Live::run(&bench, &[]);
    live.until("say    succeeded");
    live.interrupt();
    live.until("stopping: steps under way");
    live.interrupt();
    live.until("stopping now");
    live.interrupt();
    let said = live.end();
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(
        said.stderr.contains("left the run as it is"),
        "{}",
        said.stderr
    );
}
