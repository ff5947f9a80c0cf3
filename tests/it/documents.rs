//! Documents that are wrong: what `belt run` says of them, with file, line and column, and that nothing is kept.

use crate::belt::Bench;
use expect_test::{Expect, expect};

/// A bench whose files are all right but for these.
pub fn bench(files: &[(&str, &str)]) -> Bench {
    let bench = Bench::new(&["echo"]);
    let context = "context: {severity: high, deep: {list: [1]}}";
    bench.pipeline(context, &["{driver: echo}"]);
    for (name, text) in files {
        bench.write(name, text);
    }
    bench
}

/// What `belt run` says when it refuses: exit code 2, nothing on stdout, no state folder made.
#[track_caller]
pub fn refused(bench: &Bench, args: &[&str], expected: Expect) {
    let said = bench.belt(&[&["run"], args].concat());
    expected.assert_eq(&said.stderr);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(!bench.path(".belt").exists(), "a state folder was made");
}

pub const RUN: [&str; 4] = ["-f", "pipeline.yaml", "-r", "resource.yaml"];

#[track_caller]
pub fn pipeline(text: &str, expected: Expect) {
    refused(&bench(&[("pipeline.yaml", text)]), &RUN, expected);
}

#[track_caller]
pub fn resource(text: &str, expected: Expect) {
    refused(&bench(&[("resource.yaml", text)]), &RUN, expected);
}

