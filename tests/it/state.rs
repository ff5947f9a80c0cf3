//! The state folder from outside: missing, empty, in use, asked for what is not there.

use crate::belt::Bench;
use serde_json::json;

#[test]
fn a_state_folder_that_is_missing_is_named_and_not_made() {
    let bench = Bench::new(&[]);
    let verbs = [
        &["list"][..],
        &["get"],
        &["logs"],
        &["retry"],
        &["rerun"],
        &["resume"],
    ];
    for verb in verbs {
        let said = bench.belt(&[&["runs"], verb, &["--state", "state"]].concat());
        let message = "error: there is no state folder `state`; `belt run --state` makes one\n";
        assert_eq!((said.code, said.stderr.as_str()), (2, message), "{verb:?}");
        assert!(!bench.path("state").exists());

        let said = bench.belt(&[&["runs"], verb].concat());
        let message = "error: no `.belt` here or in a folder above; run something first, or name one with --state DIR\n";
        assert_eq!((said.code, said.stderr.as_str()), (2, message), "{verb:?}");
        assert!(!bench.path(".belt").exists());
    }
}

#[test]
fn a_state_folder_without_a_store_has_no_runs_yet() {
    let bench = Bench::new(&[]);
    std::fs::create_dir(bench.path("state")).unwrap();
    let list = bench.belt(&["runs", "list", "--state", "state"]);
    assert_eq!((list.code, list.stdout.as_str()), (0, "no runs yet\n"));
    let list = bench.belt(&["runs", "list", "--state", "state", "-o", "json"]);
    assert_eq!((list.code, list.json()), (0, json!([])));
    for verb in ["get", "logs", "retry", "rerun", "resume"] {
        let said = bench.belt(&["runs", verb, "--state", "state"]);
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (2, "error: there are no runs yet\n")
        );
    }
    assert!(bench.state().is_empty());
}

#[test]
fn the_nearest_state_folder_upwards_is_used_and_it_keeps_itself_out_of_git() {
    let bench = Bench::with_steps(&[], &[]);
    let run = ["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
    assert_eq!(bench.belt(&run).code, 0);
    assert_eq!(bench.read(".belt/.gitignore"), "*\n");
    let below = bench.path("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let files = [
        "run",
        "-f",
        "../../pipeline.yaml",
        "-r",
        "../../resource.yaml",
    ];
    let output = bench.command(&files).current_dir(&below).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!below.join(".belt").exists());
    let listed = bench.belt(&["runs", "list", "-o", "json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn runs_that_are_not_there_are_named_and_ids_that_are_none_are_told() {
    let bench = Bench::with_steps(&[], &[]);
    assert_eq!(bench.run(&[]).code, 0);
    let before = bench.state();
    let unknown = "01a20c49-a757-73c1-9430-d0365a2d92e0";
    for (id, message) in [
        (
            unknown,
            "there is no run 01a20c49-a757-73c1-9430-d0365a2d92e0; `belt runs list` names",
        ),
        (&unknown[1..], "no run's id begins with"),
        ("", "no run's id begins with ``"),
    ] {
        for verb in ["get", "logs"] {
            let said = bench.belt(&["runs", verb, id, "--state", "state"]);
            assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{id}");
            assert!(said.stderr.contains(message), "{}", said.stderr);
        }
    }
    let said = bench.belt(&["runs", "logs", "--step", "none", "--state", "state"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: the run has no step `none`; it has none\n")
    );
    assert!(bench.state() == before);
}
