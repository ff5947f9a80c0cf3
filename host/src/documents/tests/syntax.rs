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
            "  [~, null, '', \"\", True, 'true', yes, no, 12, -12, +12, 012, 0x1F, 0o17, 1.5, .5, 1., 1e3, -1.5E-2, 1_000, 1:30, 2020-01-01, 1.2.3, '3', 0x, 0o8, e3, '.', -.5]",
        ),
        expect![[
            r#"{"name":"r","resource":"app","metadata":{},"spec":[null,null,"","",true,"true","yes","no",12,-12,12,12,31,15,1.5,0.5,1.0,1000.0,-0.015,"1_000","1:30","2020-01-01","1.2.3","3","0x","0o8","e3",".",-0.5]}"#
        ]],
    );
    check(
        &spec("  [9007199254740993, 18446744073709551615, -9223372036854775808]"),
        expect![[
            r#"{"name":"r","resource":"app","metadata":{},"spec":[9007199254740993,18446744073709551615,-9223372036854775808]}"#
        ]],
    );
    check(
        &spec(
            "  - !!str 12\n  - !!int 12\n  - !!float 1.5\n  - !!bool true\n  - !!null ~\n  - ! 12\n  - !!seq []\n  - !!map {}\n  - !!str\n",
        ),
        expect![[
            r#"{"name":"r","resource":"app","metadata":{},"spec":["12",12,1.5,true,null,"12",[],{},""]}"#
        ]],
    );
    check(
        &spec("  text: |\n    a\n     b\n  folded: >-\n    a\n    b\n"),
        expect![[
            r#"{"name":"r","resource":"app","metadata":{},"spec":{"folded":"a b","text":"a\n b\n"}}"#
        ]],
    );
}

