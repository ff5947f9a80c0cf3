use expect_test::{Expect, expect};

use super::super::{Override, apply_overrides, read_bytes};

const PIPELINE: &[u8] =
    b"{name: p, resource: app, steps: [], context: {severity: high, a.b: 1, a: {b: 2, c: {d: 3}}, l: [1]}}";

fn set(arguments: &[&str]) -> Result<String, super::super::OverrideError> {
    let overrides: Vec<Override> = arguments
        .iter()
        .map(|one| one.parse())
        .collect::<Result<_, _>>()?;
    let mut pipeline = read_bytes("f.yaml", PIPELINE)
        .unwrap()
        .pipelines
        .remove(0)
        .value;
    apply_overrides(&mut pipeline, &overrides)?;
    Ok(serde_json::to_string(&pipeline.context).unwrap())
}

fn check_set(arguments: &[&str], expected: Expect) {
    expected.assert_eq(&set(arguments).unwrap_or_else(|error| error.to_string()));
}

#[test]
fn values() {
    for (text, value) in [
        ("low", "\"low\""),
        ("", "\"\""),
        ("true", "true"),
        ("3", "3"),
        ("-0.5", "-0.5"),
        ("null", "null"),
        ("[1,\"a\"]", "[1,\"a\"]"),
        ("{\"k\":{}}", "{\"k\":{}}"),
        ("\"3\"", "\"3\""),
        ("{not json", "\"{not json\""),
        ("{\"a\":1,\"a\":2}", "\"{\\\"a\\\":1,\\\"a\\\":2}\""),
        ("a=b # c: d", "\"a=b # c: d\""),
        ("1.2.3", "\"1.2.3\""),
    ] {
        let one: Override = format!("severity={text}").parse().unwrap();
        assert_eq!(serde_json::to_string(&one.value).unwrap(), value, "{text}");
    }
}

#[test]
fn keys() {
    check_set(
        &["severity=low"],
        expect![[r#"{"a":{"b":2,"c":{"d":3}},"a.b":1,"l":[1],"severity":"low"}"#]],
    );
    check_set(
        &["a.b=x", "a.c.d=y"],
        expect![[r#"{"a":{"b":2,"c":{"d":"y"}},"a.b":"x","l":[1],"severity":"high"}"#]],
    );
    check_set(
        &["a={}"],
        expect![[r#"{"a":{},"a.b":1,"l":[1],"severity":"high"}"#]],
    );
    check_set(
        &["severity=low", "severity=none"],
        expect![[r#"{"a":{"b":2,"c":{"d":3}},"a.b":1,"l":[1],"severity":"none"}"#]],
    );
}

#[test]
fn mistakes() {
    check_set(
        &["severity"],
        expect!["`--set severity` is not `key=value`"],
    );
    check_set(&["=x"], expect!["`--set =x` is not `key=value`"]);
    check_set(
        &["severty=low"],
        expect!["`--set severty`: the context has no key `severty`; did you mean `severity`?"],
    );
    check_set(
        &["frob=1"],
        expect![
            "`--set frob`: the context has no key `frob`; it has `a`, `a.b`, `l` and `severity`"
        ],
    );
    check_set(
        &["a.c.e=1"],
        expect!["`--set a.c.e`: `a.c` has no key `e`; did you mean `d`?"],
    );
    check_set(
        &["a.x.y=1"],
        expect!["`--set a.x.y`: `a` has no key `x`; did you mean `b`?"],
    );
    check_set(
        &["severity.x=1"],
        expect!["`--set severity.x`: `severity` is not a mapping; set it as a whole"],
    );
    check_set(
        &["l.0=1"],
        expect!["`--set l.0`: `l` is not a mapping; set it as a whole"],
    );
    check_set(
        &["a..b=1"],
        expect!["`--set a..b`: `a` has no key ``; it has `b` and `c`"],
    );
    check_set(
        &["severity=.inf"],
        expect![
            "`--set severity`: `.inf` is a number that JSON cannot hold; quote it to have text"
        ],
    );
    check_set(
        &["severity=99999999999999999999"],
        expect![
            "`--set severity`: the number `99999999999999999999` does not fit into 64 bits; quote it to keep it exactly, as text"
        ],
    );
    check_set(
        &["a={}", "a.b=1"],
        expect![[r#"{"a":{},"a.b":1,"l":[1],"severity":"high"}"#]],
    );
    check_set(
        &[&format!("severity={}", "x".repeat(256 * 1024))],
        expect!["with `--set` the context takes 262199 bytes as JSON; the limit is 256KiB"],
    );
}
