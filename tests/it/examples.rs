//! Every example does what its `expected.txt` says.

use crate::belt::{driver, root};
use expect_test::expect_file;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_example_comes_to_what_it_expects() {
    for name in ["sbom", "policy", "report", "files", "both-ways"] {
        driver(name);
    }
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
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
    for nth in 0..2 {
        let published = state.path().join(format!("published-{nth}"));
        let output = Command::new(folder.join("run"))
            .env("BELT", env!("CARGO_BIN_EXE_belt"))
            .env("PUBLISHED", &published)
            .args(["-o", "json", "--state"])
            .arg(state.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let run: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{stderr}", folder.display()));
        expect_file![folder.join("expected.txt")].assert_eq(&told(&run));
        let out = Path::new(run["out"].as_str().unwrap());
        if folder.ends_with("supply-chain") {
            check_supply_chain(&run, out);
        }
        if folder.ends_with("both-ways") {
            check_both_ways(&run);
        }
        if folder.ends_with("mixed-ci") {
            check_mixed_ci(&run, &published);
        }
    }
}

/// The numbers that `expected.txt` hides.
fn check_supply_chain(run: &Value, out: &Path) {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nsource = "))
        .count();
    let bill: Value =
        serde_json::from_slice(&fs::read(out.join("sbom.cdx.json")).unwrap()).unwrap();
    let components = bill["components"].as_array().unwrap().len();
    assert_eq!(run["steps"][0]["output"]["components"], components);
    assert!(
        components >= packages,
        "{components} components, {packages} packages from a registry"
    );
    assert_eq!(run["steps"][1]["output"]["counts"]["deny"], 0);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Beltline: supply chain") && page.contains(&components.to_string()));
}

/// What was built and judged was published, and nothing else.
fn check_mixed_ci(run: &Value, published: &Path) {
    let entries = fs::read_dir(published).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["libtitlecase.so", "sbom.cdx.json"]);
    assert_eq!(run["steps"][4]["output"]["files"], json!(names));
    let library = fs::read(published.join("libtitlecase.so")).unwrap();
    assert!(library.starts_with(b"\x7fELF"));
    let bill = fs::read(published.join("sbom.cdx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    let components = bill["components"].as_array().unwrap().len();
    assert_eq!(run["steps"][2]["output"]["components"], components);
}

/// One source, in two places, comes to the same, and each saw what came before it.
fn check_both_ways(run: &Value) {
    let [here, there] = [&run["steps"][0], &run["steps"][1]];
    let seen = |step: &Value, after: Value| {
        let mut output = step["output"].clone();
        assert_eq!(output["after"].take(), after);
        output
    };
    let here_output = seen(here, json!([]));
    assert_eq!(here_output["words"], 4);
    assert_eq!(here_output, seen(there, json!(["here"])));
    let placed = [here, there].map(|step| &step["attempts"][0]["placement"]);
    assert_eq!(placed, ["wasm", "native"]);
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
