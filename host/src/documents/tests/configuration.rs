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
    check_file(
        "belt.yaml",
        FULL,
        expect![[
            r#"{"drivers":{"notary":{"placement":"native","wire":"conveyor","token":"optional","kinds":["app"],"config":{}},"policy":{"placement":"wasm","path":"policy.wasm","digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","grants":{"workspace":"none","out":"none"},"limits":{"memory":"256MiB","cpu":"1m"},"kinds":[],"config":{"strict":true}},"sbom":{"placement":"wasm","path":"../../drivers/out/sbom.wasm","grants":{"workspace":"ro","out":"rw"},"limits":{},"kinds":[],"config":{}}}}"#
        ]],
    );
    check("drivers: {}", expect![[r#"{"drivers":{}}"#]]);
    check(
        "drivers: {a: {path: a.wasm, limits: {memory: 1GiB, tables: 100, cpu: 1m, output: 1KiB, log: 0B, log_lines: 5}}, b: {placement: native, token: required}}",
        expect![[
            r#"{"drivers":{"a":{"placement":"wasm","path":"a.wasm","grants":{"workspace":"none","out":"none"},"limits":{"memory":"1GiB","tables":100,"cpu":"1m","output":"1KiB","log":"0B","log_lines":5},"kinds":[],"config":{}},"b":{"placement":"native","wire":"default","token":"required","kinds":[],"config":{}}}}"#
        ]],
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
    check("drivers:", expect!["f.yaml:1:8: `drivers` has no value"]);
    check(
        "drivers: [a]",
        expect!["f.yaml:1:10: a mapping expected, found a list"],
    );
    check(
        "drivers: {a: {}}",
        expect!["f.yaml:1:14: a driver needs `path`"],
    );
    check(
        "drivers: {a: a.wasm}",
        expect!["f.yaml:1:14: a driver is a mapping of keys to values, found text"],
    );
    check(
        "drivers: {a.b: {path: x}, events: {path: x}}",
        expect![[r#"
        f.yaml:1:11: driver name `a.b` has a '.'; use letters, digits, `-` and `_`
        f.yaml:1:27: driver name `events` is reserved for subjects of the broker; choose another"#]],
    );
    check(
        "drivers: {a: {path: '', digest: sha256:12}}",
        expect![[r#"
            f.yaml:1:21: no path of a file, or longer than the limit of 4096 bytes; give the driver's `.wasm`
            f.yaml:1:33: a digest is `sha256:` and 64 digits from 0-9a-f, as `belt drivers inspect` prints it"#]],
    );
    check(
        "drivers: {a: {path: x, placement: docker}}",
        expect!["f.yaml:1:35: `docker` is not one of `wasm`, `native`"],
    );
    check(
        "drivers: {a: {path: x, wire: conveyor, token: required, image: y}}",
        expect![[r#"
            f.yaml:1:24: unknown key `wire`; it belongs to drivers with `placement: native`
            f.yaml:1:40: unknown key `token`; it belongs to drivers with `placement: native`
            f.yaml:1:57: unknown key `image`; here a driver's file is `path`"#]],
    );
    check(
        "drivers: {a: {placement: native, path: x, digest: y, grants: {}, limits: {}}}",
        expect![[r#"
            f.yaml:1:34: unknown key `path`; it belongs to wasm drivers; a native one is a program that somebody else starts
            f.yaml:1:43: unknown key `digest`; it belongs to wasm drivers
            f.yaml:1:54: unknown key `grants`; it belongs to wasm drivers; a native one has no sandbox
            f.yaml:1:66: unknown key `limits`; it belongs to wasm drivers; a native one has no sandbox"#]],
    );
    check(
        "drivers: {a: {placement: native, wire: nats, token: yes}}",
        expect![[r#"
            f.yaml:1:40: `nats` is not one of `default`, `conveyor`
            f.yaml:1:53: `yes` is not one of `optional`, `required`"#]],
    );
    check(
        "drivers: {a: {path: x, kinds: [app, app, 'b c']}}",
        expect![[r#"
            f.yaml:1:37: kind `app` is given twice; keep one
            f.yaml:1:42: kind `b c` has a ' '; use letters, digits, `-` and `_`"#]],
    );
    check(
        "drivers: {a: {path: x}}\ngrants: {}",
        expect!["f.yaml:2:1: unknown key `grants`; grants belong to a driver"],
    );
}

#[test]
fn mistakes_of_grants_and_limits() {
    let driver = |text: &str| format!("drivers:\n  a:\n    path: x\n    {text}\n");
    check(
        &driver("grants: {workspace: write, out: ro}"),
        expect![[r#"
        f.yaml:4:25: `write` is not one of `none`, `ro`, `rw`
        f.yaml:4:37: `ro` is not one of `none`, `rw`"#]],
    );
    check(
        &driver("grants: {workspce: rw, network: all}"),
        expect![[r#"
        f.yaml:4:14: unknown key `workspce`; did you mean `workspace`?
        f.yaml:4:28: unknown key `network`; `grants` has `workspace` and `out`"#]],
    );
    check(
        &driver("grants: rw"),
        expect!["f.yaml:4:13: `grants` is a mapping of keys to values, found text"],
    );
    check(
        &driver("limits: {memory: 64, cpu: 60, output: 1MB}"),
        expect![[r#"
            f.yaml:4:22: a size has a unit: `64MiB`, `64KiB` or `64B`
            f.yaml:4:31: a duration has a unit: `60s`, `60m` or `60ms`
            f.yaml:4:43: `1MB` is no size; write a whole number with B, KiB, MiB or GiB, such as `64MiB`"#]],
    );
    check(
        &driver("limits: {memory: 5GiB, output: 257KiB, log: 1GiB, cpu: 0s}"),
        expect![[r#"
            f.yaml:4:22: a size from 64KiB to 4GiB expected
            f.yaml:4:36: a size from 0B to 256KiB expected
            f.yaml:4:49: a size from 0B to 256MiB expected
            f.yaml:4:60: a timeout of nought lets nothing run; give it at least `1ms`"#]],
    );
    check(
        &driver("limits: {memory: 1KiB, log_lines: -1, memroy: 1}"),
        expect![[r#"
            f.yaml:4:22: a size from 64KiB to 4GiB expected
            f.yaml:4:39: a whole number from 0 to 1000000 expected, found the number -1
            f.yaml:4:43: unknown key `memroy`; `limits` has `memory`, `tables`, `cpu`, `output`, `written`, `files`, `log` and `log_lines`"#]],
    );
    check(
        &driver("limits: {timeout: 1s, log: [1]}"),
        expect![[r#"
            f.yaml:4:14: unknown key `timeout`; timeouts belong to a step; CPU time is `cpu`
            f.yaml:4:32: a size such as `64MiB` expected, found a list"#]],
    );
}

#[test]
fn sizes_are_limited() {
    check(
        &format!("drivers: {{a: {{path: {}}}}}", "x".repeat(4097)),
        expect![
            "f.yaml:1:21: no path of a file, or longer than the limit of 4096 bytes; give the driver's `.wasm`"
        ],
    );
    check(
        &format!(
            "drivers: {{a: {{path: x, config: {{k: {}}}}}}}",
            "x".repeat(64 * 1024)
        ),
        expect!["f.yaml:1:32: `config` takes 65544 bytes as JSON; the limit is 64KiB"],
    );
    let many: String = (0..1001)
        .map(|at| format!("  d{at}: {{path: x}}\n"))
        .collect();
    check(
        &format!("drivers:\n{many}"),
        expect!["f.yaml:2:3: 1001 drivers; the limit is 1000"],
    );
    let kinds: Vec<_> = (0..101).map(|at| format!("k{at}")).collect();
    check(
        &format!("drivers: {{a: {{path: x, kinds: [{}]}}}}", kinds.join(", ")),
        expect!["f.yaml:1:31: 101 kinds; the limit is 100"],
    );
}
