//! `examples/drift` as its README has it: what is changed by hand in a run's workspace is mended by a run that begins by
//! itself, also where the host, or the run that asked for it, is gone meanwhile.

use crate::belt::{Bench, driver, root};
use crate::up::Up;
use beltline::clock;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MOTD: &str = "This file is kept by Beltline.\n";

/// The example's files, looked at again so soon, with more of the operator's.
fn example(again: Duration, more: &str) -> Bench {
    let bench = Bench::new(&[]);
    let of = |name: &str| fs::read_to_string(root().join("examples/drift").join(name)).unwrap();
    let ms = format!("every_ms: {}", again.as_millis());
    let pipeline = of("pipeline.yaml").replace("every_ms: 2000", &ms);
    assert!(pipeline.contains(&ms), "{pipeline}");
    bench.write("pipeline.yaml", pipeline);
    for name in ["definition.json", "resource.yaml", "site/other.txt"] {
        bench.write(name, of(name));
    }
    configure(&bench, more);
    bench
}

fn configure(bench: &Bench, more: &str) {
    let path = driver("files");
    let files = format!(
        "files: {{path: {}, grants: {{workspace: rw}}}}",
        path.display()
    );
    bench.write("belt.yaml", format!("{more}\ndrivers: {{{files}}}\n"));
}

/// The first run, which writes both files into its own copy of the workspace.
fn first(bench: &Bench, up: &Up) -> Value {
    let server = format!("http://{}", up.address);
    let files = [
        "-f",
        "pipeline.yaml",
        "-f",
        "definition.json",
        "-r",
        "resource.yaml",
    ];
    let place = ["--workspace", "site", "--server", &server, "-o", "json"];
    let said = bench.belt(&[&["run"], &files[..], &place].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let run = said.json();
    assert_eq!(run["steps"][0]["message"], "2 files mended");
    assert_eq!(
        fs::read_to_string(workspace(&run).join("motd")).unwrap(),
        MOTD
    );
    run
}

fn workspace(run: &Value) -> PathBuf {
    Path::new(run["workspace"].as_str().unwrap()).to_owned()
}

/// Waits for the run that mended one file, and looks at what it did.
fn mended(up: &Up, first: &Value) -> Value {
    let is_it = |run: &Value| run["steps"][0]["message"] == "1 file mended";
    let page = up.until("/runs?kind=site&resource=home", |page| {
        page["runs"].as_array().unwrap().iter().any(is_it)
    });
    let run = page["runs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|run| is_it(run));
    let run = up.succeeded(run.unwrap()["run"].as_str().unwrap());
    assert_eq!(run["event"], "resync");
    assert_eq!(run["steps"][0]["output"], json!({"mended": ["motd"]}));
    assert_eq!(run["workspace"], first["workspace"]);
    let folder = workspace(first);
    assert_eq!(fs::read_to_string(folder.join("motd")).unwrap(), MOTD);
    assert_eq!(
        fs::read_to_string(folder.join("etc/app.conf")).unwrap(),
        "port = 8080\n"
    );
    assert!(folder.join("other.txt").is_file());
    run
}

fn change(run: &Value) {
    let motd = workspace(run).join("motd");
    assert!(motd.is_file());
    fs::write(motd, "changed\n").unwrap();
}

#[test]
fn what_is_changed_by_hand_is_mended_by_a_resync() {
    let bench = example(Duration::from_millis(200), "");
    let up = Up::start(&bench);
    let run = first(&bench, &up);
    change(&run);
    mended(&up, &run);
}

#[test]
fn what_is_changed_while_the_host_is_dead_is_mended_when_it_is_back() {
    let bench = example(Duration::from_millis(200), "");
    let up = Up::start(&bench);
    let run = first(&bench, &up);
    up.kill();
    change(&run);
    let up = Up::start(&bench);
    mended(&up, &run);
}

/// A run that is past retention stays while what it asked for is due, and so does its workspace.
#[test]
fn the_run_that_asked_and_its_workspace_stay_until_they_are_looked_at_again() {
    // A busy machine may take longer to sweep than the first of these.
    let all = [2, 4, 8, 16, 32].map(Duration::from_secs);
    assert!(all.into_iter().any(is_kept), "a sweep takes too long");
}

/// Says whether the sweep came before the resync.
fn is_kept(again: Duration) -> bool {
    let bench = example(again, "");
    let up = Up::start(&bench);
    let asked = first(&bench, &up);
    // Two more, of which one goes and one is the latest.
    let ended = ["one", "two"].map(|name| other(&bench, &up, name));
    up.kill();
    for run in [&asked, &ended[0], &ended[1]] {
        age(&workspace(run));
    }
    change(&asked);
    configure(&bench, "retention: {count: 1}");
    let up = Up::start(&bench);
    let swept = format!("/runs/{}", ended[0]["run"].as_str().unwrap());
    up.until(&swept, |found| found["status"] == 404);
    up.until("/health", |_| !workspace(&ended[0]).exists());
    let page = up.get("/runs?kind=site&resource=home").is(200);
    let is_first = page["runs"].as_array().unwrap().len() == 1;
    if is_first {
        assert_eq!(page["runs"][0]["run"], asked["run"]);
    }
    assert!(workspace(&asked).is_dir());
    mended(&up, &asked);
    is_first
}

/// A run with a workspace that asks for nothing.
fn other(bench: &Bench, up: &Up, name: &str) -> Value {
    let pipeline = "name: once\nresource: site\nsteps: [{driver: files}]\n";
    bench.write("once.yaml", pipeline);
    bench.write(
        "other.yaml",
        format!("name: {name}\nresource: site\nspec: {{files: {{}}}}\n"),
    );
    let server = format!("http://{}", up.address);
    let files = ["run", "-f", "once.yaml", "-r", "other.yaml"];
    let place = ["--workspace", "site", "--server", &server, "-o", "json"];
    let said = bench.belt(&[&files[..], &place].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.json()
}

/// Makes a folder old, for the sweep leaves alone what is fresh.
fn age(folder: &Path) {
    let folder = fs::File::open(folder).unwrap();
    folder.set_modified(clock::system_time(1_000)).unwrap();
}
