use expect_test::expect;

use super::super::{Definition, Resource, read_bytes};
use super::{check, check_file};

#[test]
fn what_the_specification_shows_is_read() {
    check(
        "# resource.yaml\nname: beltline\nresource: workspace\npipeline: supply-chain  # may be left out\nspec: {path: \".\"}\n",
        expect![[]],
    );
    check(
        "# definition.yaml\nname: workspace\nschema: {type: object}\n",
        expect![[]],
    );
}

#[test]
fn conveyors_json_is_read_unchanged() {
    let json = r#"{"id":"","name":"r","pipeline":"p","resource":"app","metadata":{"a":"b"},"spec":{"n":1}}"#;
    check_file("r.json", json, expect![[]]);
    let json = r#"{"id":"65f0","name":"r","resource":"app","metadata":null,"spec":null}"#;
    check_file("r.json", json, expect![[]]);
    let json =
        r#"{"id":"1","name":"app","description":"d","version":"v1","schema":{"type":"object"}}"#;
    check_file("d.json", json, expect![[]]);
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
    check("spec: {}", expect![[]]);
    check(
        "apiVersion: v1\nkind: app\nmetadata: {name: r}\nspec: {}\nstatus: {}",
        expect![[]],
    );
    check("kind: app\nname: r\nspec: {}", expect![[]]);
    check("name: r\nresource: app\npipelin: p\nspec: {}", expect![[]]);
    check(
        "name: r/1\nresource: drivers\npipeline: 'a b'\nmetadata: x\nspec: {}",
        expect![[]],
    );
    let big = "x".repeat(256 * 1024);
    check(&format!("name: r\nresource: app\nspec: {big}"), expect![[]]);
}

#[test]
fn mistakes_of_a_definition() {
    check("name: app\nschema: object", expect![[]]);
    check("name: app\nschema:", expect![[]]);
    check("kind: app\nschema: {}", expect![[]]);
    check(
        "apiVersion: v1\nkind: Definition\nmetadata: {name: app}\nspec: {schema: {}}",
        expect![[]],
    );
}
