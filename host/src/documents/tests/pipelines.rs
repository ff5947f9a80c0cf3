use expect_test::expect;

use super::super::{Pipeline, read_bytes};
use super::{check, check_file};

const FULL: &str = r#"
# pipeline.yaml
name: supply-chain
resource: workspace            # the kind it carries
context: {severity: high}      # any JSON, read-only, reaches every driver
timeout: 30m                   # of the run; default 1h
steps:
  - id: sbom                   # default: the driver's name; unique
    driver: sbom
    with: {lockfiles: ["Cargo.lock"]}
    timeout: 2m                # of one attempt; default 10m
    queue_timeout: 5m          # waiting for a native driver; default 1h
    retry: {max_attempts: 3, backoff: 1s, factor: 2, max_backoff: 1m}
    on_lost: retry             # or fail
"#;

#[test]
fn what_the_specification_shows_is_read() {
    check(
        FULL,
        expect![[
            r#"{"name":"supply-chain","resource":"workspace","context":{"severity":"high"},"timeout":"30m","steps":[{"id":"sbom","driver":"sbom","with":{"lockfiles":["Cargo.lock"]},"timeout":"2m","queue_timeout":"5m","retry":{"max_attempts":3,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"}]}"#
        ]],
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    check(
        "{name: p, resource: app, steps: [{driver: a}]}",
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"}]}"#
        ]],
    );
    check(
        "{name: p, resource: app, steps: []}",
        expect![[r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[]}"#]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n  with:\n  retry:\n",
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"}]}"#
        ]],
    );
}

#[test]
fn conveyors_json_is_read_unchanged() {
    let json = r#"{"name":"p","description":"d","version":"1.0","resource":"app",
        "steps":[{"id":"s-1","name":"First step","driver":"a"},{"id":"","name":"","driver":"b"}],
        "metadata":{"region":"eu"}}"#;
    check_file(
        "p.json",
        json,
        expect![[
            r#"{"name":"p","resource":"app","context":{"region":"eu"},"timeout":"1h","steps":[{"id":"s-1","name":"First step","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"},{"id":"b","driver":"b","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"}],"description":"d","version":"1.0"}"#
        ]],
    );
    check(
        "{name: p, resource: app, steps: [], metadata: null, description: ''}",
        expect![[r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[]}"#]],
    );
    check(
        "{name: p, resource: app, steps: [], metadata: {a: 1}, context: {a: 2}}",
        expect![
            "f.yaml:1:37: `metadata` is Conveyor's word for `context`, and the two differ; keep `context`"
        ],
    );
}

#[test]
fn canonical_json_reads_back_as_the_same() {
    for yaml in [
        FULL,
        "{name: p, resource: app, steps: [{driver: a, retry: {factor: 1.5}}]}",
    ] {
        let pipeline = read_bytes("f.yaml", yaml.as_bytes())
            .unwrap()
            .pipelines
            .remove(0)
            .value;
        let json = serde_json::to_string(&pipeline).unwrap();
        assert_eq!(serde_json::from_str::<Pipeline>(&json).unwrap(), pipeline);
        let again = read_bytes("f.json", json.as_bytes())
            .unwrap()
            .pipelines
            .remove(0)
            .value;
        assert_eq!(again, pipeline);
    }
    let newer = r#"{"name":"p","resource":"a","context":{},"timeout":"1h","steps":[],"later":1}"#;
    assert!(
        serde_json::from_str::<Pipeline>(newer)
            .unwrap_err()
            .to_string()
            .contains("later")
    );
}

