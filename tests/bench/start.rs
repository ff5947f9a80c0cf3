//! The command from nothing.

use super::material::{guest, root};
use super::rounds::{Effort, medians};
use super::table::{Goal, Table};
use beltline::clock;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub fn measure(effort: Effort, table: &mut Table) {
    let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text)
            .expect("a temporary folder can be written to");
    };
    let say = root().join("target/guests/say.wasm");
    drop(guest("say"));
    write(
        "belt.yaml",
        &format!("drivers: {{say: {{path: {}}}}}", say.display()),
    );
    write(
        "some.yaml",
        "{name: line, resource: app, steps: [{driver: say}]}",
    );
    write("none.yaml", "{name: line, resource: app, steps: []}");
    write("resource.yaml", "{name: thing, resource: app, spec: {}}");
    let [some, none, nothing] = medians(
        effort,
        [
            Box::new(|| first_line(folder.path(), "some.yaml")),
            Box::new(|| {
                whole(
                    folder.path(),
                    &["run", "-f", "none.yaml", "-r", "resource.yaml"],
                )
            }),
            Box::new(|| whole(folder.path(), &["--version"])),
        ],
    );
    table.figure("`belt --version`", nothing / 1e3, "ms");
    table.figure("`belt run` of no steps", none / 1e3, "ms");
    table.bound(
        "`belt run` of a cached driver, to its first log line",
        some / 1e3,
        "ms",
        Goal::AtMost(50.0),
    );
}

fn belt(folder: &Path) -> Command {
    let mut command = Command::new(root().join("target/debug/belt"));
    command.current_dir(folder).env("XDG_CACHE_HOME", folder);
    command
}

fn whole(folder: &Path, arguments: &[&str]) -> Duration {
    let before = clock::monotonic();
    let said = belt(folder)
        .args(arguments)
        .output()
        .expect("belt is built");
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    clock::monotonic().saturating_sub(before)
}

fn first_line(folder: &Path, pipeline: &str) -> Duration {
    let before = clock::monotonic();
    let mut command = belt(folder);
    command.args(["run", "-f", pipeline, "-r", "resource.yaml"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belt is built");
    let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut first = None;
    for line in stderr.lines() {
        if line.expect("it is text").contains('│') && first.is_none() {
            first = Some(clock::monotonic().saturating_sub(before));
        }
    }
    assert!(child.wait().expect("it is ours").success());
    first.expect("the guest says something")
}
