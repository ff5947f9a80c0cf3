//! Policies in, findings out: through the driver's own `reconcile`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use beltline_sdk::testing::{Harness, Report};
use serde_json::{Value, json};

use crate::reconcile;

const POLICY: &str = r#"package supply.chain

import rego.v1

deny contains msg if {
	some component in input.outputs.sbom.list
	component.license in data.forbidden
	msg := sprintf("%s is under %s", [component.name, component.license])
}

warn_old contains {"msg": "too many", "severity": "low", "file": "Cargo.lock", "limit": 2} if {
	input.outputs.sbom.components > input.context.limit
}
"#;

fn call() -> Harness {
    let list = json!([{"name": "a", "license": "MIT"}, {"name": "b", "license": "GPL-3.0"}]);
    Harness::new()
        .resource("name", "example")
        .context("limit", 2)
        .output("sbom", json!({"components": 3, "list": list}))
        .file("policy/supply.rego", POLICY)
        .file("policy/supply_test.rego", "package x\nthis is not read")
}

fn inline(rego: &str) -> Report {
    Harness::new().with(json!({"rego": rego})).run(reconcile)
}

#[track_caller]
fn refused(rego: &str, reason: &str) {
    assert_eq!(inline(rego).failure().reason(), reason);
}

#[test]
fn a_denial_fails_the_run_and_leaves_its_findings_in_the_out_folder() {
    let report = call()
        .with(json!({"data": {"forbidden": ["GPL-3.0"]}}))
        .out()
        .run(reconcile);
    assert_eq!(
        report.failure().reason(),
        "1 denied, 1 warned: supply.chain.deny (policy/supply.rego:5): b is under GPL-3.0; \
         supply.chain.warn_old (policy/supply.rego:11): too many"
    );
    let file: Value = serde_json::from_str(&report.out_file("policy.json")).unwrap();
    assert_eq!(
        file["findings"],
        json!([
            {
                "level": "deny", "severity": "error", "rule": "supply.chain.deny",
                "message": "b is under GPL-3.0", "file": "policy/supply.rego", "policy": "policy/supply.rego:5"
            },
            {
                "level": "warn", "severity": "low", "rule": "supply.chain.warn_old", "message": "too many",
                "file": "Cargo.lock", "policy": "policy/supply.rego:11", "details": {"limit": 2}
            }
        ])
    );
}

#[test]
fn warnings_pass_unless_they_are_to_fail() {
    let report = call()
        .with(json!({"data": {"forbidden": []}}))
        .run(reconcile);
    assert_eq!(report.outcome().message, "2 rules: 0 denied, 1 warned");
    assert_eq!(
        report.output()["counts"],
        json!({"deny": 0, "violation": 0, "warn": 1})
    );
    assert_eq!(report.output()["policies"], json!(["policy/supply.rego"]));
    let with = json!({"data": {"forbidden": []}, "fail_on": "warn"});
    assert!(
        call()
            .with(with)
            .run(reconcile)
            .failure()
            .reason()
            .starts_with("0 denied, 1 warned")
    );
    let with = json!({"data": {"forbidden": ["MIT"]}, "fail_on": "never"});
    assert_eq!(
        call().with(with).run(reconcile).output()["counts"]["deny"],
        1
    );
}

#[test]
fn a_check_that_could_not_be_made_has_not_passed() {
    let forbidden_is_missing = call().run(reconcile);
    assert!(
        forbidden_is_missing.result.is_ok(),
        "an undefined reference is Rego's false"
    );
    refused(
        "package a\nimport rego.v1\ndeny contains \"x\" if {\n\tinput.resource.generation / 0 > 1\n}\n",
        "with.rego:4:31: divide by zero",
    );
    refused(
        "package a\nimport rego.v1\ndeny contains \"x\" if {\n\tto_number(\"x\") > 1\n}\n",
        "with.rego:4:16: could not parse string as number",
    );
}

