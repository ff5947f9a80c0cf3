use super::*;

#[test]
fn uv_lock() {
    let hex = "ab".repeat(32);
    let lock = format!(
        r#"version = 1
[[package]]
name = "app"
version = "0.1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "app", extra = ["all"] }}, {{ name = "foo-bar" }}, {{ name = "two", version = "2.0", marker = "os_name == 'nt'" }}]
[package.dev-dependencies]
dev = [{{ name = "two", version = "1.0" }}]
[[package]]
name = "foo-bar"
version = "1.0"
source = {{ registry = "https://pypi.org/simple" }}
sdist = {{ url = "https://files.example.org/foo_bar-1.0.tar.gz", hash = "sha256:{hex}", size = 3 }}
wheels = [{{ url = "https://files.example.org/foo_bar-1.0-py3-none-any.whl", hash = "sha256:{hex}" }}]
[[package]]
name = "two"
version = "1.0"
source = {{ registry = "https://index.example.org/simple" }}
[[package]]
name = "two"
version = "2.0"
source = {{ git = "https://example.org/two?rev=v2#0a1b" }}
"#
    );
    let bill = bill(&[("uv.lock", &lock)]);
    let foo = component(&bill, "pkg:pypi/foo-bar@1.0");
    assert_eq!(
        foo["externalReferences"][1]["url"],
        "https://files.example.org/foo_bar-1.0.tar.gz"
    );
    assert_eq!(
        foo["externalReferences"][1]["hashes"][0],
        json!({"alg": "SHA-256", "content": hex})
    );
    assert_eq!(
        needs(&bill, "uv.lock#app@0.1.0"),
        json!([
            "pkg:pypi/foo-bar@1.0",
            "pkg:pypi/two@1.0?repository_url=https:%2F%2Findex.example.org%2Fsimple",
            "pkg:pypi/two@2.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Ftwo%400a1b",
        ])
    );
    refused(
        &[(
            "uv.lock",
            "[[package]]\nname = \"a\"\nsource = {}\ndependencies = [{ name = \"b\" }]\n",
        )],
        "uv.lock: a depends on b, which the file does not have",
    );
}

#[test]
fn poetry_lock() {
    let lock = r#"
[[package]]
name = "Foo_Bar"
version = "1.0"
optional = false
groups = ["main"]
files = [{file = "foo_bar-1.0.tar.gz", hash = "sha256:abababababababababababababababababababababababababababababababab"}]
[package.dependencies]
two = {version = ">=1", markers = "os_name == 'nt'"}
absent = "*"
[[package]]
name = "two"
version = "2.0"
optional = true
[[package]]
name = "pytest"
version = "8.0"
optional = false
groups = ["dev"]
[package.source]
type = "legacy"
url = "https://index.example.org/simple"
"#;
    let bill = bill(&[("poetry.lock", lock)]);
    assert_eq!(
        needs(&bill, "pkg:pypi/foo-bar@1.0"),
        json!(["pkg:pypi/two@2.0"])
    );
    assert_eq!(
        component(&bill, "pkg:pypi/foo-bar@1.0")["externalReferences"][0]["url"],
        "foo_bar-1.0.tar.gz"
    );
    assert_eq!(component(&bill, "pkg:pypi/two@2.0")["scope"], "optional");
    let pytest = "pkg:pypi/pytest@8.0?repository_url=https:%2F%2Findex.example.org%2Fsimple";
    assert_eq!(component(&bill, pytest)["scope"], "excluded");
    assert_eq!(
        needs(&bill, "root"),
        json!(["pkg:pypi/foo-bar@1.0", pytest])
    );
}

#[test]
fn requirements_txt() {
    let text = "# pinned\n--index-url https://index.example.org\nFoo.Bar[extra]==1.0 ; os_name == 'nt' \\\n    \
                --hash=sha256:abababababababababababababababababababababababababababababababab\n\
                loose>=2\ntwo==2.0 # why\nwild==1.*\n";
    let files = [("requirements.txt", text)];
    let bill = bill(&files);
    assert_eq!(
        component(&bill, "pkg:pypi/foo-bar@1.0")["hashes"][0]["alg"],
        "SHA-256"
    );
    component(&bill, "pkg:pypi/two@2.0");
    assert_eq!(bill["components"].as_array().unwrap().len(), 2);
    let warned: Vec<Value> = run(&files)
        .logs
        .into_iter()
        .filter_map(|line| line.fields.get("requirement").cloned())
        .collect();
    assert_eq!(warned, ["loose>=2", "wild==1.*"]);
}
