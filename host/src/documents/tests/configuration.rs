use std::path::{Path, PathBuf};

use expect_test::expect;

use super::super::{Config, read_bytes};
use super::{check, check_file};

const FULL: &str = r#"
drivers:
  sbom:   {path: ../../drivers/out/sbom.wasm, grants: {workspace: ro, out: rw}}
  policy: {path: policy.wasm, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", limits: {memory: 256MiB, cpu: 60s}, config: {strict: true}}
  notary: {placement: native, kinds: [app], wire: conveyor}
"#;

#[test]
fn what_the_specification_shows_is_read() {
    check_file("belt.yaml", FULL, expect![[]]);
    check("drivers: {}", expect![[]]);
    check(
        "drivers: {a: {path: a.wasm, limits: {memory: 1GiB, tables: 100, cpu: 1m, output: 1KiB, log: 0B, log_lines: 5, written: 1MiB, files: 10}}, b: {placement: native, token: required}}",
        expect![[]],
    );
}

#[test]
fn canonical_json_reads_back_as_the_same() {
    let config = read_bytes("belt.yaml", FULL.as_bytes())
        .unwrap()
        .configs
        .remove(0)
        .value;
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    assert_eq!(
        read_bytes("b.json", json.as_bytes())
            .unwrap()
            .configs
            .remove(0)
            .value,
        config
    );
}

#[test]
fn paths_are_relative_to_the_file() {
    let resolved = |file: &str, path: &str| {
        read_bytes(file, b"drivers: {}").unwrap().configs[0].resolve(Path::new(path))
    };
    assert_eq!(
        resolved("examples/x/belt.yaml", "../a.wasm"),
        PathBuf::from("examples/x/../a.wasm")
    );
    assert_eq!(resolved("belt.yaml", "a.wasm"), PathBuf::from("a.wasm"));
    assert_eq!(resolved("stdin", "a.wasm"), PathBuf::from("a.wasm"));
    assert_eq!(
        resolved("x/belt.yaml", "/opt/a.wasm"),
        PathBuf::from("/opt/a.wasm")
    );
}

#[test]
fn mistakes() {
    check("drivers:", expect![[]]);
    check("drivers: [a]", expect![[]]);
    check("drivers: {a: {}}", expect![[]]);
    check("drivers: {a: a.wasm}", expect![[]]);
    check("drivers: {a.b: {path: x}, events: {path: x}}", expect![[]]);
    check("drivers: {a: {path: '', digest: sha256:12}}", expect![[]]);
    check("drivers: {a: {path: x, placement: docker}}", expect![[]]);
    check(
        "drivers: {a: {path: x, wire: conveyor, token: required, image: y}}",
        expect![[]],
    );
    check(
        "drivers: {a: {placement: native, path: x, digest: y, grants: {}, limits: {}}}",
        expect![[]],
    );
    check(
        "drivers: {a: {placement: native, wire: nats, token: yes}}",
        expect![[]],
    );
    check(
        "drivers: {a: {path: x, kinds: [app, app, 'b c']}}",
        expect![[]],
    );
    check("drivers: {a: {path: x}}\ngrants: {}", expect![[]]);
}

#[test]
fn mistakes_of_grants_and_limits() {
    let driver = |text: &str| format!("drivers:\n  a:\n    path: x\n    {text}\n");
    check(&driver("grants: {workspace: write, out: ro}"), expect![[]]);
    check(&driver("grants: {workspce: rw, network: all}"), expect![[]]);
    check(&driver("grants: rw"), expect![[]]);
    check(
        &driver("limits: {memory: 64, cpu: 60, output: 1MB}"),
        expect![[]],
    );
    check(
        &driver("limits: {memory: 5GiB, output: 257KiB, log: 1GiB, cpu: 0s}"),
        expect![[]],
    );
    check(
        &driver("limits: {memory: 1KiB, log_lines: -1, files: many, memroy: 1}"),
        expect![[]],
    );
    check(&driver("limits: {timeout: 1s, written: [1]}"), expect![[]]);
}
