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
    check(FULL, expect![[]]);
}

#[test]
fn what_is_left_out_has_its_default() {
    check(
        "{name: p, resource: app, steps: [{driver: a}]}",
        expect![[]],
    );
    check("{name: p, resource: app, steps: []}", expect![[]]);
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n  with:\n  retry:\n",
        expect![[]],
    );
}

#[test]
fn conveyors_json_is_read_unchanged() {
    let json = r#"{"name":"p","description":"d","version":"1.0","resource":"app",
        "steps":[{"id":"s-1","name":"First step","driver":"a"},{"id":"","name":"","driver":"b"}],
        "metadata":{"region":"eu"}}"#;
    check_file("p.json", json, expect![[]]);
    check(
        "{name: p, resource: app, steps: [], metadata: null, description: ''}",
        expect![[]],
    );
    check(
        "{name: p, resource: app, steps: [], metadata: {a: 1}, context: {a: 1}}",
        expect![[]],
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
    check("steps: []", expect![[]]);
    check("name:\nresource: app\nsteps: []", expect![[]]);
    check("name: p\nresource: app\nsteps:", expect![[]]);
    check("name: p\nresource: app\nsteps:\n- id: x", expect![[]]);
}

#[test]
fn unknown_keys() {
    check("name: p\nresource: app\ntimout: 3s\nsteps: []", expect![[]]);
    check("nmae: p\nresource: app\nsteps: []", expect![[]]);
    check(
        "name: p\nresource: app\nsteps: []\nfrobnicate: 1",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n  queueTimeout: 1s\n  onLost: fail",
        expect![[]],
    );
    // One cause, one line, however many steps have it.
    check(
        "name: p\nresource: app\nsteps:\n- drvier: a\n- drvier: b\n- drvier: c",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, retry: {attempts: 3}}\n- {driver: b, retry: {max_atempts: 3}}",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, needs: [b], uses: c, grants: {}}",
        expect![[]],
    );
}

#[test]
fn kubernetes_shape() {
    check(
        "apiVersion: v1\nkind: Pipeline\nmetadata:\n  name: p\nspec:\n  steps:\n  - driver: a\n",
        expect![[]],
    );
    check(
        "apiVersion: v1\nkind: app\nmetadata: {name: p}\nsteps: []",
        expect![[]],
    );
}

#[test]
fn values_of_another_sort() {
    check("name: 3\nresource: [app]\nsteps: {}", expect![[]]);
    check("name: p\nresource: app\nsteps: [a, 3, [b]]", expect![[]]);
    check(
        "name: p\nresource: app\ncontext: [1]\nversion: 1.0\ndescription: true\nsteps: []",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- {driver: a, with: x, retry: 3, on_lost: skip}",
        expect![[]],
    );
}

#[test]
fn durations() {
    check(
        "name: p\nresource: app\ntimeout: 30\nsteps: []",
        expect![[]],
    );
    check(
        "name: p\nresource: app\ntimeout: 30 seconds\nsteps: []",
        expect![[]],
    );
    check(
        "name: p\nresource: app\ntimeout: 366d\nsteps: []",
        expect![[]],
    );
    check(
        "name: p\nresource: app\ntimeout: 0s\nsteps: []",
        expect![[]],
    );
    check(
        "name: p\nresource: app\ntimeout: [1s]\nsteps: []",
        expect![[]],
    );
}

#[test]
fn retries() {
    let step = |retry: &str| {
        format!("name: p\nresource: app\nsteps:\n- driver: a\n  retry: {{{retry}}}\n")
    };
    check(&step("max_attempts: 0"), expect![[]]);
    check(&step("max_attempts: 101"), expect![[]]);
    check(&step("max_attempts: 1.5"), expect![[]]);
    check(&step("factor: 0.5"), expect![[]]);
    check(&step("factor: 11"), expect![[]]);
    check(&step("backoff: 2m, max_backoff: 1m"), expect![[]]);
    check(
        &step("max_attempts: 100, backoff: 0s, factor: 1.5"),
        expect![[]],
    );
    // Only one of the two given: the other's default gives way.
    check(&step("backoff: 2m"), expect![[]]);
    check(&step("max_backoff: 500ms"), expect![[]]);
}

#[test]
fn step_ids_are_unique() {
    check(
        "name: p\nresource: app\nsteps:\n- {id: x, driver: a}\n- {id: x, driver: b}\n",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- driver: b\n- driver: a\n",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- {driver: b, id: a}\n",
        expect![[]],
    );
    check(
        "name: p\nresource: app\nsteps:\n- driver: a\n- {driver: a, id: again}\n",
        expect![[]],
    );
}

#[test]
fn names() {
    check("name: ''\nresource: ''\nsteps: []", expect![[]]);
    check(
        "name: a b\nresource: a.b\nsteps: [{driver: 'x>y', id: ü}]",
        expect![[]],
    );
    check(
        "name: ok.name-1_2\nresource: events\nsteps: [{driver: logs}]",
        expect![[]],
    );
    let long = "a".repeat(254);
    check(
        &format!("name: {long}\nresource: {long}\nsteps: []"),
        expect![[]],
    );
}

#[test]
fn sizes_are_limited() {
    let big = "x".repeat(64 * 1024);
    check(
        &format!("name: p\nresource: app\nsteps: [{{driver: a, with: {{k: {big}}}}}]"),
        expect![[]],
    );
    let big = "x".repeat(256 * 1024);
    check(
        &format!("name: p\nresource: app\ncontext: {{k: {big}}}\nsteps: []"),
        expect![[]],
    );
    let steps: String = (0..1001)
        .map(|at| format!("- {{driver: d{at}}}\n"))
        .collect();
    check(
        &format!("name: p\nresource: app\nsteps:\n{steps}"),
        expect![[]],
    );
}