#[test]
fn every_way_to_say_a_finding() {
    let report = inline(
        r#"package a.b
import rego.v1
deny := "text"
deny_list := ["one", "two"]
deny_flag if input.resource.name == "example"
deny_never if input.resource.name == "other"
deny_off := false
deny_object := {"message": "m", "rule": "R1"}
violation contains {"detail": 1}
allow := true
deny_function(x) := x
"#,
    );
    let told: Vec<String> = {
        let with = json!({"fail_on": "never", "rego": "package x\nimport rego.v1\ndeny if true"});
        let one = Harness::new().with(with).run(reconcile);
        assert_eq!(one.output()["findings"][0]["message"], "x.deny holds");
        report
            .failure()
            .reason()
            .split("; ")
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        told,
        [
            "6 denied, 0 warned: R1 (with.rego:8): m",
            "a.b.deny (with.rego:3): text",
            "a.b.deny_flag (with.rego:5): a.b.deny_flag holds",
            "a.b.deny_list (with.rego:4): one",
            "a.b.deny_list (with.rego:4): two",
            "and 1 more",
        ]
    );
}

#[test]
fn policies_are_found_by_file_folder_and_glob() {
    let rule = |name: &str| format!("package p\nimport rego.v1\nwarn_{name} if true\n");
    let found = |entries: Value| {
        let call = ["a/1.rego", "a/sub/2.rego", "b/3.rego", "a/notes.txt"]
            .iter()
            .fold(Harness::new(), |call, path| {
                call.file(path, rule(&path[path.len() - 6..path.len() - 5]))
            });
        let report = call.with(json!({"policies": entries})).run(reconcile);
        match &report.result {
            Ok(outcome) => outcome.output.as_ref().unwrap()["policies"].clone(),
            Err(failure) => json!(failure.reason()),
        }
    };
    assert_eq!(found(json!(["a"])), json!(["a/1.rego", "a/sub/2.rego"]));
    assert_eq!(
        found(json!(["a/*.rego", "./b/3.rego", "a/1.rego"])),
        json!(["a/1.rego", "b/3.rego"])
    );
    assert_eq!(
        found(json!(["**/*.rego"])),
        json!(["a/1.rego", "a/sub/2.rego", "b/3.rego"])
    );
    assert_eq!(
        found(json!([])),
        json!("with.policies: policy is not in the workspace")
    );
    assert_eq!(
        found(json!(["c/*.rego"])),
        json!("c: No such file or directory (os error 2)")
    );
    assert_eq!(
        found(json!(["a/x*.rego"])),
        json!("with.policies: a/x*.rego leads to no .rego file")
    );
}

#[test]
fn what_is_not_rego_is_refused_by_place() {
    refused(
        "package a\n\ndeny contains {",
        "with.rego:3:16: expecting expression",
    );
    refused(
        "package a\nallow := true\n",
        "the policies have no rule named deny, violation or warn",
    );
    let old = "package a\ndeny[msg] {\n  msg := \"x\"\n}\n";
    assert!(
        inline(old).failure().reason().starts_with("with.rego:2:"),
        "{}",
        inline(old).failure()
    );
    let with = json!({"rego": old, "rego_v0": true});
    assert!(
        Harness::new()
            .with(with)
            .run(reconcile)
            .failure()
            .reason()
            .contains("a.deny (with.rego:2): x")
    );
}

#[test]
fn what_a_policy_prints_is_logged() {
    let report = inline(
        "package a\nimport rego.v1\nwarn contains \"x\" if print(\"seen\", input.resource.name)\n",
    );
    assert!(
        report.logs[0].message.contains("seen example"),
        "{:?}",
        report.logs
    );
}

#[test]
fn the_output_stays_below_its_limit() {
    let rego = "package a\nimport rego.v1\nwarn contains msg if {\n\tsome i in numbers.range(1, 4000)\n\
                \tmsg := sprintf(\"finding number %d\", [i])\n}\n";
    let report = Harness::new()
        .with(json!({"rego": rego}))
        .out()
        .run(reconcile);
    let output = report.output();
    let kept = output["findings"].as_array().unwrap().len();
    assert!(kept > 500);
    assert_eq!(output["findings_omitted"], 4000 - kept);
    let file: Value = serde_json::from_str(&report.out_file("policy.json")).unwrap();
    assert_eq!(file["findings"].as_array().unwrap().len(), 4000);
}
