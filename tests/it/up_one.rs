//! One owner of a state folder: a second `belt up` is refused, one on the folder of a `belt run` waits for it.

use crate::belt::Bench;
use crate::live::Live;
use crate::up::{Up, id, up as args};
use serde_json::json;

#[test]
fn a_second_belt_up_is_refused_with_the_first_ones_process() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let said = bench.belt(&args(&[]));
    assert_eq!(said.code, 4, "{said:?}");
    assert!(
        said.stderr.contains(&format!("process {}", up.pid())),
        "{said:?}"
    );
    up.get("/health").is(200);
    // After its end, also a violent one, the folder is free.
    up.kill();
    Up::start(&bench).get("/health").is(200);
}

#[test]
fn a_port_that_is_taken_is_told_and_the_folder_left_free() {
    let bench = Bench::new(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = bench.belt(&["up", "--listen", &address, "--state", "state"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(
        said.stderr.contains(&format!("cannot listen on {address}")),
        "{said:?}"
    );
    Up::start(&bench);
}

#[test]
fn belt_up_waits_for_a_belt_run_says_so_and_takes_over() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let mut run = Live::run(&bench, &[]);
    run.until("at the gate");
    let mut waiting = Live::start(bench.command(&args(&[])));
    let said = waiting.until("waiting for a `belt run`");
    assert!(said.contains(&format!("process {}", run.pid())), "{said}");
    bench.write("work/gate.open", "");
    assert_eq!(run.end().code, 0);
    let up = Up::of(&bench, waiting);
    assert_eq!(up.get("/runs/latest").is(200)["status"], "succeeded");
}

#[test]
fn belt_up_takes_up_the_runs_of_a_belt_run_that_died() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let mut run = Live::run(&bench, &[]);
    run.until("at the gate");
    let waiting = Live::start(bench.command(&args(&[])));
    run.kill();
    let up = Up::of(&bench, waiting);
    bench.write("work/gate.open", "");
    let run = up.ended("latest");
    assert_eq!(
        (&run["status"], &run["steps"][0]["attempts"][0]["starts"]),
        (&json!("succeeded"), &json!(2))
    );
}

#[test]
fn belt_run_on_the_folder_of_a_belt_up_is_its_client() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let up = Up::start(&bench);
    let mut run = Live::run(&bench, &[]);
    run.until("at the gate");
    let shown = up.get("/runs/latest").is(200);
    assert_eq!(shown["status"], "running");
    bench.write("work/gate.open", "");
    assert_eq!(run.end().code, 0);
    assert_eq!(up.ended(&id(&shown))["status"], "succeeded");
    assert_eq!(up.terminate().code, 0);
    assert!(!bench.path("state/belt.sock").exists());
}
