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
    ] {
        let said = run(&bench, &up, more);
        assert_eq!(said.code, 2, "{said:?}");
        let expected = format!("`{}` is for runs on this machine", more[0]);
        assert!(said.stderr.contains(&expected), "{said:?}");
    }
    up.get("/runs/latest").refused(404);
}
