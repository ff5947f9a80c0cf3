//! A machine that limits the address space: no pool of instances, and drivers run all the same.

use crate::belt::{Bench, guest};
use std::process::Command;

/// `belt run` under `ulimit -v`, in KiB.
fn run(kib: u64) -> (i32, String) {
    let bench = Bench::with_steps(
        &["echo"],
        &["{id: a, driver: echo}", "{id: b, driver: echo}"],
    );
    guest("echo");
    let belt = env!("CARGO_BIN_EXE_belt");
    let line = format!(
        "ulimit -v {kib} && exec {belt} run -f pipeline.yaml -r resource.yaml --state state"
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn without_room_for_a_pool_instances_come_on_demand_and_that_is_said() {
    let (code, stderr) = run(3_000_000);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("note: no pool of instances can be had"),
        "{stderr}"
    );
}

#[test]
fn with_room_nothing_is_said() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let said = bench.run(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!said.stderr.contains("address space"), "{}", said.stderr);
}
