//! What the operator changes between a kill and `belt runs resume`: grants, entries, files.
//!
//! Each run is killed while its first step waits at a gate; the second has an effect.

use crate::belt::{Bench, Said, guest};
use crate::live::Live;
use std::fs;

const GATE: &str = "gate: {path: gate.wasm, grants: {workspace: ro}}";

/// `belt.yaml` with the gate and this entry for `append`.
fn configure(bench: &Bench, append: &str) {
    bench.write(
        "belt.yaml",
        format!("drivers:\n  {GATE}\n  append: {append}\n"),
    );
}

/// A run with these drivers, copied beside its `belt.yaml`, killed at the gate, and the gate then opened.
fn killed_at_the_gate(append: &str) -> Bench {
    let bench = Bench::with_steps(
        &[],
        &["{id: wait, driver: gate}", "{id: work, driver: append}"],
    );
    for name in ["gate", "append"] {
        fs::copy(guest(name), bench.path(&format!("{name}.wasm"))).unwrap();
    }
    configure(&bench, append);
    let mut live = Live::run(&bench, &[]);
    live.until("at the gate");
    live.kill();
    bench.write("work/wait.open", "");
    bench
}

fn resume(bench: &Bench) -> Said {
    bench.belt(&["runs", "resume", "--state", "state", "-o", "json"])
}

#[track_caller]
fn succeeds(said: &Said, bench: &Bench) {
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.json()["status"], "succeeded");
    assert_eq!(bench.read("work/effects").lines().count(), 1);
}

const FULL: &str = "{path: append.wasm, grants: {workspace: rw}}";

#[test]
fn without_changes_it_goes_on() {
    let bench = killed_at_the_gate(FULL);
    succeeds(&resume(&bench), &bench);
}

#[test]
fn grants_withdrawn_are_withdrawn() {
    for less in [
        "{path: append.wasm}",
        "{path: append.wasm, grants: {workspace: ro}}",
    ] {
        let bench = killed_at_the_gate(FULL);
        configure(&bench, less);
        let said = resume(&bench);
        assert_eq!(said.code, 1, "{}", said.stderr);
        let failure = &said.json()["failure"];
        assert_eq!(failure["kind"], "trap", "{failure}");
        assert!(
            failure["reason"]
                .as_str()
                .unwrap()
                .contains("it is granted"),
            "{failure}"
        );
        assert!(!bench.path("work/effects").exists());
    }
}

#[test]
fn grants_given_later_are_not_given_to_a_run_that_was_made_without() {
    for less in [
        "{path: append.wasm}",
        "{path: append.wasm, grants: {workspace: ro}}",
    ] {
        let bench = killed_at_the_gate(less);
        configure(&bench, FULL);
        let said = resume(&bench);
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert_eq!(said.json()["failure"]["kind"], "trap");
        assert!(!bench.path("work/effects").exists());
        // A new run has them.
        let rerun = bench.run(&["-o", "json"]);
        succeeds(&rerun, &bench);
    }
}

#[test]
fn a_driver_that_is_gone_from_the_configuration_is_named_and_the_run_can_wait_for_it() {
    let bench = killed_at_the_gate(FULL);
    let config = bench.path("belt.yaml").canonicalize().unwrap();
    bench.write("belt.yaml", format!("drivers:\n  {GATE}\n"));
    let before = bench.latest();
    let said = resume(&bench);
    let message = format!(
        "error: `{}` has no driver `append`, which the run names; add it again\n",
        config.display()
    );
    assert_eq!((said.code, said.stderr), (2, message));
    assert_eq!(bench.latest(), before);
    configure(&bench, FULL);
    succeeds(&resume(&bench), &bench);
}

#[test]
fn a_configuration_given_anew_is_the_one_that_is_named_and_used() {
    let bench = killed_at_the_gate(FULL);
    fs::rename(bench.path("belt.yaml"), bench.path("moved.yaml")).unwrap();
    let said = resume(&bench);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("belt.yaml: cannot read the file"),
        "{}",
        said.stderr
    );

    bench.write("other.yaml", "drivers: {}\n");
    let args = ["runs", "resume", "--state", "state", "--config"];
    let said = bench.belt(&[&args[..], &["other.yaml"]].concat());
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("other.yaml` has no driver `append`"),
        "{}",
        said.stderr
    );

    let said = bench.belt(&[&args[..], &["moved.yaml", "-o", "json"]].concat());
    succeeds(&said, &bench);
}

#[test]
fn the_bytes_that_the_run_was_made_with_are_used_whatever_became_of_the_file() {
    for changed in [true, false] {
        let bench = killed_at_the_gate(FULL);
        let digests = bench.latest()["drivers"].clone();
        for name in ["gate", "append"] {
            let path = bench.path(&format!("{name}.wasm"));
            if changed {
                fs::write(path, "no component").unwrap()
            } else {
                fs::remove_file(path).unwrap()
            }
        }
        let said = resume(&bench);
        succeeds(&said, &bench);
        assert_eq!(said.json()["drivers"], digests);
    }
}

#[test]
fn a_kept_driver_that_is_damaged_is_refused_by_name() {
    let bench = killed_at_the_gate(FULL);
    let digest = bench.latest()["drivers"]["append"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let name = format!("{}.wasm", digest.strip_prefix("sha256:").unwrap());
    let kept = bench.path("state/drivers").join(&name);
    let whole = fs::read(&kept).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let before = bench.latest();
    let said = resume(&bench);
    assert_eq!(said.code, 4);
    let start = format!("{}` is damaged: its bytes are sha256:", name);
    assert!(said.stderr.contains(&start), "{}", said.stderr);

    fs::remove_file(&kept).unwrap();
    let said = resume(&bench);
    assert_eq!(said.code, 4);
    assert!(
        said.stderr.contains("cannot read `") && said.stderr.contains(&name),
        "{}",
        said.stderr
    );
    assert_eq!(bench.latest(), before);

    fs::write(&kept, whole).unwrap();
    succeeds(&resume(&bench), &bench);
}
