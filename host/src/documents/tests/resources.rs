use expect_test::expect;

use super::super::{Definition, Resource, read_bytes};
use super::{check, check_file};

#[test]
fn what_the_specification_shows_is_read() {
    check(
        "# resource.yaml\nname: beltline\nresource: workspace\npipeline: supply-chain  # may be left out\nspec: {path: \".\"}\n",
        expect![[
            r#"{"name":"beltline","resource":"workspace","pipeline":"supply-chain","metadata":{},"spec":{"path":"."}}"#
        ]],
    );
    check(
        "# definition.yaml\nname: workspace\nschema: {type: object}\n",
        expect![[r#"{"name":"workspace","schema":{"type":"object"}}"#]],
    );
}

#[test]
fn conveyors_json_is_read_unchanged() {
    let json = r#"{"id":"","name":"r","pipeline":"p","resource":"app","metadata":{"a":"b"},"spec":{"n":1}}"#;
    check_file(
        "r.json",
        json,
        expect![[
            r#"{"name":"r","resource":"app","pipeline":"p","metadata":{"a":"b"},"spec":{"n":1}}"#
        ]],
    );
    let json = r#"{"id":"65f0","name":"r","resource":"app","metadata":null,"spec":null}"#;
    check_file(
        "r.json",
        json,
        expect![[r#"{"id":"65f0","name":"r","resource":"app","metadata":{},"spec":null}"#]],
    );
    let json =
        r#"{"id":"1","name":"app","description":"d","version":"v1","schema":{"type":"object"}}"#;
    check_file(
        "d.json",
        json,
        expect![[
            r#"{"id":"1","name":"app","description":"d","version":"v1","schema":{"type":"object"}}"#
        ]],
    );
}

#[test]
fn canonical_json_reads_back_as_the_same() {
    let read = |text: &str| read_bytes("f.json", text.as_bytes()).unwrap();
    let text = r#"{"name":"r","resource":"app","metadata":{"z":1,"a":[null]},"spec":{"n":9007199254740993,"x":-0.5}}"#;
    let resource = read(text).resources.remove(0).value;
    let json = serde_json::to_string(&resource).unwrap();
    assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), resource);
    assert_eq!(read(&json).resources.remove(0).value, resource);

    let definition = read(r#"{"name":"app","schema":true}"#)
        .definitions
        .remove(0)
        .value;
    let json = serde_json::to_string(&definition).unwrap();
    assert_eq!(
        serde_json::from_str::<Definition>(&json).unwrap(),
        definition
    );
    assert_eq!(read(&json).definitions.remove(0).value, definition);
}

#[test]
fn mistakes_of_a_resource() {
    check(
        "spec: {}",
        expect![[r#"
        f.yaml:1:1: a resource needs `name`
        f.yaml:1:1: a resource needs `resource`"#]],
    );
    check(
        "apiVersion: v1\nkind: app\nmetadata: {name: r}\nspec: {}\nstatus: {}",
        expect![[r#"
            f.yaml:1:1: unknown key `apiVersion`; documents here have no version of their form, leave it out
            f.yaml:2:1: unknown key `kind`; here the kind of a resource is `resource`
            f.yaml:3:12: `metadata.name` is not read; here `name` stands at the top
            f.yaml:5:1: unknown key `status`; what became of a resource is told by its runs, leave it out"#]],
    );
    check(
        "kind: app\nname: r\nspec: {}",
        expect!["f.yaml:1:1: unknown key `kind`; here the kind of a resource is `resource`"],
    );
    check(
        "name: r\nresource: app\npipelin: p\nspec: {}",
        expect!["f.yaml:3:1: unknown key `pipelin`; did you mean `pipeline`?"],
    );
    check(
        "name: r/1\nresource: drivers\npipeline: 'a b'\nmetadata: x\nspec: {}",
        expect![[r#"
            f.yaml:1:7: resource name `r/1` has a '/'; use letters, digits, `-`, `_` and `.`
            f.yaml:2:11: kind `drivers` is reserved for subjects of the broker; choose another
            f.yaml:3:11: pipeline name `a b` has a ' '; use letters, digits, `-`, `_` and `.`
            f.yaml:4:11: a mapping expected, found text"#]],
    );
    let big = "x".repeat(256 * 1024);
    check(
        &format!("name: r\nresource: app\nspec: {big}"),
        expect!["f.yaml:1:1: the resource takes 262197 bytes as JSON; the limit is 256KiB"],
    );
}

#[test]
fn mistakes_of_a_definition() {
    check(
        "name: app\nschema: object",
        expect!["f.yaml:2:9: a schema is a mapping (JSON Schema), found text"],
    );
    check(
        "name: app\nschema:",
        expect!["f.yaml:2:7: `schema` has no value"],
    );
    check(
        "kind: app\nschema: {}",
        expect![
            "f.yaml:1:1: unknown key `kind`; here a definition's `name` is the kind that it defines"
        ],
    );
    check(
        "apiVersion: v1\nkind: Definition\nmetadata: {name: app}\nspec: {schema: {}}",
        expect![[r#"
            f.yaml:1:1: unknown key `apiVersion`; documents here have no version of their form, leave it out
            f.yaml:2:1: unknown key `kind`; here a definition's `name` is the kind that it defines
            f.yaml:3:12: `metadata.name` is not read; here `name` stands at the top
            f.yaml:4:8: `spec.schema` is not read; here `schema` stands at the top"#]],
    );
}
