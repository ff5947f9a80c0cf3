use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};

use super::super::{Diagnostics, limits, read_files};
use super::canonical;

/// Reads paths inside a folder; the answer names files relative to it.
fn check_paths(folder: &Path, paths: &[&str], expected: Expect) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
    let answer = match read_files(&paths) {
        Ok(documents) => canonical(&documents),
        Err(mistakes) => mistakes.to_string(),
    };
    expected.assert_eq(&answer.replace(&format!("{}/", folder.display()), ""));
}

#[test]
fn folders_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir_all(folder.path().join("set/inner.yaml")).unwrap();
    fs::create_dir(folder.path().join("none")).unwrap();
    write("set/b.yml", "{name: b, schema: {}}");
    write("set/a.yaml", "{name: a, schema: {}}");
    write("set/c.json", "{\"name\": \"c\", \"schema\": {}}");
    write("set/README.md", "no document");
    write("set/inner.yaml/d.yaml", "not read");
    write("none/x.txt", "");
    write("any-name", "{name: z, schema: {}}");

    check_paths(
        folder.path(),
        &["any-name", "set"],
        expect![[r#"
        {"name":"z","schema":{}}
        {"name":"a","schema":{}}
        {"name":"b","schema":{}}
        {"name":"c","schema":{}}"#]],
    );
    check_paths(
        folder.path(),
        &["none", "missing.yaml"],
        expect![[r#"
        missing.yaml: cannot read the file: no such file or directory
        none: the folder has no .yaml, .yml or .json file"#]],
    );
}

#[test]
fn mistakes_of_all_files_are_told_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("b.yaml", "steps: []\n");
    write("a.yaml", "name: r\nspec: 1\n---\nname: r\nspec: [\n");
    check_paths(
        folder.path(),
        &["b.yaml", "a.yaml"],
        expect![[r#"
        a.yaml:1:1: a resource needs `resource`
        a.yaml:6:1: not valid YAML: while parsing a node, did not find expected node content (inside the list that begins at 5:7)
        b.yaml:1:1: a pipeline needs `name`
        b.yaml:1:1: a pipeline needs `resource`"#]],
    );
}

#[test]
fn a_large_file_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    // Sparse: it has the size and takes no room; reading it would take as long as any.
    let file = fs::File::create(folder.path().join("large.yaml")).unwrap();
    file.set_len(1 << 40).unwrap();
    check_paths(
        folder.path(),
        &["large.yaml"],
        expect!["large.yaml: 1099511627776 bytes; the limit for a file is 4MiB"],
    );
    // A device says that its length is nought, and never ends.
    let mistakes = read_files(&[PathBuf::from("/dev/zero")]).unwrap_err();
    expect!["/dev/zero: more than the limit for a file, 4MiB"].assert_eq(&mistakes.to_string());
}

#[test]
fn a_folder_of_too_many_files() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..=limits::FOLDER_FILES_MAX {
        fs::write(folder.path().join(format!("{at}.yaml")), "").unwrap();
    }
    let mistakes = read_files(&[folder.path().to_owned()]).unwrap_err();
    let text = mistakes
        .to_string()
        .replace(&folder.path().display().to_string(), "folder");
    expect!["folder: more files than the limit of 1000; name those meant"].assert_eq(&text);
}

#[test]
fn many_mistakes_are_counted() {
    let steps: String = (0..150)
        .map(|at| format!("- {{driver: d{at}, k{at}: 1}}\n"))
        .collect();
    let text = format!("name: p\nresource: app\nsteps:\n{steps}");
    let mistakes = super::read_bytes("f.yaml", text.as_bytes()).unwrap_err();
    assert_eq!(mistakes.iter().count(), 150);
    let shown = mistakes.to_string();
    assert_eq!(shown.lines().count(), limits::SHOWN_MAX + 1);
    assert_eq!(shown.lines().last(), Some("and 50 more"));
}

#[test]
fn mistakes_as_json() {
    let of = |text: &str| super::read_bytes("f.yaml", text.as_bytes()).unwrap_err();
    let both: Diagnostics = of("schema:\nname: x").and(of(""));
    expect![[r#"[{"file":"f.yaml","message":"the file is empty; a document has `steps`, `spec`, `schema` or `drivers`"},{"file":"f.yaml","line":1,"column":7,"message":"`schema` has no value"}]"#]].assert_eq(&serde_json::to_string(&both).unwrap());
}
