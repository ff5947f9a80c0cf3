//! Driver files whose manifest cannot be read, and those that are not what belt.yaml pins.

use crate::belt::Bench;
use crate::driver_files::{bench, both_refuse, said};
use crate::driver_files_made::{bytes_of, with_manifest};
use expect_test::expect;

#[test]
fn with_a_manifest_that_cannot_be_read() {
    let manifest = |text: &str| with_manifest(bytes_of("echo"), text);
    both_refuse(
        &manifest(r#"{"manifest":1,"#),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` has a section `beltline:manifest` that cannot be read: the manifest is malformed: EOF while parsing a value at line 1 column 14; rebuild the driver or update the host
        "#]],
    );
    both_refuse(
        &manifest(r#"{"manifest":1,"name":"a","version":"1","wants":{"workspace":"all"}}"#),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` has a section `beltline:manifest` that cannot be read: the manifest is malformed: unknown variant `all`, expected one of `none`, `ro`, `rw` at line 1 column 65; rebuild the driver or update the host
        "#]],
    );
    both_refuse(
        &manifest(r#"{"manifest":2,"name":["of","another","shape"]}"#),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` has a section `beltline:manifest` that cannot be read: the manifest is of version 2; this host reads version 1; rebuild the driver or update the host
        "#]],
    );
    let large = format!(
        r#"{{"manifest":1,"name":"a","version":"{}"}}"#,
        "1".repeat(64 << 10)
    );
    both_refuse(
        &manifest(&large),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` has a section `beltline:manifest` that cannot be read: the manifest has 65574 bytes; at most 65536 are allowed; rebuild the driver or update the host
        "#]],
    );
}

#[test]
fn with_two_manifests() {
    let text = r#"{"manifest":1,"name":"a","version":"1"}"#;
    let words = expect![[r#"
        error: driver `bad`: `bad.wasm` has 2 sections `beltline:manifest`; build it with one
    "#]];
    // One that Rust wrote into the core module, and one that a tool put on.
    both_refuse(&with_manifest(bytes_of("files"), text), &words);
    both_refuse(
        &with_manifest(with_manifest(bytes_of("echo"), text), text),
        &words,
    );
}

#[test]
fn that_wants_what_nobody_knows() {
    let text = r#"{"manifest":1,"name":"a","version":"1","wants":{"teleport":"there"}}"#;
    both_refuse(
        &with_manifest(bytes_of("echo"), text),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` wants `teleport`, which this host does not know; update the host
        "#]],
    );
}

#[test]
fn of_another_digest_than_pinned() {
    let bench = bench(&bytes_of("echo"));
    let digest = format!("sha256:{}", "ab".repeat(32));
    bench.write(
        "belt.yaml",
        format!("drivers: {{bad: {{path: bad.wasm, digest: \"{digest}\"}}}}\n"),
    );
    let refused = bench.run(&[]);
    let found = digest_of(&bench);
    let words = said(&bench, &refused)
        .replace(&found, "FOUND")
        .replace(&digest, "PINNED");
    expect![[r#"
        error: driver `bad`: `bad.wasm` is FOUND, but belt.yaml pins PINNED; check where the file comes from, or pin what it is now
    "#]]
    .assert_eq(&words);
    assert_eq!(refused.code, 2);
    assert!(!bench.path("state").exists());
}

#[test]
fn locked_takes_only_what_is_pinned() {
    let bench = bench(&bytes_of("echo"));
    let refused = bench.run(&["--locked"]);
    let found = digest_of(&bench);
    expect![[r#"
        error: driver `bad` has no `digest` in belt.yaml and `--locked` refuses that; add `digest: "FOUND"`
    "#]]
    .assert_eq(&said(&bench, &refused).replace(&found, "FOUND"));
    assert_eq!(refused.code, 2);
    assert!(!bench.path("state").exists());
    bench.write(
        "belt.yaml",
        format!("drivers: {{bad: {{path: bad.wasm, digest: \"{found}\"}}}}\n"),
    );
    assert_eq!(bench.run(&["--locked"]).code, 0);
}

fn digest_of(bench: &Bench) -> String {
    let inspected = bench.belt(&["drivers", "inspect", "bad.wasm", "-o", "json"]);
    inspected.json()["digest"].as_str().unwrap().to_owned()
}