#[test]
fn an_empty_pipeline() {
    pipeline(
        "",
        expect![[r#"
        pipeline.yaml: the file is empty; a document has `steps`, `spec`, `schema` or `drivers`
    "#]],
    );
    pipeline(
        "# a comment\n",
        expect![[r#"
        pipeline.yaml: the file is empty; a document has `steps`, `spec`, `schema` or `drivers`
    "#]],
    );
    pipeline(
        "---\n",
        expect![[r#"
        pipeline.yaml:2:1: the document is empty; take it out, or give it `steps`, `spec`, `schema` or `drivers`
    "#]],
    );
    pipeline(
        "{}\n",
        expect![[r#"
        pipeline.yaml:1:1: a document has `steps` (a pipeline), `spec` (a resource), `schema` (a definition) or `drivers` (a configuration); this one has none of them
    "#]],
    );
    pipeline(
        "name: line\nresource: app\nsteps:\n",
        expect![[r#"
        pipeline.yaml:3:6: `steps` has no value
    "#]],
    );
}

#[test]
fn a_key_that_is_unknown() {
    pipeline(
        "name: line\nresource: app\nstep: []\n",
        expect![[r#"
        pipeline.yaml:3:1: unknown key `step`; did you mean `steps`?
    "#]],
    );
    pipeline(
        "name: line\nresource: app\ntimout: 1m\nsteps:\n  - drivr: echo\n  - {driver: echo, colour: red}\n",
        expect![[r#"
            pipeline.yaml:3:1: unknown key `timout`; did you mean `timeout`?
            pipeline.yaml:5:5: unknown key `drivr`; did you mean `driver`?
            pipeline.yaml:6:20: unknown key `colour`; a step has `id`, `driver`, `with`, `timeout`, `queue_timeout`, `retry`, `on_lost` and `name`
        "#]],
    );
    resource(
        "name: thing\nresource: app\nspce: {}\n",
        expect![[r#"
        resource.yaml:3:1: unknown key `spce`; did you mean `spec`?
    "#]],
    );
}

#[test]
fn a_key_that_kubernetes_has() {
    pipeline(
        "kind: app\nname: line\nresource: app\nsteps: []\n",
        expect![[r#"
            pipeline.yaml:1:1: unknown key `kind`; here the kind a pipeline carries is `resource`
        "#]],
    );
    pipeline(
        "apiVersion: v1\nkind: Pipeline\nmetadata: {name: line}\nspec: {steps: [{driver: echo}]}\n",
        expect![[r#"
            pipeline.yaml:1:1: unknown key `apiVersion`; documents here have no version of their form, leave it out
            pipeline.yaml:2:1: unknown key `kind`; here the kind a pipeline carries is `resource`
            pipeline.yaml:3:12: `metadata.name` is not read; here `name` stands at the top
            pipeline.yaml:4:8: `spec.steps` is not read; here `steps` stands at the top
        "#]],
    );
    resource(
        "kind: app\nmetadata: {name: thing}\nspec: {}\n",
        expect![[r#"
            resource.yaml:1:1: unknown key `kind`; here the kind of a resource is `resource`
            resource.yaml:2:12: `metadata.name` is not read; here `name` stands at the top
        "#]],
    );
}

#[test]
fn a_step_id_that_comes_twice() {
    let steps = "  - {id: one, driver: echo}\n  - {driver: echo}\n  - {id: one, driver: echo}\n";
    pipeline(
        &format!("name: line\nresource: app\nsteps:\n{steps}"),
        expect![[r#"
            pipeline.yaml:6:10: step id `one` is used twice, first at 4:10; give each its own
        "#]],
    );
    pipeline(
        "name: line\nresource: app\nsteps: [{driver: echo}, {driver: echo}]\n",
        expect![[r#"
            pipeline.yaml:3:34: a second step `echo`, the first is at 3:18: a step without `id` is called after its driver; give this one an `id`
        "#]],
    );
}

#[test]
fn yaml_and_json_that_are_none() {
    pipeline(
        "name: line\nname: other\nresource: app\nsteps: []\n",
        expect![[r#"
            pipeline.yaml:2:1: key `name` is given twice, first at 1:1; keep one
        "#]],
    );
    pipeline(
        "name: line\nresource: app\nsteps: []\ncontext:\n  a: {b: 1, b: 2}\n",
        expect![[r#"
            pipeline.yaml:5:13: key `b` is given twice, first at 5:7; keep one
        "#]],
    );
    pipeline(
        "name: line\n\tresource: app\n",
        expect![[r#"
        pipeline.yaml:1:7: not valid YAML: while scanning a plain scalar, found a tab; indent with spaces
    "#]],
    );
    pipeline(
        "name: [line\n",
        expect![[r#"
        pipeline.yaml:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']' (inside the list that begins at 1:7)
    "#]],
    );
    let bench = bench(&[("pipeline.json", "{\"name\": \"line\",\n \"steps\": [],}")]);
    refused(
        &bench,
        &["-f", "pipeline.json", "-r", "resource.yaml"],
        expect![[r#"
            pipeline.json:2:14: not valid JSON: nothing follows the last `,`; take it out
        "#]],
    );
}

#[test]
fn files_that_are_none() {
    let bench = bench(&[("notes/readme.txt", "hello")]);
    refused(
        &bench,
        &["-f", "lost.yaml", "-r", "resource.yaml"],
        expect![[r#"
            lost.yaml: cannot read the file: no such file or directory
        "#]],
    );
    refused(
        &bench,
        &["-f", "notes", "-r", "resource.yaml"],
        expect![[r#"
            notes: the folder has no .yaml, .yml or .json file
        "#]],
    );
    refused(
        &bench,
        &[&RUN[..], &["--config", "lost.yaml"]].concat(),
        expect![[r#"
            lost.yaml: cannot read the file: no such file or directory
        "#]],
    );
    refused(
        &bench,
        &[&RUN[..], &["--config", "resource.yaml"]].concat(),
        expect![[r#"
            error: `resource.yaml` has no `drivers`; name the operator's file with --config FILE
        "#]],
    );
    bench.write("pipeline.yaml", b"name: l\xffne\n");
    refused(
        &bench,
        &RUN,
        expect![[r#"
        pipeline.yaml:1:8: byte 0xff is not UTF-8; save the file as UTF-8
    "#]],
    );
}
