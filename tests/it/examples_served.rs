//! Every example on a server, as its README has it: what it shows is accepted and begins, and goes to its end where the drivers
//! are wasm or `belt-exec`; others are built by the example itself, and are not there.

use crate::belt::{Bench, driver, root};
use crate::live::Live;
use crate::nats::server_file;
use crate::pages::{SHOWN, commands, shell};
use crate::up::Up;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The one command of a page that begins so.
fn shown(readme: &Path, begin: &str) -> String {
    let mut all = commands(readme)
        .into_iter()
        .filter(|command| command.starts_with(begin));
    let (first, second) = (all.next(), all.next());
    assert_eq!(second, None, "{}", readme.display());
    first.unwrap_or_else(|| panic!("{} shows no `{begin}`", readme.display()))
}

/// In the repository's root, where a nats-server is on the path.
fn command(bench: &Bench, script: &str) -> Command {
    let nats = server_file("current");
    let nats = nats.parent().unwrap().display();
    let script = format!("PATH=$PATH:{nats}; exec {script}");
    shell(&bench.path("state"), &script)
}

#[test]
fn every_example_is_accepted_by_a_server_as_its_readme_shows_it() {
    for name in ["sbom", "policy", "report", "files", "both-ways"] {
        driver(name);
    }
    let folders = fs::read_dir(root().join("examples")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        check(&folder);
    }
}

fn check(folder: &Path) {
    let readme = folder.join("README.md");
    let bench = Bench::new(&[]);
    let up = shown(&readme, "belt up ");
    let up = up.replace(" --state STATE", "");
    let up = format!("{up} --listen 127.0.0.1:0 --state $STATE");
    let up = Up::of(&bench, Live::start(command(&bench, &up)));
    let work = bench.path("work");
    let shown_too = |begin: &str| {
        let all = commands(&readme).into_iter();
        let mut some = all.filter(|command| command.starts_with(begin));
        some.next()
    };
    match shown_too("mkdir DIR") {
        Some(make) => {
            let make = make.replace("DIR", &work.display().to_string());
            let made = shell(&bench.path("state"), &make).status().unwrap();
            assert!(made.success(), "{}: {make}", readme.display());
        }
        None => fs::create_dir_all(&work).unwrap(),
    }
    let exec = shown_too("belt-exec ").map(|exec| {
        let exec = exec.replace("STATE", "$STATE");
        Live::start(command(&bench, &exec))
    });
    let run = shown(&readme, "belt run --server ").replace(SHOWN, &up.url());
    let run = run.replace("DIR", &work.display().to_string());
    let mut run = Live::start(command(&bench, &run));
    // It names the run that the server has made of it; one that is refused ends with the reason.
    run.until(" · ");
    let operator = fs::read_to_string(folder.join("belt.yaml")).unwrap();
    let is_absent = operator.contains("placement: native") && exec.is_none();
    if is_absent {
        // There is nobody to answer for them here: whoever waits for one has begun.
        up.until("/runs/latest", |run| run["status"] == "waiting");
        up.post("/runs/latest/cancel", &json!({"force": true}))
            .is(202);
    }
    let said = run.end();
    let code = if is_absent { 3 } else { 0 };
    assert_eq!(said.code, code, "{}: {said:?}", readme.display());
    assert_eq!(up.terminate().code, 0, "{}", readme.display());
}
