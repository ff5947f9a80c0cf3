//! Driver files that are none, or not for this host: refused by name, before anything is written.

use crate::belt::{Bench, Said};
use crate::driver_files_made::{bytes_of, component, driver};
use expect_test::{Expect, expect};
use std::fs::File;
use std::path::PathBuf;

/// A bench whose step `bad` has the driver `bad`, in the file `bad.wasm`.
pub fn bench(bytes: &[u8]) -> Bench {
    let bench = Bench::new(&[]);
    bench.write("bad.wasm", bytes);
    bench.write("belt.yaml", "drivers: {bad: {path: bad.wasm}}\n");
    bench.pipeline("", &["{id: bad, driver: bad}"]);
    bench
}

/// The state of a bench with a run that succeeded, made with the same configuration as the run to be refused.
fn earlier_run(bench: &Bench) -> Vec<(PathBuf, Vec<u8>)> {
    let good = crate::belt::guest("echo");
    let config = format!("drivers: {{bad: {{path: {}}}}}\n", good.display());
    bench.write("good.yaml", config);
    let said = bench.run(&["--config", "good.yaml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    bench.state()
}

/// What was said on stderr, but for notes and digests, with the bench's folder out of it.
pub fn said(bench: &Bench, said: &Said) -> String {
    let folder = format!("{}/", bench.path("").display()).replace("//", "/");
    let is_aside = |line: &str| line.starts_with("note: ") || line.starts_with("driver bad ");
    let lines = said.stderr.lines().filter(|line| !is_aside(line));
    lines.map(|line| line.replace(&folder, "") + "\n").collect()
}

/// Checks that `belt run` refuses: words, code, no state folder where there was none, an untouched one where
/// there was.
#[track_caller]
fn run_refuses(bench: &Bench, more: &[&str], expected: &Expect) {
    let first = bench.run(more);
    expected.assert_eq(&said(bench, &first));
    assert_eq!((first.code, first.stdout.as_str()), (2, ""));
    assert!(
        !bench.path("state").exists(),
        "a refused run leaves no state"
    );
    let before = earlier_run(bench);
    let second = bench.run(more);
    assert_eq!(
        (second.code, said(bench, &second)),
        (2, said(bench, &first))
    );
    assert!(bench.state() == before, "a refused run changes no state");
}

/// The same, and that `belt drivers inspect` refuses with the same words.
#[track_caller]
pub fn both_refuse(bytes: &[u8], expected: &Expect) {
    let bench = bench(bytes);
    run_refuses(&bench, &[], expected);
    let inspected = bench.belt(&["drivers", "inspect", "bad.wasm"]);
    let as_run = expected.data().trim().replace("driver `bad`: ", "");
    assert_eq!(said(&bench, &inspected).trim(), as_run);
    assert_eq!((inspected.code, inspected.stdout.as_str()), (2, ""));
}

#[test]
fn a_file_that_is_missing() {
    let bench = bench(b"");
    std::fs::remove_file(bench.path("bad.wasm")).unwrap();
    run_refuses(
        &bench,
        &[],
        &expect![[r#"
            error: driver `bad`: its `path` in belt.yaml, `bad.wasm`, cannot be read: No such file or directory (os error 2)
        "#]],
    );
    let inspected = bench.belt(&["drivers", "inspect", "bad.wasm"]);
    expect![[r#"
        error: cannot read `bad.wasm`: No such file or directory (os error 2)
    "#]]
    .assert_eq(&inspected.stderr);
    assert_eq!(inspected.code, 2);
}

#[test]
fn a_folder() {
    let bench = bench(b"");
    std::fs::remove_file(bench.path("bad.wasm")).unwrap();
    std::fs::create_dir(bench.path("bad.wasm")).unwrap();
    run_refuses(
        &bench,
        &[],
        &expect![[r#"
            error: driver `bad`: its `path` in belt.yaml, `bad.wasm`, cannot be read: it is no regular file
        "#]],
    );
}

#[test]
fn no_wasm_at_all() {
    let text = expect![[r#"
        error: driver `bad`: `bad.wasm` is no WebAssembly file; name the `.wasm` that the build left
    "#]];
    both_refuse(b"", &text);
    both_refuse(b"\x7fELF and so on", &text);
    let mut seed = 7_u32;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    both_refuse(&noise.take(100_000).collect::<Vec<_>>(), &text);
}

#[test]
fn truncated_anywhere() {
    let whole = bytes_of("files");
    let tenths = (1..10).map(|tenth| whole.len() * tenth / 10);
    let bench = bench(b"");
    for length in tenths.chain([4, whole.len() - 1]) {
        bench.write("bad.wasm", &whole[..length]);
        for args in [&["drivers", "inspect", "bad.wasm"][..], &RUN] {
            let refused = bench.belt(args);
            let words = said(&bench, &refused);
            assert_eq!(
                (refused.code, refused.stdout.as_str()),
                (2, ""),
                "{length}: {words}"
            );
            let told = words.starts_with("error: ")
                && words.contains("`bad.wasm` is a damaged WebAssembly file: ")
                && words.ends_with("; build it or fetch it again\n");
            assert!(told && words.lines().count() == 1, "{length}: {words}");
        }
    }
    assert!(!bench.path("state").exists());
}

const RUN: [&str; 7] = [
    "run",
    "-f",
    "pipeline.yaml",
    "-r",
    "resource.yaml",
    "--state",
    "state",
];

#[test]
fn larger_than_the_limit() {
    let bench = bench(b"");
    // A terabyte, all hole: whoever reads on does not come back.
    File::create(bench.path("bad.wasm"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let words = expect![[r#"
        error: driver `bad`: `bad.wasm` is larger than 64 MiB, the most that a driver file may have; build it without debug information
    "#]];
    run_refuses(&bench, &[], &words);
    let inspected = bench.belt(&["drivers", "inspect", "bad.wasm"]);
    assert!(
        inspected
            .stderr
            .contains("`bad.wasm` is larger than 64 MiB"),
        "{}",
        inspected.stderr
    );
    assert_eq!(inspected.code, 2);
}

#[test]
fn a_core_module() {
    both_refuse(
        &component("(module)"),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` is a core module and no component; build it for `wasm32-wasip2`, or with `drivers/build`
        "#]],
    );
}

#[test]
fn without_reconcile() {
    both_refuse(
        &component("(component)"),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` exports no `reconcile`; a driver exports `beltline:driver/reconciler@0.1.0`
        "#]],
    );
}

/// A component that exports an empty instance under this name and imports one under that.
fn named(export: &str, import: &str) -> Vec<u8> {
    component(&format!(
        r#"(component (import "{import}" (instance)) (instance $i) (export "{export}" (instance $i)))"#
    ))
}

#[test]
fn of_another_wit_version() {
    both_refuse(
        &named(
            "beltline:driver/reconciler@0.2.0",
            "beltline:driver/log@0.2.0",
        ),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` was built for beltline:driver 0.2.0; this host speaks 0.1.0: rebuild one or update the other
        "#]],
    );
    both_refuse(
        &named(
            "beltline:driver/reconciler@0.1.0",
            "beltline:driver/log@0.2.0",
        ),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` was built for beltline:driver 0.2.0; this host speaks 0.1.0: rebuild one or update the other
        "#]],
    );
}

#[test]
fn importing_what_the_host_does_not_offer() {
    both_refuse(
        &named("beltline:driver/reconciler@0.1.0", "evil:thing/x@1.0.0"),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` imports `evil:thing/x@1.0.0`, which this host does not offer; build it for beltline:driver 0.1.0, wasi:cli 0.2 and wasi:http 0.2 alone
        "#]],
    );
    both_refuse(
        &named(
            "beltline:driver/reconciler@0.1.0",
            "wasi:cli/environment@0.3.0",
        ),
        &expect![[r#"
            error: driver `bad`: `bad.wasm` imports `wasi:cli/environment@0.3.0`, which this host does not offer; build it for beltline:driver 0.1.0, wasi:cli 0.2 and wasi:http 0.2 alone
        "#]],
    );
}

/// What only linking can tell, and only compiling: `belt drivers inspect` does neither. The causes are wasmtime's.
#[test]
fn that_does_not_fit_or_does_not_compile() {
    run_refuses(
        &bench(&named(
            "beltline:driver/reconciler@0.1.0",
            "wasi:cli/exit@0.2.0",
        )),
        &[],
        &expect![[r#"
            compiling bad
            error: driver `bad` cannot be loaded: it does not fit this host; build it for the `wit/` of this host: instance export `beltline:driver/reconciler@0.1.0` does not have export `reconcile`
        "#]],
    );
    run_refuses(
        &bench(&driver(
            r#"(memory (export "memory") 1)
            (func (export "reconcile") (param i32) (result i32))"#,
        )),
        &[],
        &expect![[r#"
            compiling bad
            error: driver `bad` cannot be loaded: it does not compile; build it or fetch it again: failed to compile: wasm[0]::function[0]: WebAssembly translation error: Invalid input WebAssembly code at offset 524: type mismatch: expected i32 but nothing on stack
        "#]],
    );
}