#[test]
fn scalars_that_json_cannot_hold() {
    check(
        &spec(
            "  [.inf, -.INF, .nan, 18446744073709551616, -9223372036854775809, 0x10000000000000000, 1e400]",
        ),
        expect![[r#"
            f.yaml:4:4: `.inf` is a number that JSON cannot hold; quote it to have text
            f.yaml:4:10: `-.INF` is a number that JSON cannot hold; quote it to have text
            f.yaml:4:17: `.nan` is a number that JSON cannot hold; quote it to have text
            f.yaml:4:23: the number `18446744073709551616` does not fit into 64 bits; quote it to keep it exactly, as text
            f.yaml:4:45: the number `-9223372036854775809` does not fit into 64 bits; quote it to keep it exactly, as text
            f.yaml:4:67: the number `0x10000000000000000` does not fit into 64 bits; quote it to keep it exactly, as text
            f.yaml:4:88: the number `1e400` does not fit into 64 bits; quote it to keep it exactly, as text"#]],
    );
    check_file(
        "r.json",
        r#"{"name":"r","resource":"app","spec":[18446744073709551616]}"#,
        expect![
            "r.json:1:38: the number `18446744073709551616` does not fit into 64 bits; quote it to keep it exactly, as text"
        ],
    );
    check_file(
        "r.json",
        r#"{"name":"r","resource":"app","spec":[1e400]}"#,
        expect!["r.json:1:38: not valid JSON: `1e400`: number out of range"],
    );
}

#[test]
fn tags() {
    check(
        &spec(
            "  - !secret x\n  - !!binary aGk=\n  - !!set {a: 1}\n  - !x [1]\n  - !<tag:example.com,2000:y> z\n",
        ),
        expect![[r#"
            f.yaml:4:5: tag `!secret` has no meaning here; leave it out
            f.yaml:5:5: tag `!!binary` has no meaning here; leave it out
            f.yaml:6:5: tag `!!set` has no meaning here; leave it out
            f.yaml:7:5: tag `!x` has no meaning here; leave it out
            f.yaml:8:5: tag `tag:example.com,2000:y` has no meaning here; leave it out"#]],
    );
    check(
        &spec("  - !!int x\n  - !!bool 1\n  - !!int 1.5\n  - !!map []\n"),
        expect![[r#"
            f.yaml:4:5: `x` is not what its tag `!!int` says
            f.yaml:5:5: `1` is not what its tag `!!bool` says
            f.yaml:6:5: `1.5` is not what its tag `!!int` says
            f.yaml:7:5: tag `!!map` has no meaning here; leave it out"#]],
    );
    check(
        &spec("  !!frob key: 1\n"),
        expect!["f.yaml:4:3: tag `!!frob` has no meaning here; leave it out"],
    );
}

#[test]
fn keys() {
    check(
        "name: p\nresource: app\nname: q\nsteps: []",
        expect!["f.yaml:3:1: key `name` is given twice, first at 1:1; keep one"],
    );
    check_file(
        "p.json",
        "{\"name\": \"p\",\n \"name\": \"q\", \"resource\": \"app\",\n \"steps\": []}",
        expect!["p.json:2:2: key `name` is given twice, first at 1:2; keep one"],
    );
    check(
        &spec("  a: {b: 1, c: 2, b: 3}\n  a: 4\n"),
        expect![[r#"
        f.yaml:4:19: key `b` is given twice, first at 4:7; keep one
        f.yaml:5:3: key `a` is given twice, first at 4:3; keep one"#]],
    );
    check(
        &spec("  1: a\n  true: b\n  ~: c\n  1.5: d\n  '1': fine\n  yes: fine\n"),
        expect![[r#"
            f.yaml:4:3: a key must be text, found the number 1; quote it
            f.yaml:5:3: a key must be text, found the boolean true; quote it
            f.yaml:6:3: a key must be text, found nothing; quote it
            f.yaml:7:3: a key must be text, found the number 1.5; quote it"#]],
    );
    check(
        &spec("  [a]: 1\n  {b: c}: 2\n  ? [x, y]\n  : 3\n"),
        expect![[r#"
            f.yaml:4:3: a key must be text, found a list (and in one more place)
            f.yaml:5:3: a key must be text, found a mapping"#]],
    );
    check(
        &spec("  base: &b {x: 1}\n  other:\n    <<: *b\n    y: 2\n"),
        expect![
            "f.yaml:6:5: merge keys (`<<`) are not read here; write the keys out, or name the whole value with an alias"
        ],
    );
    check(
        &spec("  &k key: 1\n"),
        expect!["f.yaml:4:3: a key cannot carry an anchor here; put it on a value"],
    );
}

#[test]
fn aliases() {
    check(
        &spec("  a: &x {k: [1]}\n  b: *x\n  c: &t text\n  *t : 1\n"),
        expect![[
            r#"{"name":"r","resource":"app","metadata":{},"spec":{"a":{"k":[1]},"b":{"k":[1]},"c":"text","text":1}}"#
        ]],
    );
    check(
        &spec("  a: &x [1]\n  *x : 1\n"),
        expect!["f.yaml:5:3: a key must be text, found a list"],
    );
    check(
        &spec("  a: *nobody\n"),
        expect![
            "f.yaml:4:6: not valid YAML: while parsing node, found unknown anchor; an alias names an anchor (`&name`) that stands before it in its document"
        ],
    );
    check(
        &spec("  a: &x [*x]\n"),
        expect!["f.yaml:4:10: this alias stands inside the value that it names; write it out"],
    );
    check(
        "&a {name: p, resource: app, steps: []}\n---\n*a\n",
        expect!["f.yaml:3:1: this alias stands inside the value that it names; write it out"],
    );
    // A value that an alias repeats is pointed at where it was written.
    check(
        "name: p\nresource: app\nsteps:\n- &s {driver: a, timout: 1s}\n- *s\n",
        expect![[r#"
            f.yaml:4:18: unknown key `timout`; did you mean `timeout`? (and in one more place)
            f.yaml:5:3: a second step `a`, the first is at 4:15: a step without `id` is called after its driver; give this one an `id`"#]],
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
    check(
        &bomb,
        expect![
            "f.yaml:9:12: the document grows beyond the limit of 250000 values here (what an alias repeats counts each time); make it smaller"
        ],
    );
    let long = "x".repeat(100_000);
    let parts = vec!["*l"; 1_000].join(", ");
    check(
        &spec(&format!("  l: &l {long}\n  many: [{parts}]")),
        expect![
            "f.yaml:5:670: the document grows beyond the limit of 16MiB of text here (what an alias repeats counts each time); make it smaller"
        ],
    );
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
        expect!["f.yaml:3:70: nested deeper than the limit of 64 levels; flatten it"],
    );
    check_file(
        "r.json",
        nested(65),
        expect!["r.json:1:65: nested deeper than the limit of 64 levels; flatten it"],
    );
    let mut aliased = "name: r\nresource: app\nspec:\n  a0: &a0 []\n".to_owned();
    for level in 1..70 {
        aliased.push_str(&format!("  a{level}: &a{level} [*a{}]\n", level - 1));
    }
    check(
        &aliased,
        expect!["f.yaml:67:14: nested deeper than the limit of 64 levels; flatten it"],
    );
}

#[test]
fn large_files() {
    let large = format!("name: r\nresource: app\nspec: {}", "x".repeat(10 << 20));
    check(
        &large,
        expect!["f.yaml: 10485788 bytes; the limit for a file is 4MiB"],
    );
    let many = format!("[{}]", "1,".repeat(300_000));
    check(
        &many,
        expect![
            "f.yaml:1:500000: the document grows beyond the limit of 250000 values here (what an alias repeats counts each time); make it smaller"
        ],
    );
}

#[test]
fn several_documents_in_one_file() {
    check(
        "name: p\nresource: app\nsteps: []\n---\nname: r\nresource: app\nspec: 1\n---\nname: app\nschema: {}\n...\n---\ndrivers: {}\n",
        expect![[r#"
            {"name":"p","resource":"app","context":{},"timeout":"1h","steps":[]}
            {"name":"r","resource":"app","metadata":{},"spec":1}
            {"name":"app","schema":{}}
            {"drivers":{}}"#]],
    );
    check_file(
        "all.json",
        "{\"name\":\"app\",\"schema\":{}}\n{\"drivers\":{}}",
        expect![[r#"
            {"name":"app","schema":{}}
            {"drivers":{}}"#]],
    );
    // What is wrong with each is told, up to the first that cannot be read.
    check(
        "name: p\nsteps: []\n---\nspec: [\n",
        expect![[r#"
            f.yaml:1:1: a pipeline needs `resource`
            f.yaml:5:1: not valid YAML: while parsing a node, did not find expected node content (inside the list that begins at 4:7)"#]],
    );
}

#[test]
fn documents_of_no_sort() {
    check(
        "",
        expect!["f.yaml: the file is empty; a document has `steps`, `spec`, `schema` or `drivers`"],
    );
    check(
        "# nothing\n",
        expect!["f.yaml: the file is empty; a document has `steps`, `spec`, `schema` or `drivers`"],
    );
    check(
        "---\n",
        expect![
            "f.yaml:2:1: the document is empty; take it out, or give it `steps`, `spec`, `schema` or `drivers`"
        ],
    );
    check(
        "drivers: {}\n---\n",
        expect![
            "f.yaml:3:1: the document is empty; take it out, or give it `steps`, `spec`, `schema` or `drivers`"
        ],
    );
    check(
        "[]",
        expect!["f.yaml:1:1: a document is a mapping of keys to values, found a list"],
    );
    check(
        "just text",
        expect!["f.yaml:1:1: a document is a mapping of keys to values, found text"],
    );
    check(
        "{}",
        expect![
            "f.yaml:1:1: a document has `steps` (a pipeline), `spec` (a resource), `schema` (a definition) or `drivers` (a configuration); this one has none of them"
        ],
    );
    check(
        "name: p\nresource: app\nstep: []",
        expect!["f.yaml:3:1: unknown key `step`; did you mean `steps`?"],
    );
    check(
        "name: p\nresource: app\nsteps: []\nspec: {}\ndrivers: {}",
        expect![
            "f.yaml:1:1: `steps`, `spec` and `drivers` in one document: it cannot be a pipeline and a resource and a configuration at once; part them with a line `---`"
        ],
    );
    check_file(
        "e.json",
        "",
        expect!["e.json: the file is empty; a document has `steps`, `spec`, `schema` or `drivers`"],
    );
    check_file(
        "e.json",
        "null",
        expect![
            "e.json:1:1: the document is empty; take it out, or give it `steps`, `spec`, `schema` or `drivers`"
        ],
    );
}

#[test]
fn yaml_that_is_none() {
    check(
        "name: \"p",
        expect![
            "f.yaml:1:7: not valid YAML: while scanning a quoted scalar, found unexpected end of stream"
        ],
    );
    check(
        "name: [a, b",
        expect![
            "f.yaml:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']' (inside the list that begins at 1:7)"
        ],
    );
    check(
        "name: p\n\tresource: app",
        expect![
            "f.yaml:1:7: not valid YAML: while scanning a plain scalar, found a tab; indent with spaces"
        ],
    );
    check(
        "name: p\n  resource: app",
        expect![
            "f.yaml:2:11: not valid YAML: mapping values are not allowed in this context; quote the text if its `: ` belongs to it"
        ],
    );
    check(
        "name: a: b",
        expect![
            "f.yaml:1:8: not valid YAML: mapping values are not allowed in this context; quote the text if its `: ` belongs to it"
        ],
    );
    check(
        "name: 'it''s'x",
        expect![
            "f.yaml:1:14: not valid YAML: invalid trailing content after double-quoted scalar; quote the whole text once"
        ],
    );
    check(
        "name: @p",
        expect![
            "f.yaml:1:7: not valid YAML: unexpected character: `@'; quote text that begins with it"
        ],
    );
    check(
        "name: %p\n%x",
        expect![
            "f.yaml:1:7: not valid YAML: unexpected character: `%'; quote text that begins with it"
        ],
    );
    check(
        "name: p\nresource app\nsteps: []",
        expect![
            "f.yaml:3:1: not valid YAML: simple key expect ':'; the line before has no `: ` after its key"
        ],
    );
    check(
        "steps:\n- a\nb",
        expect![
            "f.yaml:4:1: not valid YAML: simple key expected; the line before has no `: ` after its key"
        ],
    );
    check(
        "a: \"\\q\"",
        expect![[
            r#"f.yaml:1:4: not valid YAML: while parsing a quoted scalar, found unknown escape character; in double quotes write `\\` for a backslash, or use single quotes"#
        ]],
    );
}

#[test]
fn json_that_is_none() {
    for (text, expected) in [
        (
            r#"{"name": "p""#,
            expect!["f.json:1:13: not valid JSON: the text ends inside the object begun on line 1"],
        ),
        (
            r#"{"name": "p"#,
            expect!["f.json:1:10: not valid JSON: the text ends inside this string"],
        ),
        (
            r#"{"name": p}"#,
            expect!["f.json:1:10: not valid JSON: `p` is no value; text stands in double quotes"],
        ),
        (
            r#"{name: "p"}"#,
            expect!["f.json:1:2: not valid JSON: a key in double quotes expected"],
        ),
        (
            r#"{"name": "p",}"#,
            expect!["f.json:1:14: not valid JSON: nothing follows the last `,`; take it out"],
        ),
        (
            r#"{"name" "p"}"#,
            expect!["f.json:1:9: not valid JSON: `:` expected after the key"],
        ),
        (
            r#"{"a": [1 2]}"#,
            expect!["f.json:1:10: not valid JSON: `,` or `]` expected, found `2`"],
        ),
        (
            r#"{"a": [1,, 2]}"#,
            expect!["f.json:1:10: not valid JSON: a value expected"],
        ),
        (
            "{\"a\":\n  [01]}",
            expect!["f.json:2:4: not valid JSON: `01`: invalid number"],
        ),
        (
            r#"{"a": -}"#,
            expect!["f.json:1:7: not valid JSON: `-`: EOF while parsing a value"],
        ),
        (
            r#"{"a": "\q"}"#,
            expect!["f.json:1:7: not valid JSON: invalid escape"],
        ),
        (
            r#"{"a": "\ud83d"}"#,
            expect!["f.json:1:7: not valid JSON: unexpected end of hex escape"],
        ),
        (
            "{\"a\": \"x\ny\"}",
            expect![[
                r#"f.json:1:7: not valid JSON: control character (\u0000-\u001F) found while parsing a string"#
            ]],
        ),
        (
            "{\"a\": 1} // b",
            expect![[r#"
            f.json:1:1: a document has `steps` (a pipeline), `spec` (a resource), `schema` (a definition) or `drivers` (a configuration); this one has none of them
            f.json:1:10: not valid JSON: `//` is no value; text stands in double quotes"#]],
        ),
        (
            "name: p",
            expect!["f.json:1:1: not valid JSON: `name` is no value; text stands in double quotes"],
        ),
    ] {
        check_file("f.json", text, expected);
    }
}

#[test]
fn json_that_is_no_yaml() {
    let text = "{\n\t\"name\":\"r\",\n\t\"resource\"\n\t:\"app\",\"spec\":\"\\ud83d\\ude00\\/\\u00e9\\t\"}";
    check_file(
        "f.json",
        text,
        expect![[r#"{"name":"r","resource":"app","metadata":{},"spec":"😀/é\t"}"#]],
    );
    check_file(
        "f.yaml",
        text,
        expect![[r#"{"name":"r","resource":"app","metadata":{},"spec":"😀/é\t"}"#]],
    );
    let key = "k".repeat(2000);
    let text = format!("{{\"name\":\"r\",\"resource\":\"app\",\"spec\":{{\"{key}\":1}}}}");
    assert!(read_bytes("stdin", text.as_bytes()).is_ok());
}

#[test]
fn bytes_that_are_no_text() {
    check_file(
        "f.yaml",
        b"name: p\nresource: \xff\n",
        expect!["f.yaml:2:11: byte 0xff is not UTF-8; save the file as UTF-8"],
    );
    check_file(
        "f.json",
        b"{\"name\": \"\xc3",
        expect!["f.json:1:11: byte 0xc3 is not UTF-8; save the file as UTF-8"],
    );
    check_file(
        "f.yaml",
        b"\xff\xfen\0a\0",
        expect!["f.yaml:1:1: byte 0xff is not UTF-8; save the file as UTF-8"],
    );
    check_file(
        "f.yaml",
        b"\xef\xbb\xbfdrivers: {}",
        expect![[r#"{"drivers":{}}"#]],
    );
    check_file(
        "f.json",
        b"\xef\xbb\xbf{\"drivers\": {}}",
        expect![[r#"{"drivers":{}}"#]],
    );
    check_file("f.yaml", b"drivers: {}\r\n", expect![[r#"{"drivers":{}}"#]]);
    check_file(
        "f.yaml",
        b"a: \0b\n",
        expect!["f.yaml:1:4: not valid YAML: found unprintable character"],
    );
}

#[test]
fn columns_count_characters() {
    check(
        "{\"é€😀\": 1, name: p, steps: [], resource: app}",
        expect![
            "f.yaml:1:2: unknown key `é€😀`; a pipeline has `name`, `resource`, `context`, `timeout`, `steps`, `description` and `version`"
        ],
    );
    check_file(
        "f.json",
        "{\"é€😀\": 1, \"steps\": []}",
        expect![[r#"
        f.json:1:1: a pipeline needs `name`
        f.json:1:1: a pipeline needs `resource`
        f.json:1:2: unknown key `é€😀`; a pipeline has `name`, `resource`, `context`, `timeout`, `steps`, `description` and `version`"#]],
    );
}
