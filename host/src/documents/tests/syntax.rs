use std::time::{Duration, Instant};

use expect_test::expect;

use super::super::read_bytes;
use super::{check, check_file};

fn spec(yaml: &str) -> String {
    format!("name: r\nresource: app\nspec:\n{yaml}\n")
}

#[test]
fn scalars_of_the_core_schema() {
    check(
        &spec(
            "  [~, null, '', \"\", True, 'true', yes, no, 12, -12, +12, 012, 0x1F, 0o17, 1.5, .5, 1., 1e3, -1.5E-2, 1_000, 1:30, 2020-01-01, 1.2.3, '3', 0x, 0o8, e3, '.', -, -.5]",
        ),
        expect![[]],
    );
    check(
        &spec("  [9007199254740993, 18446744073709551615, -9223372036854775808]"),
        expect![[]],
    );
    check(
        &spec(
            "  - !!str 12\n  - !!int 12\n  - !!float 1.5\n  - !!bool true\n  - !!null ~\n  - ! 12\n  - !!seq []\n  - !!map {}\n  - !!str\n",
        ),
        expect![[]],
    );
    check(
        &spec("  text: |\n    a\n     b\n  folded: >-\n    a\n    b\n"),
        expect![[]],
    );
}

#[test]
fn scalars_that_json_cannot_hold() {
    check(
        &spec(
            "  [.inf, -.INF, .nan, 18446744073709551616, -9223372036854775809, 0x10000000000000000, 1e400]",
        ),
        expect![[]],
    );
    check_file(
        "r.json",
        r#"{"name":"r","resource":"app","spec":[18446744073709551616]}"#,
        expect![[]],
    );
    check_file(
        "r.json",
        r#"{"name":"r","resource":"app","spec":[1e400]}"#,
        expect![[]],
    );
}

#[test]
fn tags() {
    check(
        &spec(
            "  - !secret x\n  - !!binary aGk=\n  - !!set {a: 1}\n  - !x [1]\n  - !<tag:example.com,2000:y> z\n",
        ),
        expect![[]],
    );
    check(
        &spec("  - !!int x\n  - !!bool 1\n  - !!int 1.5\n  - !!map []\n"),
        expect![[]],
    );
    check(&spec("  !!frob key: 1\n"), expect![[]]);
}

#[test]
fn keys() {
    check("name: p\nresource: app\nname: q\nsteps: []", expect![[]]);
    check_file(
        "p.json",
        "{\"name\": \"p\",\n \"name\": \"q\", \"resource\": \"app\",\n \"steps\": []}",
        expect![[]],
    );
    check(&spec("  a: {b: 1, c: 2, b: 3}\n  a: 4\n"), expect![[]]);
    check(
        &spec("  1: a\n  true: b\n  ~: c\n  1.5: d\n  '1': fine\n  yes: fine\n"),
        expect![[]],
    );
    check(
        &spec("  [a]: 1\n  {b: c}: 2\n  ? [x, y]\n  : 3\n"),
        expect![[]],
    );
    check(
        &spec("  base: &b {x: 1}\n  other:\n    <<: *b\n    y: 2\n"),
        expect![[]],
    );
    check(&spec("  &k key: 1\n"), expect![[]]);
}

#[test]
fn aliases() {
    check(
        &spec("  a: &x {k: [1]}\n  b: *x\n  c: &t text\n  *t : 1\n"),
        expect![[]],
    );
    check(&spec("  a: &x [1]\n  *x : 1\n"), expect![[]]);
    check(&spec("  a: *nobody\n"), expect![[]]);
    check(&spec("  a: &x [*x]\n"), expect![[]]);
    check(
        "&a {name: p, resource: app, steps: []}\n---\n*a\n",
        expect![[]],
    );
    // A value that an alias repeats is pointed at where it was written.
    check(
        "name: p\nresource: app\nsteps:\n- &s {driver: a, timout: 1s}\n- *s\n",
        expect![[]],
    );
}

#[test]
fn bombs() {
    let mut bomb =
        "name: r\nresource: app\nspec:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let parts = vec![format!("*a{before}"); 10].join(", ");
        bomb.push_str(&format!("  a{level}: &a{level} [{parts}]\n"));
    }
    let begun = Instant::now();
    check(&bomb, expect![[]]);
    let long = "x".repeat(100_000);
    let parts = vec!["*l"; 1_000].join(", ");
    check(
        &spec(&format!("  l: &l {long}\n  many: [{parts}]")),
        expect![[]],
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn depth() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [63, 64, 300, 100_000] {
        let yaml = format!("{{name: r, resource: app, spec: {}}}", nested(depth));
        let json = format!(
            "{{\"name\":\"r\",\"resource\":\"app\",\"spec\":{}}}",
            nested(depth)
        );
        let fits = depth < 64;
        assert_eq!(
            read_bytes("f.yaml", yaml.as_bytes()).is_ok(),
            fits,
            "{depth}"
        );
        assert_eq!(
            read_bytes("f.json", json.as_bytes()).is_ok(),
            fits,
            "{depth}"
        );
    }
    check(
        &format!("name: r\nresource: app\nspec: {}", nested(64)),
        expect![[]],
    );
    check_file("r.json", nested(65), expect![[]]);
    let mut aliased = "name: r\nresource: app\nspec:\n  a0: &a0 []\n".to_owned();
    for level in 1..70 {
        aliased.push_str(&format!("  a{level}: &a{level} [*a{}]\n", level - 1));
    }
    check(&aliased, expect![[]]);
}

