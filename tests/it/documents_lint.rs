//! `belt lint`: offline, every mistake at once, as text and for programs.

use crate::belt::{Bench, Said};
use crate::documents::bench;
use expect_test::expect;
use serde_json::{Value, json};

fn lint(bench: &Bench, args: &[&str]) -> Said {
    let said = bench.belt(&[&["lint"], args].concat());
    assert!(!bench.path(".belt").exists(), "a state folder was made");
    said
}

const ALL: [&str; 4] = ["-f", "pipeline.yaml", "resource.yaml", "belt.yaml"];

#[test]
fn what_is_right_is_counted() {
    let bench = bench(&[("definition.yaml", "name: app\nschema: {type: object}\n")]);
    let said = lint(&bench, &[&ALL[..], &["-f", "definition.yaml"]].concat());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    expect![[r#"
        nothing wrong with 1 pipeline, 1 resource, 1 definition, 1 configuration
    "#]]
    .assert_eq(&said.stdout);
    let said = lint(&bench, &["-f", "."]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    for (format, empty) in [("json", "[]\n"), ("yaml", "[]\n")] {
        let said = lint(&bench, &[&ALL[..], &["-o", format]].concat());
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (0, empty, "")
        );
    }
}

/// Mistakes of every sort, over several files.
fn wrong() -> Bench {
    bench(&[
        (
            "pipeline.yaml",
            "name: line\nresource: app\nsteps:\n  - driver: ecko\n",
        ),
        (
            "resource.yaml",
            "name: thing\nresource: app\npipeline: lime\nspec: {size: 3}\n",
        ),
        (
            "definition.yaml",
            "name: app\nschema: {properties: {size: {type: string}}}\n",
        ),
    ])
}

#[test]
fn mistakes_are_told_with_their_places() {
    let bench = wrong();
    let said = lint(&bench, &[&ALL[..], &["definition.yaml"]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    expect![[r#"
        pipeline.yaml:4:13: step `ecko` names driver `ecko`, which belt.yaml does not have; did you mean `echo`?
        resource.yaml:3:11: pipeline `lime` is in none of these files; did you mean `line`?
        resource.yaml:4:14: `spec.size`: 3 is not of type "string"
    "#]].assert_eq(&said.stderr);
}

#[test]
fn mistakes_are_told_to_programs() {
    let bench = wrong();
    let args = [&ALL[..], &["definition.yaml", "-o", "json"]].concat();
    let said = lint(&bench, &args);
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(
        found[0],
        json!({"file": "pipeline.yaml", "line": 4, "column": 13,
               "message": "step `ecko` names driver `ecko`, which belt.yaml does not have; did you mean `echo`?"})
    );
    let said = lint(&bench, &[&ALL[..], &["-o", "yaml"]].concat());
    assert_eq!(said.code, 2);
    assert!(
        said.stdout
            .starts_with("- file: pipeline.yaml\n  line: 4\n  column: 13\n"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_file_that_cannot_be_read_stands_beside_the_mistakes_of_the_others() {
    let bench = bench(&[(
        "pipeline.yaml",
        "name: line\nname: line\nresource: app\nsteps: []\n",
    )]);
    let said = lint(
        &bench,
        &["-f", "lost.yaml", "pipeline.yaml", "resource.yaml"],
    );
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    expect![[r#"
        lost.yaml: cannot read the file: no such file or directory
        pipeline.yaml:2:1: key `name` is given twice, first at 1:1; keep one
    "#]]
    .assert_eq(&said.stderr);
    let said = lint(&bench, &["-f", "lost.yaml", "-o", "json"]);
    assert_eq!(said.code, 2);
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        found,
        json!([{"file": "lost.yaml", "message": "cannot read the file: no such file or directory"}])
    );
}

#[test]
fn nothing_to_check_is_told() {
    let bench = bench(&[]);
    let said = lint(&bench, &[]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("--file <FILE>..."), "{}", said.stderr);
}
