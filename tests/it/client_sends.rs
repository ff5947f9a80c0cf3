//! What a client brings to a server: a workspace, of which nothing goes along that is ignored, and no grants.

use crate::belt::{Bench, Said, guest};
use crate::up::Up;
use serde_json::{Value, json};

/// A server whose driver `files` has these grants, and a client's folder with an operator's file of its own, which grants all.
fn bench(grants: &str) -> (Bench, Up) {
    let bench = Bench::new(&[]);
    let path = guest("files").display().to_string();
    let config = |grants| format!("drivers:\n  files: {{path: {path}, grants: {{{grants}}}}}\n");
    bench.write("belt.yaml", config(grants));
    bench.write("client/belt.yaml", config("workspace: rw, out: rw"));
    let steps = "steps:\n  - {id: s, driver: files, with: {do: [{list: /workspace}]}}\n";
    let pipeline = format!("name: line\nresource: app\n{steps}");
    bench.write("client/pipeline.yaml", pipeline);
    let resource = "name: thing\nresource: app\nspec: {}\n";
    bench.write("client/resource.yaml", resource);
    for name in ["kept", "secret", "built"] {
        bench.write(&format!("client/work/{name}"), name);
    }
    bench.write("client/work/.gitignore", "secret\n");
    bench.write("client/work/.beltignore", "built\n");
    let up = Up::start(&bench);
    up.ready("files");
    up.line("other", json!([{"driver": "files", "with": {"do": []}}]));
    (bench, up)
}

fn run(bench: &Bench, up: &Up, more: &[&str]) -> Said {
    let files = ["-f", "client/pipeline.yaml", "-r", "client/resource.yaml"];
    let url = up.url();
    let place = ["--workspace", "client/work", "--server", &url];
    bench.belt(&[&["run"], &files[..], &place, more].concat())
}

fn listed(up: &Up) -> Value {
    up.get("/runs/latest").is(200)["steps"][0]["output"][0]["ok"].clone()
}

#[test]
fn what_is_ignored_stays_here() {
    let (bench, up) = bench("workspace: ro");
    let said = run(&bench, &up, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(listed(&up), ".beltignore .gitignore kept");
}

#[test]
fn a_clients_own_operators_file_grants_nothing() {
    let (bench, up) = bench("");
    let said = run(&bench, &up, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(listed(&up), Value::Null);
}

#[test]
fn flags_for_this_machine_are_refused() {
    let (bench, up) = bench("");
    for more in [
        &["--config", "client/belt.yaml"][..],
        &["--out", "made"],
        &["--locked"],
        &["--nats", "nats://127.0.0.1:1"],
    ] {
        let said = run(&bench, &up, more);
        assert_eq!(said.code, 2, "{said:?}");
        let expected = format!("`{}` is for runs on this machine", more[0]);
        assert!(said.stderr.contains(&expected), "{said:?}");
    }
    up.get("/runs/latest").refused(404);
}

/// The variable is for whoever can use it, and may stand in a shell's profile.
#[test]
fn a_broker_is_refused_where_a_flag_names_it_and_passed_over_where_the_environment_does() {
    let (bench, up) = bench("workspace: ro");
    assert_eq!(run(&bench, &up, &[]).code, 0);
    let url = up.url();
    let files = ["-f", "client/pipeline.yaml", "-r", "client/resource.yaml"];
    let place = ["--workspace", "client/work"];
    for (verb, code) in [
        (&[&["run"], &files[..], &place].concat()[..], 0),
        (&["runs", "retry", "--from", "s"], 0),
        (&["runs", "rerun"], 0),
        (&["runs", "resume"], 0),
    ] {
        let flag = ["--server", &url, "--nats", "nats://127.0.0.1:1"];
        let said = bench.belt(&[verb, &flag].concat());
        assert_eq!(said.code, 2, "{said:?}");
        let expected = "`--nats` is for runs on this machine";
        assert!(said.stderr.contains(expected), "{said:?}");
        let mut command = bench.command(verb);
        command.env("BELT_NATS", "nats://127.0.0.1:1");
        command.env("BELT_SERVER", &url);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{verb:?}: {output:?}");
        command.args(["--nats", "nats://127.0.0.1:1"]);
        assert_eq!(command.output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn a_large_pipeline_is_applied() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let context = json!({"text": "x".repeat(250 << 10)});
    let with = json!({"text": "x".repeat(59 << 10)});
    let step = |nth: usize| json!({"id": format!("s{nth}"), "driver": "echo", "with": with});
    let steps: Vec<_> = (0..11).map(step).collect();
    let pipeline = json!({"name": "large", "resource": "app", "context": context, "steps": steps});
    let text = pipeline.to_string();
    assert!(text.len() > 896 << 10, "{}", text.len());
    bench.write("large.json", text);
    let said = bench.belt(&["apply", "-f", "large.json", "--server", &up.url()]);
    assert_eq!(said.code, 0, "{said:?}");
    let kept = up.get("/pipelines/large").is(200);
    assert_eq!((&kept["context"], &kept["metadata"]), (&context, &context));
    assert_eq!(kept["steps"].as_array().unwrap().len(), 11);
}