#[test]
fn large_files() {
    let large = format!("name: r\nresource: app\nspec: {}", "x".repeat(10 << 20));
    check(&large, expect![[]]);
    let many = format!("[{}]", "1,".repeat(300_000));
    check(&many, expect![[]]);
}

#[test]
fn several_documents_in_one_file() {
    check(
        "name: p\nresource: app\nsteps: []\n---\nname: r\nresource: app\nspec: 1\n---\nname: app\nschema: {}\n...\n---\ndrivers: {}\n",
        expect![[]],
    );
    check_file(
        "all.json",
        "{\"name\":\"app\",\"schema\":{}}\n{\"drivers\":{}}",
        expect![[]],
    );
    // What is wrong with each is told, up to the first that cannot be read.
    check("name: p\nsteps: []\n---\nspec: [\n", expect![[]]);
}

#[test]
fn documents_of_no_sort() {
    check("", expect![[]]);
    check("# nothing\n", expect![[]]);
    check("---\n", expect![[]]);
    check("drivers: {}\n---\n", expect![[]]);
    check("[]", expect![[]]);
    check("just text", expect![[]]);
    check("{}", expect![[]]);
    check("name: p\nresource: app\nstep: []", expect![[]]);
    check(
        "name: p\nresource: app\nsteps: []\nspec: {}\ndrivers: {}",
        expect![[]],
    );
    check_file("e.json", "", expect![[]]);
    check_file("e.json", "null", expect![[]]);
}

#[test]
fn yaml_that_is_none() {
    check("name: \"p", expect![[]]);
    check("name: [a, b", expect![[]]);
    check("name: p\n\tresource: app", expect![[]]);
    check("name: p\n  resource: app", expect![[]]);
    check("name: a: b", expect![[]]);
    check("name: 'it''s'x", expect![[]]);
    check("name: @p", expect![[]]);
    check("name: %p\n%x", expect![[]]);
    check("name: p\nresource app\nsteps: []", expect![[]]);
    check("steps:\n- a\nb", expect![[]]);
    check("a: \"\\q\"", expect![[]]);
}

#[test]
fn json_that_is_none() {
    for (text, expected) in [
        (r#"{"name": "p""#, expect![[]]),
        (r#"{"name": "p"#, expect![[]]),
        (r#"{"name": p}"#, expect![[]]),
        (r#"{name: "p"}"#, expect![[]]),
        (r#"{"name": "p",}"#, expect![[]]),
        (r#"{"name" "p"}"#, expect![[]]),
        (r#"{"a": [1 2]}"#, expect![[]]),
        (r#"{"a": [1,, 2]}"#, expect![[]]),
        ("{\"a\":\n  [01]}", expect![[]]),
        (r#"{"a": -}"#, expect![[]]),
        (r#"{"a": "\q"}"#, expect![[]]),
        (r#"{"a": "\ud83d"}"#, expect![[]]),
        ("{\"a\": \"x\ny\"}", expect![[]]),
        ("{\"a\": 1} // b", expect![[]]),
        ("name: p", expect![[]]),
    ] {
        check_file("f.json", text, expected);
    }
}

#[test]
fn json_that_is_no_yaml() {
    let text = "{\n\t\"name\":\"r\",\n\t\"resource\"\n\t:\"app\",\"spec\":\"\\ud83d\\ude00\\/\\u00e9\\t\"}";
    check_file("f.json", text, expect![[]]);
    check_file("f.yaml", text, expect![[]]);
    let key = "k".repeat(2000);
    let text = format!("{{\"name\":\"r\",\"resource\":\"app\",\"spec\":{{\"{key}\":1}}}}");
    assert!(read_bytes("stdin", text.as_bytes()).is_ok());
}

#[test]
fn bytes_that_are_no_text() {
    check_file("f.yaml", b"name: p\nresource: \xff\n", expect![[]]);
    check_file("f.json", b"{\"name\": \"\xc3", expect![[]]);
    check_file("f.yaml", b"\xff\xfen\0a\0", expect![[]]);
    check_file("f.yaml", b"\xef\xbb\xbfdrivers: {}", expect![[]]);
    check_file("f.json", b"\xef\xbb\xbf{\"drivers\": {}}", expect![[]]);
    check_file("f.yaml", b"drivers: {}\r\n", expect![[]]);
    check_file("f.yaml", b"a: \0b\n", expect![[]]);
}

#[test]
fn columns_count_characters() {
    check(
        "{\"é€😀\": 1, name: p, steps: [], resource: app}",
        expect![[]],
    );
    check_file("f.json", "{\"é€😀\": 1, \"steps\": []}", expect![[]]);
}
