use super::*;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn lock() -> String {
    format!(
        r#"version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["serde 1.0.0", "serde 2.0.0 (git+https://example.org/serde?branch=next)", "wasi"]

[[package]]
name = "serde"
version = "1.0.0"
source = "{CRATES_IO}"
checksum = "{}"

[[package]]
name = "serde"
version = "2.0.0"
source = "git+https://example.org/serde?branch=next#0a1b2c"
dependencies = ["wasi"]

[[package]]
name = "wasi"
version = "0.11.0+wasi"
source = "sparse+https://crates.example.org/index/"
"#,
        "ab".repeat(32)
    )
}

#[test]
fn packages_come_with_purl_checksum_and_graph() {
    let bill = bill(&[("Cargo.lock", &lock())]);
    let serde = component(&bill, "pkg:cargo/serde@1.0.0");
    assert_eq!(
        serde["hashes"],
        json!([{"alg": "SHA-256", "content": "ab".repeat(32)}])
    );
    assert_eq!(
        serde["properties"],
        json!([{"name": "beltline:lockfile", "value": "Cargo.lock"}])
    );

    let git = "pkg:cargo/serde@2.0.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fserde%400a1b2c";
    let other =
        "pkg:cargo/wasi@0.11.0%2Bwasi?repository_url=https:%2F%2Fcrates.example.org%2Findex%2F";
    assert_eq!(
        needs(&bill, "Cargo.lock#app@0.1.0"),
        json!(["pkg:cargo/serde@1.0.0", git, other])
    );
    assert_eq!(needs(&bill, git), json!([other]));
    assert_eq!(needs(&bill, "root"), json!(["Cargo.lock#app@0.1.0"]));
    assert_eq!(
        component(&bill, "Cargo.lock#app@0.1.0").get("purl"),
        None,
        "it is not published"
    );
}

#[test]
fn version_1_keeps_checksums_apart() {
    let hex = "cd".repeat(32);
    let lock = format!(
        "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"{CRATES_IO}\"\n\n\
         [metadata]\n\"checksum a 1.0.0 ({CRATES_IO})\" = \"{hex}\"\n"
    );
    let bill = bill(&[("Cargo.lock", &lock)]);
    assert_eq!(
        component(&bill, "pkg:cargo/a@1.0.0")["hashes"][0]["content"],
        hex
    );
}

#[test]
fn malformed_ones_are_refused_by_place() {
    refused(
        &[("sub/Cargo.lock", "[[package]]\nname = \"a\"\nversion = \n")],
        "sub/Cargo.lock:3:11: string values must be quoted, expected literal string",
    );
    refused(
        &[("Cargo.lock", "[[package]]\nname = \"a\"\n")],
        "Cargo.lock:1:1: missing field `version`",
    );
    refused(
        &[(
            "Cargo.lock",
            "[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\"b\"]\n",
        )],
        "Cargo.lock: a 1 depends on b, which the file does not have",
    );
}
