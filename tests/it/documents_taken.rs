//! The ways in which documents reach `belt run`, and what it prints.

use crate::belt::{Bench, Said};
use crate::documents::bench;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// Runs `belt` with this piped into it.
fn piped(bench: &Bench, args: &[&str], stdin: &str) -> Said {
    let mut command = bench.command(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A `belt` that refuses early may have closed it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn succeeded(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{}", said.stderr);
    let run = said.json();
    assert_eq!(run["status"], "succeeded");
    run
}

#[test]
fn a_pipeline_or_a_resource_is_piped_in() {
    let bench = bench(&[]);
    let text = bench.read("pipeline.yaml").replace("high", "piped");
    let run = succeeded(&piped(
        &bench,
        &["run", "-f", "-", "-r", "resource.yaml", "-o", "json"],
        &text,
    ));
    assert_eq!(run["steps"][0]["output"]["context"]["severity"], "piped");

    let text = "{\"name\": \"piped\", \"resource\": \"app\", \"spec\": {}}";
    let run = succeeded(&piped(
        &bench,
        &["run", "-f", "pipeline.yaml", "-r", "-", "-o", "json"],
        text,
    ));
    assert_eq!(run["resource"], json!({"kind": "app", "name": "piped"}));

    let both = format!(
        "{}---\n{}",
        bench.read("pipeline.yaml"),
        bench.read("resource.yaml")
    );
    succeeded(&piped(&bench, &["run", "-f", "-", "-o", "json"], &both));
}

#[test]
fn what_is_wrong_with_piped_documents_is_told_by_line_and_column() {
    let bench = bench(&[]);
    let bad = bench.read("pipeline.yaml").replace("driver:", "drive:");
    let said = piped(&bench, &["run", "-f", "-", "-r", "resource.yaml"], &bad);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .starts_with("stdin:5:6: unknown key `drive`; did you mean `driver`?"),
        "{}",
        said.stderr
    );
    let said = piped(&bench, &["run", "-f", "-", "-r", "resource.yaml"], "");
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.starts_with("stdin: the file is empty; "),
        "{}",
        said.stderr
    );
    let said = piped(&bench, &["lint", "-f", "-"], &"x".repeat(10 << 20));
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "stdin: more than the limit for a file, 4MiB\n")
    );
    assert!(!bench.path(".belt").exists());
}

#[test]
fn several_documents_stand_in_one_file_or_one_folder() {
    let bench = bench(&[]);
    let definition = "name: app\nschema: {type: object}\n";
    let all = [
        definition,
        &bench.read("resource.yaml"),
        &bench.read("pipeline.yaml"),
    ]
    .join("---\n");
    bench.write("all.yaml", all);
    let said = bench.belt(&["run", "-f", "all.yaml", "-o", "json"]);
    succeeded(&said);
    assert_eq!(said.stderr, "");

    bench.write("folder/1.yml", bench.read("pipeline.yaml"));
    bench.write(
        "folder/2.json",
        "{\"name\": \"app\", \"schema\": {\"type\": \"object\"}}",
    );
    bench.write("folder/3.yaml", bench.read("resource.yaml"));
    bench.write("folder/4.txt", "not read");
    let said = bench.belt(&["run", "-f", "folder", "--config", "belt.yaml", "-o", "json"]);
    succeeded(&said);
    assert_eq!(said.stderr, "");
    bench.write("folder/belt.yaml", bench.read("belt.yaml"));
    succeeded(&bench.belt(&["run", "-f", "folder", "-o", "json"]));
}

#[test]
fn the_configuration_that_is_named_replaces_the_one_beside_the_pipeline() {
    let bench = Bench::with_steps(&["relay"], &["{driver: relay}"]);
    let args = [
        "-f",
        ".",
        "--config",
        "given/less.yaml",
        "--workspace",
        "given",
        "-o",
        "json",
    ];
    let relay = crate::belt::guest("relay");
    bench.write(
        "given/less.yaml",
        format!("drivers: {{relay: {{path: {}}}}}\n", relay.display()),
    );
    let run = succeeded(&bench.belt(&[&["run"], &args[..]].concat()));
    assert_eq!(run["drivers"]["relay"]["grants"]["workspace"], "none");
    assert!(!bench.path("given/effects").exists());
}

#[test]
fn json_of_conveyor_is_taken_unchanged() {
    let bench = bench(&[]);
    bench.write(
        "pipeline.json",
        r#"{"name":"line","description":"","version":"1","resource":"app",
            "steps":[{"id":"one","name":"One","driver":"echo"}],"metadata":{"severity":"high"}}"#,
    );
    bench.write(
        "resource.json",
        r#"{"id":"65f0c0ffee65f0c0ffee65f0","name":"thing","pipeline":"line","resource":"app",
            "metadata":{"team":"a"},"spec":{"size":3}}"#,
    );
    bench.write(
        "definition.json",
        r#"{"id":"65f0c0ffee65f0c0ffee65f1","name":"app","description":"an app","version":"1",
            "schema":{"type":"object","properties":{"size":{"type":"integer"}}}}"#,
    );
    let args = [
        "run",
        "-f",
        "pipeline.json",
        "-f",
        "definition.json",
        "-r",
        "resource.json",
        "-o",
        "json",
    ];
    let said = bench.belt(&args);
    let run = succeeded(&said);
    assert_eq!(said.stderr, "");
    let output = &run["steps"][0]["output"];
    assert_eq!(output["context"], json!({"severity": "high"}));
    assert_eq!(
        output["resource"],
        json!({"id": "65f0c0ffee65f0c0ffee65f0", "name": "thing", "pipeline": "line", "resource": "app",
               "metadata": {"team": "a"}, "spec": {"size": 3}, "generation": 1})
    );
}

#[test]
fn no_steps_are_a_run_that_succeeds() {
    let bench = bench(&[("pipeline.yaml", "name: line\nresource: app\nsteps: []\n")]);
    let said = bench.run(&["-o", "json"]);
    let run = succeeded(&said);
    assert_eq!(run["steps"], json!([]));
    assert_eq!(
        said.stderr,
        "note: no definition of `app` was given, so the spec is unchecked\n"
    );
    assert_eq!(bench.latest()["run"], run["run"]);
}

#[test]
fn the_result_is_one_document_in_the_format_asked_for() {
    let bench = bench(&[]);
    let run = succeeded(&bench.run(&["-o", "json"]));
    let get = |format: &str| {
        let said = bench.belt(&["runs", "get", "--state", "state", "-o", format]);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""));
        said.stdout
    };
    assert_eq!(serde_json::from_str::<Value>(&get("json")).unwrap(), run);
    // YAML is read by the program's own reader: what it printed, it takes as a value.
    let yaml = get("yaml").replace('\n', "\n  ");
    bench.write(
        "resource.yaml",
        format!("name: thing\nresource: app\nspec:\n  {}\n", yaml.trim_end()),
    );
    let again = succeeded(&bench.run(&["-o", "json"]));
    assert_eq!(again["steps"][0]["output"]["resource"]["spec"], run);

    let text = bench.run(&[]);
    assert_eq!(text.code, 0);
    assert!(
        text.stdout
            .starts_with("  STEP  DRIVER  STATUS     ATTEMPTS  TIME"),
        "{}",
        text.stdout
    );
    let said = bench.run(&["-o", "xml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("possible values: text, json, yaml"),
        "{}",
        said.stderr
    );
}