#[test]
fn keys_that_are_missing_or_have_no_value() {
    check(
        "steps: []",
        expect![[r#"
        f.yaml:1:1: a pipeline needs `name`
        f.yaml:1:1: a pipeline needs `resource`"#]],
    );
    check(
        "name:\nresource: app\nsteps: []",
        expect!["f.yaml:1:5: `name` has no value"],
    );
    check(
        "name: p\nresource: app\nsteps:",
        expect!["f.yaml:3:6: `steps` has no value"],
    );
    check(
        "name: p\nresource: app\nsteps:\n- id: x",
        expect!["f.yaml:4:3: a step needs `driver`"],
    );
}

#[test]
fn unknown_keys() {
    check(
        "name: p\nresource: app\ntimout: 3s\nsteps: []",
        expect!["f.yaml:3:1: unknown key `timout`; did you mean `timeout`?"],
    );
    check(
        "nmae: p\nresource: app\nsteps: []",
        expect!["f.yaml:1:1: unknown key `nmae`; did you mean `name`?"],
    );
    check(
        "name: p\nresource: app\nsteps: []\nfrobnicate: 1",
        expect![
            "f.yaml:4:1: unknown key `frobnicate`; a pipeline has `name`, `resource`, `context`, `timeout`, `steps`, `description` and `version`"
        ],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n  queueTimeout: 1s\n  onLost: fail",
        expect![[r#"
            f.yaml:5:3: unknown key `queueTimeout`; did you mean `queue_timeout`?
            f.yaml:6:3: unknown key `onLost`; did you mean `on_lost`?"#]],
    );
    // One cause, one line, however many steps have it.
    check(
        "name: p\nresource: app\nsteps:\n- drvier: a\n- drvier: b\n- drvier: c",
        expect!["f.yaml:4:3: unknown key `drvier`; did you mean `driver`? (and in 2 more places)"],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, retry: {attempts: 3}}\n- {driver: b, retry: {max_atempts: 3}}",
        expect![[r#"
            f.yaml:4:23: unknown key `attempts`; here it is `max_attempts`
            f.yaml:5:23: unknown key `max_atempts`; did you mean `max_attempts`?"#]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, needs: [b], uses: c, grants: {}}",
        expect![[r#"
            f.yaml:4:15: unknown key `needs`; steps run in the order in which they stand
            f.yaml:4:27: unknown key `uses`; here what a step runs is its `driver`
            f.yaml:4:36: unknown key `grants`; grants are the operator's, in `belt.yaml`"#]],
    );
}

#[test]
fn kubernetes_shape() {
    check(
        "apiVersion: v1\nkind: Pipeline\nmetadata:\n  name: p\nspec:\n  steps:\n  - driver: a\n",
        expect![[r#"
            f.yaml:1:1: unknown key `apiVersion`; documents here have no version of their form, leave it out
            f.yaml:2:1: unknown key `kind`; here the kind a pipeline carries is `resource`
            f.yaml:4:3: `metadata.name` is not read; here `name` stands at the top
            f.yaml:6:3: `spec.steps` is not read; here `steps` stands at the top"#]],
    );
    check(
        "apiVersion: v1\nkind: app\nmetadata: {name: p}\nsteps: []",
        expect![[r#"
            f.yaml:1:1: unknown key `apiVersion`; documents here have no version of their form, leave it out
            f.yaml:2:1: unknown key `kind`; here the kind a pipeline carries is `resource`
            f.yaml:3:12: `metadata.name` is not read; here `name` stands at the top"#]],
    );
}

#[test]
fn values_of_another_sort() {
    check(
        "name: 3\nresource: [app]\nsteps: {}",
        expect![[r#"
        f.yaml:1:7: text expected, found the number 3; quote it
        f.yaml:2:11: text expected, found a list
        f.yaml:3:8: a list expected, found a mapping"#]],
    );
    check(
        "name: p\nresource: app\nsteps: [a, 3, [b]]",
        expect![[r#"
        f.yaml:3:9: a step is a mapping of keys to values, found text
        f.yaml:3:12: a step is a mapping of keys to values, found the number 3
        f.yaml:3:15: a step is a mapping of keys to values, found a list"#]],
    );
    check(
        "name: p\nresource: app\ncontext: [1]\nversion: 1.0\ndescription: true\nsteps: []",
        expect![[r#"
            f.yaml:3:10: a mapping expected, found a list
            f.yaml:4:10: text expected, found the number 1.0; quote it
            f.yaml:5:14: text expected, found the boolean true; quote it"#]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, with: x, retry: 3, on_lost: skip}",
        expect![[r#"
            f.yaml:4:21: a mapping expected, found text
            f.yaml:4:31: `retry` is a mapping of keys to values, found the number 3
            f.yaml:4:43: `skip` is not one of `retry`, `fail`"#]],
    );
}

#[test]
fn durations() {
    check(
        "name: p\nresource: app\ntimeout: 30\nsteps: []",
        expect!["f.yaml:3:10: a duration has a unit: `30s`, `30m` or `30ms`"],
    );
    check(
        "name: p\nresource: app\ntimeout: 30 seconds\nsteps: []",
        expect![
            "f.yaml:3:10: `30 seconds` is no duration; write whole numbers with units, such as `30s`, `1h30m`, `500ms`"
        ],
    );
    check(
        "name: p\nresource: app\ntimeout: 366d\nsteps: []",
        expect!["f.yaml:3:10: `366d` is more than the limit of 365d"],
    );
    check(
        "name: p\nresource: app\ntimeout: 0s\nsteps: []",
        expect!["f.yaml:3:10: a timeout of nought lets nothing run; give it at least `1ms`"],
    );
    check(
        "name: p\nresource: app\ntimeout: [1s]\nsteps: []",
        expect!["f.yaml:3:10: a duration such as `30s` expected, found a list"],
    );
}

#[test]
fn retries() {
    let step = |retry: &str| {
        format!("name: p\nresource: app\nsteps:\n- driver: a\n  retry: {{{retry}}}\n")
    };
    check(
        &step("max_attempts: 0"),
        expect!["f.yaml:5:25: a whole number from 1 to 100 expected, found the number 0"],
    );
    check(
        &step("max_attempts: 101"),
        expect!["f.yaml:5:25: a whole number from 1 to 100 expected, found the number 101"],
    );
    check(
        &step("max_attempts: 1.5"),
        expect!["f.yaml:5:25: a whole number from 1 to 100 expected, found the number 1.5"],
    );
    check(
        &step("factor: 0.5"),
        expect!["f.yaml:5:19: a number from 1 to 10 expected, found the number 0.5"],
    );
    check(
        &step("factor: 11"),
        expect!["f.yaml:5:19: a number from 1 to 10 expected, found the number 11"],
    );
    check(
        &step("backoff: 2m, max_backoff: 1m"),
        expect![
            "f.yaml:5:10: `backoff` is longer than `max_backoff`; the first pause is the shortest"
        ],
    );
    check(
        &step("max_attempts: 100, backoff: 0s, factor: 1.5"),
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":100,"backoff":"0s","factor":1.5,"max_backoff":"1m"},"on_lost":"retry"}]}"#
        ]],
    );
    // Only one of the two given: the other's default gives way.
    check(
        &step("backoff: 2m"),
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"2m","factor":2,"max_backoff":"2m"},"on_lost":"retry"}]}"#
        ]],
    );
    check(
        &step("max_backoff: 500ms"),
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"500ms","factor":2,"max_backoff":"500ms"},"on_lost":"retry"}]}"#
        ]],
    );
}

#[test]
fn step_ids_are_unique() {
    check(
        "name: p\nresource: app\nsteps:\n- {id: x, driver: a}\n- {id: x, driver: b}\n",
        expect!["f.yaml:5:8: step id `x` is used twice, first at 4:8; give each its own"],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- driver: b\n- driver: a\n",
        expect![
            "f.yaml:6:11: a second step `a`, the first is at 4:11: a step without `id` is called after its driver; give this one an `id`"
        ],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- {driver: b, id: a}\n",
        expect!["f.yaml:5:19: step id `a` is used twice, first at 4:11; give each its own"],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- {driver: a, id: again}\n",
        expect![[
            r#"{"name":"p","resource":"app","context":{},"timeout":"1h","steps":[{"id":"a","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"},{"id":"again","driver":"a","with":{},"timeout":"10m","queue_timeout":"1h","retry":{"max_attempts":1,"backoff":"1s","factor":2,"max_backoff":"1m"},"on_lost":"retry"}]}"#
        ]],
    );
}

#[test]
fn names() {
    check(
        "name: ''\nresource: ''\nsteps: []",
        expect![[r#"
        f.yaml:1:7: pipeline name is empty; give it a name
        f.yaml:2:11: kind is empty; give it a name"#]],
    );
    check(
        "name: a b\nresource: a.b\nsteps: [{driver: 'x>y', id: ü}]",
        expect![[r#"
            f.yaml:1:7: pipeline name `a b` has a ' '; use letters, digits, `-`, `_` and `.`
            f.yaml:2:11: kind `a.b` has a '.'; use letters, digits, `-` and `_`
            f.yaml:3:18: driver name `x>y` has a '>'; use letters, digits, `-` and `_`
            f.yaml:3:29: step id `ü` has a 'ü'; use letters, digits, `-` and `_`"#]],
    );
    check(
        "name: ok.name-1_2\nresource: events\nsteps: [{driver: logs}]",
        expect![[r#"
            f.yaml:2:11: kind `events` is reserved for subjects of the broker; choose another
            f.yaml:3:18: driver name `logs` is reserved for subjects of the broker; choose another"#]],
    );
    let long = "a".repeat(254);
    check(
        &format!("name: {long}\nresource: {long}\nsteps: []"),
        expect![[r#"
            f.yaml:1:7: pipeline name has 254 characters; the limit is 253
            f.yaml:2:11: kind has 254 characters; the limit is 64"#]],
    );
}

#[test]
fn sizes_are_limited() {
    let big = "x".repeat(64 * 1024);
    check(
        &format!("name: p\nresource: app\nsteps: [{{driver: a, with: {{k: {big}}}}}]"),
        expect!["f.yaml:3:27: `with` takes 65544 bytes as JSON; the limit is 64KiB"],
    );
    let big = "x".repeat(256 * 1024);
    check(
        &format!("name: p\nresource: app\ncontext: {{k: {big}}}\nsteps: []"),
        expect!["f.yaml:3:10: context takes 262152 bytes as JSON; the limit is 256KiB"],
    );
    let note = "x".repeat(4097);
    check(
        &format!("name: p\nresource: app\nversion: {note}\nsteps: [{{driver: a, name: {note}}}]"),
        expect![
            "f.yaml:3:10: a text of 4097 bytes; the limit here is 4KiB (and in one more place)"
        ],
    );
    let steps: String = (0..1001)
        .map(|at| format!("- {{driver: d{at}}}\n"))
        .collect();
    check(
        &format!("name: p\nresource: app\nsteps:\n{steps}"),
        expect!["f.yaml:4:3: 1001 steps; the limit is 1000"],
    );
}
