//! Documents and arguments that are right alone and wrong together: what `belt run` says of them.

use crate::belt::Bench;
use crate::documents::{RUN, bench, pipeline, refused, resource};
use expect_test::{Expect, expect};

#[track_caller]
fn set(argument: &str, expected: Expect) {
    refused(
        &bench(&[]),
        &[&RUN[..], &["--set", argument]].concat(),
        expected,
    );
}

#[test]
fn a_driver_that_the_configuration_lacks() {
    pipeline(
        "name: line\nresource: app\nsteps:\n  - driver: ecko\n",
        expect![[r#"
            pipeline.yaml:4:13: step `ecko` names driver `ecko`, which belt.yaml does not have; did you mean `echo`?
        "#]],
    );
    pipeline(
        "name: line\nresource: app\nsteps:\n  - driver: terraform\n",
        expect![[r#"
            pipeline.yaml:4:13: step `terraform` names driver `terraform`, which belt.yaml does not have; it has `echo`
        "#]],
    );
}

#[test]
fn a_resource_that_is_not_for_this_pipeline() {
    resource(
        "name: thing\nresource: application\nspec: {}\n",
        expect![[r#"
            resource.yaml:2:11: the resource is of kind `application`, but pipeline `line` carries `app` (pipeline.yaml:2:11)
        "#]],
    );
    resource(
        "name: thing\nresource: app\npipeline: other\nspec: {}\n",
        expect![[r#"
            resource.yaml:3:11: the resource names pipeline `other`, but this one is `line` (pipeline.yaml:1:7); give the other, or take `pipeline` out
        "#]],
    );
}

#[test]
fn a_resource_that_fails_its_schema() {
    let definition = "name: app\nschema:\n  type: object\n  required: [image]\n  additionalProperties: false\n  \
                      properties:\n    image: {type: string}\n    ports: {items: {properties: {port: {maximum: 65535}}}}\n";
    let bad = "name: thing\nresource: app\nspec:\n  imag: nginx\n  ports:\n    - port: 80\n    - port: 70000\n";
    let bench = bench(&[("definition.yaml", definition), ("resource.yaml", bad)]);
    let args = [&RUN[..], &["-f", "definition.yaml"]].concat();
    refused(
        &bench,
        &args,
        expect![[r#"
        resource.yaml:4:3: unknown key `imag` in `spec`; did you mean `image`?
        resource.yaml:7:13: `spec.ports[1].port`: 70000 is greater than the maximum of 65535
    "#]],
    );
    bench.write("definition.yaml", "name: app\nschema: {type: objekt}\n");
    refused(
        &bench,
        &args,
        expect![[r#"
        definition.yaml:2:16: `schema.type` is not valid JSON Schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword
    "#]],
    );
}

#[test]
fn an_override_of_what_the_context_lacks() {
    set(
        "sevrity=low",
        expect![[r#"
        error: `--set sevrity`: the context has no key `sevrity`; did you mean `severity`?
    "#]],
    );
    set(
        "deep.lost=1",
        expect![[r#"
        error: `--set deep.lost`: `deep` has no key `lost`; did you mean `list`?
    "#]],
    );
    set(
        "severity.low=1",
        expect![[r#"
        error: `--set severity.low`: `severity` is not a mapping; set it as a whole
    "#]],
    );
    set(
        "severity",
        expect![[r#"
        error: invalid value 'severity' for '--set <KEY=VALUE>': `--set severity` is not `key=value`

        For more information, try '--help'.
    "#]],
    );
    set(
        "=low",
        expect![[r#"
        error: invalid value '=low' for '--set <KEY=VALUE>': `--set =low` is not `key=value`

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn too_few_and_too_many_documents() {
    let bench = bench(&[]);
    bench.write("second.yaml", bench.read("pipeline.yaml"));
    refused(
        &bench,
        &["-f", "pipeline.yaml"],
        expect![[r#"
        error: no resource was given; it is a document with `spec`
    "#]],
    );
    refused(
        &bench,
        &["-f", "resource.yaml"],
        expect![[r#"
        error: no pipeline was given; it is a document with `steps`
    "#]],
    );
    refused(
        &bench,
        &[
            "-f",
            "pipeline.yaml",
            "-f",
            "second.yaml",
            "-r",
            "resource.yaml",
        ],
        expect![[r#"
            error: two pipelines were given, at pipeline.yaml:1:1 and second.yaml:1:1; a run takes one
        "#]],
    );
    refused(
        &bench,
        &[
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "-r",
            "resource.yaml",
        ],
        expect![[r#"
            error: two resources were given, at resource.yaml:1:1 and resource.yaml:1:1; a run takes one
        "#]],
    );
    refused(
        &bench,
        &["-r", "resource.yaml"],
        expect![[r#"
        error: the following required arguments were not provided:
          --file <PIPELINE>

        Usage: belt run --file <PIPELINE> --resource <RESOURCE>

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn folders_that_a_run_is_to_work_on_and_are_none() {
    let bench = Bench::with_steps(&["relay"], &["{id: one, driver: relay}"]);
    let strip = |bench: &Bench, args: &[&str]| {
        let said = bench.belt(&[&["run"], &RUN[..], args].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""));
        assert!(!bench.path(".belt").exists(), "a state folder was made");
        let folder = bench.path("").canonicalize().unwrap();
        let last = said.stderr.lines().last().unwrap().to_owned();
        last.replace(&folder.display().to_string(), "DIR")
    };
    expect!["error: step `one`: driver `relay` is granted the workspace, and this run has none; name one with --workspace DIR"].assert_eq(&strip(&bench, &[]));
    expect!["error: workspace `lost` is no folder that can be used: No such file or directory (os error 2)"].assert_eq(&strip(&bench, &["--workspace", "lost"]));
    expect!["error: workspace `pipeline.yaml` is no folder that can be used: Not a directory (os error 20)"].assert_eq(&strip(&bench, &["--workspace", "pipeline.yaml"]));
}
