//! Components of the past and of today: one that was built for wit 0.1.0 loads for ever, and no guest is there
//! for nothing.

use crate::belt::{Bench, root};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;

/// Built once for wit 0.1.0 and never again: see its README.
const FIXTURE: &str = "tests/fixtures/driver-0.1.0.wasm";

fn bench() -> Bench {
    let bench = Bench::new(&[]);
    let path = root().join(FIXTURE);
    bench.write(
        "belt.yaml",
        format!(
            "drivers: {{old: {{path: {}, config: {{a: 1}}}}}}\n",
            path.display()
        ),
    );
    bench
}

#[test]
fn a_component_of_0_1_0_runs() {
    let bench = bench();
    let steps = [
        "{id: one, driver: old, with: {n: 1}}",
        "{id: two, driver: old}",
    ];
    bench.pipeline("context: {severity: high}", &steps);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let run = said.json();
    let left = &run["steps"][1]["output"];
    assert_eq!(
        (&left["event"], &left["kind"]),
        (&json!("create"), &json!("app"))
    );
    assert_eq!(left["resource"]["spec"], json!({"size": 3}));
    assert_eq!(left["context"], json!({"severity": "high"}));
    assert_eq!(left["outputs"]["one"]["with"], json!({"n": 1}));
    assert_eq!(left["steps"][0]["status"], "succeeded");
    assert_eq!(left["config"], json!({"a": 1}));
    assert_eq!(
        (&left["attempt"], &left["has_deadline"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        (&left["dry_run"], &left["cancel_requested"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(left["trace_is_kept"], false);
}

/// The fixture uses the whole of the world that it was built for, and the world of today still has all of it.
#[test]
fn it_imports_and_exports_what_wit_has() {
    let bench = bench();
    let path = root().join(FIXTURE);
    let said = bench.belt(&["drivers", "inspect", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let inspected = said.json();
    assert_eq!(inspected["wit"], "0.1.0");
    let imports = inspected["imports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap());
    let ours: BTreeSet<_> = imports
        .filter(|name| name.starts_with("beltline:"))
        .collect();
    let expected = [
        "beltline:driver/cancel@0.1.0",
        "beltline:driver/config@0.1.0",
        "beltline:driver/log@0.1.0",
        "beltline:driver/run-context@0.1.0",
        "beltline:driver/types@0.1.0",
    ];
    assert_eq!(ours, BTreeSet::from(expected));
    let world = fs::read_to_string(root().join("wit/world.wit")).unwrap();
    for name in ["cancel", "config", "log", "run-context"] {
        assert!(
            world.contains(&format!("    import {name};\n")),
            "the world lacks {name}"
        );
    }
    assert!(world.contains("    export reconciler;\n"));
}

#[test]
fn every_guest_is_run_by_a_test_or_the_bench() {
    let sources = rust_files("tests/it")
        .chain(rust_files("tests/bench"))
        .map(|(_, text)| text)
        .collect::<String>();
    let manifest = fs::read_to_string(root().join("tests/guests/Cargo.toml")).unwrap();
    for (name, _) in rust_files("tests/guests").filter(|(name, _)| name != "lib") {
        let is_built = manifest.contains(&format!("name = \"{name}\"\npath = \"{name}.rs\""));
        assert!(
            is_built,
            "tests/guests/{name}.rs is no example in tests/guests/Cargo.toml"
        );
        let is_run = sources.contains(&format!("\"{name}\""));
        assert!(
            is_run,
            "tests/guests/{name}.rs is run by no test and no bench; use it or remove it"
        );
    }
}

/// The Rust files of a folder: names without their ending, and texts.
fn rust_files(folder: &str) -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_rust = path.extension().is_some_and(|ending| ending == "rs");
        is_rust.then(|| (name, fs::read_to_string(&path).unwrap()))
    })
}
