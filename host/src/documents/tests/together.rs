use expect_test::{Expect, expect};

use super::super::{Documents, check_run, lint, read_bytes};
use super::in_time;

/// Reads files given as `# file: NAME` and their lines, as one set.
fn read(files: &str) -> Documents {
    let mut all = Documents::default();
    for part in files.split("# file: ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap();
        let one = read_bytes(name.trim(), text.as_bytes()).unwrap();
        all.pipelines.extend(one.pipelines);
        all.resources.extend(one.resources);
        all.definitions.extend(one.definitions);
        all.configs.extend(one.configs);
    }
    all
}

fn check_lint(files: &str, expected: Expect) {
    expected.assert_eq(&lint(&read(files)).to_string());
}

fn check_one_run(files: &str, expected: Expect) {
    let all = read(files);
    let (definition, config) = (all.definitions.first(), all.configs.first());
    let mistakes = check_run(&all.pipelines[0], &all.resources[0], definition, config);
    expected.assert_eq(&mistakes.to_string());
}

const PIPELINE: &str = "# file: pipeline.yaml
name: p
resource: app
steps:
- driver: sbom
";

#[test]
fn what_fits_is_fine() {
    let all = "# file: resource.yaml
name: r
resource: app
pipeline: p
spec: {replicas: 3}
# file: definition.yaml
name: app
schema: {type: object, properties: {replicas: {type: integer}}}
# file: belt.yaml
drivers: {sbom: {path: sbom.wasm}}
";
    check_lint(&format!("{PIPELINE}{all}"), expect![[""]]);
    check_one_run(&format!("{PIPELINE}{all}"), expect![[""]]);
}

#[test]
fn a_resource_of_another_kind_or_pipeline() {
    let resource = "# file: resource.yaml\nname: r\nresource: service\npipeline: p\nspec: {}\n";
    check_one_run(
        &format!("{PIPELINE}{resource}"),
        expect![
            "resource.yaml:2:11: the resource is of kind `service`, but pipeline `p` carries `app` (pipeline.yaml:2:11)"
        ],
    );
    check_lint(
        &format!("{PIPELINE}{resource}"),
        expect![
            "resource.yaml:2:11: the resource is of kind `service`, but pipeline `p` carries `app` (pipeline.yaml:2:11)"
        ],
    );
    let resource = "# file: resource.yaml\nname: r\nresource: app\npipeline: q\nspec: {}\n";
    check_one_run(
        &format!("{PIPELINE}{resource}"),
        expect![
            "resource.yaml:3:11: the resource names pipeline `q`, but this one is `p` (pipeline.yaml:1:7); give the other, or take `pipeline` out"
        ],
    );
    check_lint(
        &format!("{PIPELINE}{resource}"),
        expect!["resource.yaml:3:11: pipeline `q` is in none of these files; did you mean `p`?"],
    );
    // Alone, its pipeline may be on a server.
    check_lint(resource, expect![[""]]);
    let resource = "# file: resource.yaml\nname: r\nresource: other\nspec: {}\n";
    check_one_run(
        &format!("{PIPELINE}{resource}"),
        expect![
            "resource.yaml:2:11: the resource is of kind `other`, but pipeline `p` carries `app` (pipeline.yaml:2:11)"
        ],
    );
    check_lint(&format!("{PIPELINE}{resource}"), expect![[""]]);
}

