//! Every example does what its `expected.txt` says.

use crate::belt::{driver, root};
use expect_test::expect_file;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_example_comes_to_what_it_expects() {
    for name in ["sbom", "policy", "report"] {
        driver(name);
    }
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        for file in [
            "pipeline.yaml",
            "resource.yaml",
            "belt.yaml",
            "README.md",
            "run",
        ] {
            assert!(
                folder.join(file).is_file(),
                "{} lacks {file}",
                folder.display()
            );
        }
        check(&folder);
        count += 1;
    }
    assert!(count > 0, "there are no examples");
}

/// Runs an example twice, and compares what both come to with what it expects.
fn check(folder: &Path) {
    let state = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = Command::new(folder.join("run"))
            .env("BELT", env!("CARGO_BIN_EXE_belt"))
            .args(["-o", "json", "--state"])
            .arg(state.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let run: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{stderr}", folder.display()));
        expect_file![folder.join("expected.txt")].assert_eq(&told(&run));
        let files = fs::read_dir(run["out"].as_str().unwrap()).unwrap().count();
        assert!(files > 0, "{} made nothing", folder.display());
    }
}

/// A run in a few words, with `#` for numbers.
fn told(run: &Value) -> String {
    let mut text = format!("{}\n", run["status"].as_str().unwrap());
    for step in run["steps"].as_array().unwrap() {
        let word = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let message = hide_numbers(&word("message"));
        text.push_str(&format!("{} {}: {message}\n", word("id"), word("status")));
    }
    text
}

fn hide_numbers(text: &str) -> String {
    let mut hidden = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            hidden.push(character);
        } else if !hidden.ends_with('#') {
            hidden.push('#');
        }
    }
    hidden
}
