//! What `belt drivers inspect` says of a good file.

use crate::belt::Bench;
use crate::driver_files_made::{bytes_of, driver, with_manifest};
use expect_test::expect;
use serde_json::{Value, json};

/// A small driver with a manifest that a tool has put on.
fn bench() -> Bench {
    let bench = Bench::new(&[]);
    let module = r#"(memory (export "memory") 1)
        (func (export "reconcile") (param i32) (result i32) unreachable)"#;
    let manifest = r#"{"manifest":1,"name":"tiny","version":"1.2.3","kinds":["app","site"],
        "wants":{"workspace":"ro","out":"rw"}}"#;
    bench.write("tiny.wasm", with_manifest(driver(module), manifest));
    bench
}

fn inspect(bench: &Bench, more: &[&str]) -> String {
    let args = [&["drivers", "inspect", "tiny.wasm"], more].concat();
    let said = bench.belt(&args);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    said.stdout
}

#[test]
fn for_people_and_for_programs() {
    let bench = bench();
    let json: Value = serde_json::from_str(&inspect(&bench, &["-o", "json"])).unwrap();
    let (digest, bytes) = (
        json["digest"].as_str().unwrap(),
        json["bytes"].as_u64().unwrap(),
    );
    let file = std::fs::read(bench.path("tiny.wasm")).unwrap();
    assert_eq!(bytes, file.len() as u64);
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    let expected = json!({
        "file": "tiny.wasm",
        "name": "tiny",
        "version": "1.2.3",
        "digest": digest,
        "bytes": bytes,
        "wit": "0.1.0",
        "kinds": ["app", "site"],
        "wants": {"workspace": "ro", "out": "rw"},
        "imports": ["beltline:driver/types@0.1.0"],
    });
    assert_eq!(json, expected);
    let text = inspect(&bench, &[]).replace(digest, "DIGEST");
    expect![[r#"
        name     tiny
        version  1.2.3
        digest   DIGEST
        size     953 B
        wit      beltline:driver 0.1.0
        kinds    app, site
        wants    workspace: ro, out: rw
        imports  beltline:driver/types@0.1.0
    "#]]
    .assert_eq(&text);
    let yaml = inspect(&bench, &["-o", "yaml"]).replace(digest, "DIGEST");
    expect![[r#"
        file: tiny.wasm
        name: tiny
        version: "1.2.3"
        digest: DIGEST
        bytes: 953
        wit: "0.1.0"
        kinds:
        - app
        - site
        wants:
          workspace: ro
          out: rw
        imports:
        - beltline:driver/types@0.1.0
    "#]]
    .assert_eq(&yaml);
}

#[test]
fn without_a_manifest_it_wants_nothing() {
    let bench = Bench::new(&[]);
    bench.write("tiny.wasm", bytes_of("echo"));
    let json: Value = serde_json::from_str(&inspect(&bench, &["-o", "json"])).unwrap();
    assert_eq!(
        (&json["name"], &json["version"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(json["wants"], json!({"workspace": "none", "out": "none"}));
    assert!(inspect(&bench, &[]).starts_with("name     (no manifest)\nversion  -\n"));
}

#[test]
fn what_rust_wrote_into_the_core_module_is_found() {
    let bench = Bench::new(&[]);
    bench.write("tiny.wasm", bytes_of("files"));
    let json: Value = serde_json::from_str(&inspect(&bench, &["-o", "json"])).unwrap();
    assert_eq!(
        (&json["name"], &json["version"]),
        (&json!("files"), &json!("1.0.0"))
    );
    assert_eq!(json["wants"], json!({"workspace": "rw", "out": "rw"}));
}