#[test]
fn drivers_that_the_configuration_lacks() {
    let config = |drivers: &str| {
        format!(
            "# file: x/pipeline.yaml\nname: p\nresource: app\nsteps:\n- {{id: first, driver: sbmo}}\n- driver: policy\n- {{id: again, driver: sbmo}}\n- driver: frob\n# file: x/belt.yaml\ndrivers: {{{drivers}}}\n"
        )
    };
    check_lint(
        &config("sbom: {path: a}, policy: {path: b}"),
        expect![[r#"
        x/pipeline.yaml:4:23: steps `first` and `again` name driver `sbmo`, which x/belt.yaml does not have; did you mean `sbom`?
        x/pipeline.yaml:7:11: step `frob` names driver `frob`, which x/belt.yaml does not have; it has `policy` and `sbom`"#]],
    );
    check_lint(
        &config(""),
        expect![[r#"
        x/pipeline.yaml:4:23: steps `first` and `again` name driver `sbmo`, which x/belt.yaml does not have; it has none
        x/pipeline.yaml:5:11: step `policy` names driver `policy`, which x/belt.yaml does not have; it has none
        x/pipeline.yaml:7:11: step `frob` names driver `frob`, which x/belt.yaml does not have; it has none"#]],
    );
    let many: Vec<_> = (0..20)
        .map(|at| format!("driver-{at}: {{path: a}}"))
        .collect();
    check_lint(
        &config(&many.join(", ")),
        expect![[r#"
        x/pipeline.yaml:4:23: steps `first` and `again` name driver `sbmo`, which x/belt.yaml does not have; it has `driver-0`, `driver-1`, `driver-10`, `driver-11`, `driver-12`, `driver-13`, `driver-14` and `driver-15` and 12 more
        x/pipeline.yaml:5:11: step `policy` names driver `policy`, which x/belt.yaml does not have; it has `driver-0`, `driver-1`, `driver-10`, `driver-11`, `driver-12`, `driver-13`, `driver-14` and `driver-15` and 12 more
        x/pipeline.yaml:7:11: step `frob` names driver `frob`, which x/belt.yaml does not have; it has `driver-0`, `driver-1`, `driver-10`, `driver-11`, `driver-12`, `driver-13`, `driver-14` and `driver-15` and 12 more"#]],
    );
}

#[test]
fn each_pipeline_has_the_configuration_beside_it() {
    let pipeline = |folder: &str, driver: &str| {
        format!(
            "# file: {folder}/p.yaml\nname: {folder}\nresource: app\nsteps: [{{driver: {driver}}}]\n"
        )
    };
    let config = |folder: &str, driver: &str| {
        format!("# file: {folder}/belt.yaml\ndrivers: {{{driver}: {{path: x}}}}\n")
    };
    let files =
        pipeline("a", "one") + &pipeline("b", "one") + &config("a", "one") + &config("b", "two");
    check_lint(
        &files,
        expect![
            "b/p.yaml:3:18: step `one` names driver `one`, which b/belt.yaml does not have; it has `two`"
        ],
    );
    // None is beside it, and which of two is meant cannot be known.
    let files = pipeline("c", "three") + &config("a", "one") + &config("b", "two");
    check_lint(&files, expect![[""]]);
    check_lint(
        &(pipeline("c", "three") + &config("a", "one")),
        expect![
            "c/p.yaml:3:18: step `three` names driver `three`, which a/belt.yaml does not have; it has `one`"
        ],
    );
}

#[test]
fn names_given_twice() {
    check_lint(
        "# file: a.yaml\nname: p\nresource: app\nsteps: []\n---\nname: p\nresource: app\nsteps: []\n# file: b.yaml\nname: p\nresource: x\nspec: 1\n---\nname: p\nresource: x\nspec: 1\n---\nname: p\nresource: y\nspec: 1\n# file: c.yaml\nname: x\nschema: {}\n---\nname: x\nschema: {}\n---\ndrivers: {}\n# file: d.yaml\ndrivers: {}\n",
        expect![[r#"
            a.yaml:5:7: a second pipeline `p`, the first is at a.yaml:1:7; rename one
            b.yaml:5:7: a second resource `p` of kind `x`, the first is at b.yaml:1:7; rename one
            c.yaml:4:7: a second definition `x`, the first is at c.yaml:1:7; rename one
            d.yaml:1:10: a second configuration in one folder, the first is at c.yaml:7:10; keep one"#]],
    );
}

fn against(schema: &str, spec: &str) -> String {
    format!(
        "# file: r.yaml\nname: r\nresource: app\nspec: {spec}\n# file: d.yaml\nname: app\nschema: {schema}\n"
    )
}

#[test]
fn a_resource_that_breaks_its_schema() {
    let schema = "{type: object, required: [replicas], additionalProperties: false, properties: {replicas: {type: integer, minimum: 1}, ports: {type: array, items: {type: object, properties: {name: {type: string, maxLength: 5}}}}}}";
    check_lint(
        &against(schema, "{replicas: 3, ports: [{name: http}]}"),
        expect![[""]],
    );
    check_lint(
        &against(schema, "{replicas: many}"),
        expect![[r#"r.yaml:3:18: `spec.replicas`: "many" is not of type "integer""#]],
    );
    check_lint(
        &against(schema, "{ports: [{name: http}, {name: management}]}"),
        expect![[r#"
            r.yaml:3:7: `spec`: "replicas" is a required property
            r.yaml:3:37: `spec.ports[1].name`: "management" is longer than 5 characters"#]],
    );
    check_lint(
        &against(schema, "{replcas: 3, frob: 1, replicas: 0}"),
        expect![[r#"
            r.yaml:3:8: unknown key `replcas` in `spec`; did you mean `replicas`?
            r.yaml:3:20: unknown key `frob` in `spec`
            r.yaml:3:39: `spec.replicas`: 0 is less than the minimum of 1"#]],
    );
    // One cause, one line.
    check_lint(
        &against(schema, "{replcas: 3}"),
        expect!["r.yaml:3:8: unknown key `replcas` in `spec`; did you mean `replicas`?"],
    );
    check_lint(
        &against(schema, "\n- a\n- b"),
        expect![[r#"r.yaml:4:3: `spec`: ["a","b"] is not of type "object""#]],
    );
    let long = format!("{{replicas: {}}}", "x".repeat(1000));
    check_lint(
        &against(schema, &long),
        expect![[r#"r.yaml:3:18: `spec.replicas`: the value is not of type "integer""#]],
    );
    check_lint(
        &against("{properties: {'a/b~c': {type: string}}}", "{a/b~c: 1}"),
        expect![[r#"r.yaml:3:15: `spec.a/b~c`: 1 is not of type "string""#]],
    );
    check_lint(
        &against("{enum: [a, b]}", "c"),
        expect![[r#"r.yaml:3:7: `spec`: "c" is not one of "a" or "b""#]],
    );
    check_lint(
        &against("{anyOf: [{type: string}, {type: integer}]}", "[]"),
        expect![
            "r.yaml:3:7: `spec`: [] is not valid under any of the schemas listed in the 'anyOf' keyword"
        ],
    );
    check_lint(
        &against("false", "1"),
        expect!["r.yaml:3:7: `spec`: False schema does not allow 1"],
    );
    check_lint(
        &against(
            "{$ref: '#/$defs/a', $defs: {a: {additionalProperties: false, properties: {abc: true}}}}",
            "{abd: 1}",
        ),
        expect!["r.yaml:3:8: unknown key `abd` in `spec`; did you mean `abc`?"],
    );
}

#[test]
fn a_schema_that_is_none() {
    check_lint(
        &against("{type: objec}", "1"),
        expect![[
            r#"d.yaml:2:16: `schema.type` is not valid JSON Schema: "objec" is not valid under any of the schemas listed in the 'anyOf' keyword"#
        ]],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {properties: [a]}\n",
        expect![[
            r#"d.yaml:2:22: `schema.properties` is not valid JSON Schema: ["a"] is not of type "object""#
        ]],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {$ref: 'http://example.com/schema.json'}\n",
        expect![
            "d.yaml:2:9: `schema` is not valid JSON Schema: `$ref` leads out of it, to `http://example.com/schema.json`; put what it names under `$defs`"
        ],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {$ref: 'file:///etc/passwd'}\n",
        expect![
            "d.yaml:2:9: `schema` is not valid JSON Schema: `$ref` leads out of it, to `file:///etc/passwd`; put what it names under `$defs`"
        ],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {$ref: '#/nowhere'}\n",
        expect!["d.yaml:2:9: `schema` is not valid JSON Schema: Pointer '/nowhere' does not exist"],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {pattern: '('}\n",
        expect![[
            r#"d.yaml:2:19: `schema.pattern` is not valid JSON Schema: "(" is not a "regex""#
        ]],
    );
    check_lint(
        "# file: d.yaml\nname: app\nschema: {$schema: 'urn:other'}\n",
        expect![
            "d.yaml:2:9: `schema` is not valid JSON Schema: Unknown meta-schema: 'urn:other'. Custom meta-schemas must be registered in the registry before use"
        ],
    );
}

#[test]
fn a_schema_that_would_take_for_ever() {
    check_lint(&against("{$ref: '#'}", "1"), expect![[""]]);
    check_lint(
        &against(
            "{$ref: '#/$defs/a', $defs: {a: {$ref: '#/$defs/b'}, b: {$ref: '#/$defs/a'}}}",
            "1",
        ),
        expect![[""]],
    );
    check_lint(&against("{allOf: [{$ref: '#'}]}", "1"), expect![[""]]);
    check_lint(
        &against("{pattern: '^(?=a)(a+)+$'}", &format!("{}b", "a".repeat(60))),
        expect![[r#"r.yaml:3:7: `spec`: the value does not match "^(?=a)(a+)+$""#]],
    );
    check_lint(
        &against("{pattern: '((a{0,1000}){0,1000}){0,1000}'}", "a"),
        expect![[""]],
    );
    check_lint(
        &against(
            "{properties: {a: {$ref: '#'}}, type: object}",
            "{a: {a: {a: 1}}}",
        ),
        expect![[r#"r.yaml:3:19: `spec.a.a.a`: 1 is not of type "object""#]],
    );
}

#[test]
fn many_unknown_names_are_answered_in_time() {
    let keys: Vec<_> = (0..60_000).map(|at| format!("k{at}: 1")).collect();
    let wide = format!("{{name: p, resource: app, steps: [], {}}}", keys.join(", "));
    let mistakes = in_time(move || read_bytes("f.yaml", wide.as_bytes()).unwrap_err());
    assert_eq!(mistakes.iter().count(), 60_000);

    let listed = |prefix: &str, suffix: &str, count: usize| -> String {
        let name = |at: usize| format!("{at:05}{}{suffix}", prefix.repeat(59));
        (0..count).map(name).collect()
    };
    let (keys, known) = (listed("b", ": 1, ", 3000), listed("a", ": true, ", 3000));
    let schema = format!("{{additionalProperties: false, properties: {{{known}}}}}");
    let files = against(&schema, &format!("{{{keys}}}"));
    assert_eq!(in_time(move || lint(&read(&files))).iter().count(), 100);
}

#[test]
fn many_unknown_drivers_are_answered_in_time() {
    let name = |prefix: &str, at: usize| format!("{at:04}{}", prefix.repeat(60));
    let steps: String = (0..1000)
        .map(|at| format!("- driver: {}\n", name("a", at)))
        .collect();
    let drivers: String = (0..1000)
        .map(|at| format!("  {}: {{path: x}}\n", name("b", at)))
        .collect();
    let files =
        format!("# file: p.yaml\nname: p\nresource: app\nsteps:\n{steps}---\ndrivers:\n{drivers}");
    assert_eq!(in_time(move || lint(&read(&files))).iter().count(), 1000);
}
