use super::*;

/// SHA-512 of nothing, as npm writes it.
const INTEGRITY: &str = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";

fn version_3() -> String {
    json!({
        "name": "site", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {
                "name": "site", "version": "1.0.0", "workspaces": ["packages/*"],
                "dependencies": {"@scope/a": "^1", "old": "npm:renamed@1", "mine": "*"},
                "devDependencies": {"b": "^2"}
            },
            "packages/mine": {"name": "mine", "version": "0.0.1", "dependencies": {"b": "^1"}},
            "node_modules/mine": {"resolved": "packages/mine", "link": true},
            "node_modules/@scope/a": {
                "version": "1.2.3", "resolved": "https://registry.example.org/@scope/a/-/a-1.2.3.tgz",
                "integrity": INTEGRITY, "license": "MIT",
                "dependencies": {"b": "^1"}, "optionalDependencies": {"absent": "*"},
                "peerDependencies": {"maybe": "*"}, "peerDependenciesMeta": {"maybe": {"optional": true}}
            },
            "node_modules/@scope/a/node_modules/b": {"version": "1.0.0", "license": "(MIT OR Apache-2.0)"},
            "packages/mine/node_modules/b": {"version": "1.0.0"},
            "node_modules/b": {"version": "2.0.0", "dev": true, "license": {"type": "SEE LICENSE IN x"}},
            "node_modules/old": {
                "name": "renamed", "version": "1.0.0", "optional": true,
                "resolved": "git+ssh://git@example.org/renamed.git#0a1b"
            }
        }
    })
    .to_string()
}

const RENAMED: &str =
    "pkg:npm/renamed@1.0.0?vcs_url=git%2Bssh:%2F%2Fgit%40example.org%2Frenamed.git%400a1b";

#[test]
fn packages_come_with_purl_integrity_licence_and_scope() {
    let bill = bill(&[("package-lock.json", &version_3())]);
    let a = component(&bill, "pkg:npm/%40scope/a@1.2.3");
    assert_eq!((&a["group"], &a["name"]), (&json!("@scope"), &json!("a")));
    assert_eq!(a["hashes"][0]["alg"], "SHA-512");
    assert!(
        a["hashes"][0]["content"]
            .as_str()
            .unwrap()
            .starts_with("cf83e1357eefb8bd")
    );
    assert_eq!(
        a["externalReferences"][0]["url"],
        "https://registry.example.org/@scope/a/-/a-1.2.3.tgz"
    );
    assert_eq!(a["licenses"], json!([{"license": {"id": "MIT"}}]));
    assert_eq!(component(&bill, "pkg:npm/b@2.0.0")["scope"], "excluded");
    assert_eq!(
        component(&bill, "pkg:npm/b@2.0.0")["licenses"][0]["license"]["name"],
        "SEE LICENSE IN x"
    );
    assert_eq!(component(&bill, RENAMED)["scope"], "optional");
}

#[test]
fn dependencies_are_found_as_node_finds_them() {
    let bill = bill(&[("package-lock.json", &version_3())]);
    let root = "package-lock.json#site@1.0.0";
    let mine = "package-lock.json#mine@0.0.1";
    assert_eq!(
        needs(&bill, root),
        json!([mine, "pkg:npm/%40scope/a@1.2.3", "pkg:npm/b@2.0.0", RENAMED])
    );
    assert_eq!(
        needs(&bill, "pkg:npm/%40scope/a@1.2.3"),
        json!(["pkg:npm/b@1.0.0"])
    );
    assert_eq!(needs(&bill, mine), json!(["pkg:npm/b@1.0.0"]));
    assert_eq!(needs(&bill, "root"), json!([mine, root]));
}

#[test]
fn development_can_be_left_out() {
    let call = Harness::new().file("package-lock.json", version_3()).out();
    let report = call.with(json!({"dev": false})).run(reconcile);
    assert_eq!(report.output()["components"], 5);
    let bill: Value = serde_json::from_str(&report.out_file("sbom.cdx.json")).unwrap();
    assert_eq!(
        needs(&bill, "package-lock.json#site@1.0.0"),
        json!([
            "package-lock.json#mine@0.0.1",
            "pkg:npm/%40scope/a@1.2.3",
            RENAMED
        ])
    );
}

#[test]
fn a_missing_dependency_is_told_and_survived() {
    let lock = json!({"lockfileVersion": 3, "packages": {"": {"dependencies": {"gone": "1"}}}})
        .to_string();
    let report = run(&[("package-lock.json", &lock)]);
    report.outcome();
    let warning = report
        .logs
        .iter()
        .find(|line| line.level == log::Level::Warn)
        .unwrap();
    assert_eq!(warning.fields["dependency"], "gone");
}

#[test]
fn version_1_is_a_tree() {
    let lock = json!({
        "name": "site", "version": "1.0.0", "lockfileVersion": 1,
        "dependencies": {
            "a": {
                "version": "1.0.0", "integrity": INTEGRITY, "requires": {"b": "^1"},
                "dependencies": {"b": {"version": "1.0.0"}}
            },
            "b": {"version": "2.0.0", "dev": true},
            "c": {"version": "3.0.0", "requires": {"b": "^2"}}
        }
    });
    let bill = bill(&[("package-lock.json", &lock.to_string())]);
    assert_eq!(needs(&bill, "pkg:npm/a@1.0.0"), json!(["pkg:npm/b@1.0.0"]));
    assert_eq!(needs(&bill, "pkg:npm/c@3.0.0"), json!(["pkg:npm/b@2.0.0"]));
    assert_eq!(
        needs(&bill, "package-lock.json#site@1.0.0"),
        json!(["pkg:npm/a@1.0.0", "pkg:npm/c@3.0.0"])
    );
    assert_eq!(component(&bill, "pkg:npm/b@2.0.0")["scope"], "excluded");
}

#[test]
fn a_shrinkwrap_beside_it_is_the_lockfile() {
    let lock = |name: &str| {
        let packages = json!({"": {}, (format!("node_modules/{name}")): {"version": "1.0.0"}});
        json!({"lockfileVersion": 3, "packages": packages}).to_string()
    };
    let bill = bill(&[
        ("a/package-lock.json", &lock("no")),
        ("a/npm-shrinkwrap.json", &lock("yes")),
    ]);
    let refs: Vec<&Value> = bill["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["bom-ref"])
        .collect();
    assert_eq!(refs, ["a/npm-shrinkwrap.json#root", "pkg:npm/yes@1.0.0"]);
}

#[test]
fn malformed_ones_are_refused_by_place() {
    refused(
        &[("package-lock.json", "{\n  \"packages\": {\n    \"\": ,\n")],
        "package-lock.json:3:9: expected value",
    );
    refused(
        &[(
            "package-lock.json",
            "{\"packages\": {\"node_modules/a\": {\n\"version\": 3}}}",
        )],
        "package-lock.json:2:12: packages.node_modules/a.version: invalid type: integer `3`, expected a string",
    );
    refused(
        &[("package-lock.json", "{\"lockfileVersion\": 9}")],
        "package-lock.json: lockfileVersion 9 without `packages`",
    );
}
