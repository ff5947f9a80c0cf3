//! The commands that the README and the pages of the server show are run, one after the other, as they stand there.

use crate::belt::root;
use crate::live::Live;
use std::fs;
use std::path::Path;
use std::process::Command;

pub const SHOWN: &str = "http://127.0.0.1:8080";

/// The commands of a page's console blocks, without what is said beside them and that they go on in the background; a line
/// that ends in `\` goes on.
pub fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().replace("\\\n", " "));
    let lines = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    let commands = lines.filter_map(|line| line.strip_prefix("$ ").map(bare));
    commands.collect()
}

fn bare(command: &str) -> String {
    let command = command.split(" #").next().unwrap().trim();
    command.trim_end_matches('&').trim_end().to_owned()
}

/// A shell in the repository's root, with `belt` on its path and a state of its own.
pub fn shell(state: &Path, script: &str) -> Command {
    let belt = Path::new(env!("CARGO_BIN_EXE_belt")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(root())
        .env("PATH", format!("{}:{path}", belt.display()))
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("STATE", state);
    command
}

#[test]
fn the_commands_of_the_servers_pages_run_as_they_are_shown() {
    for page in ["README.md", "docs/server.md", "examples/drift/README.md"] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut up: Option<Live> = None;
        let mut address = String::new();
        for command in commands(&root().join(page)) {
            // It builds what this is a test of.
            if command.starts_with("make ") {
                continue;
            }
            if command.starts_with("belt up") {
                let script = format!("exec {command} --listen 127.0.0.1:0 --state $STATE");
                let mut live = Live::start(shell(&state, &script));
                let line = live.until("is up at ");
                let parts: Vec<_> = line.split("is up at ").collect();
                address = parts[1].split(';').next().unwrap().to_owned();
                up = Some(live);
                continue;
            }
            let script = command
                .replace(SHOWN, &address)
                .replace(".belt/", "$STATE/");
            // A page shows what is to be seen in its state; here that is elsewhere.
            let script = match script.starts_with("belt run") && !script.contains("--server") {
                true => format!("{script} --state $STATE"),
                false => script,
            };
            let script = script.replace("curl -s", "curl -s --fail-with-body");
            let done = shell(&state, &script).output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout).into_owned()
                + &String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{page}: {command}\n{said}");
        }
        let up = up.unwrap_or_else(|| panic!("{page} starts no server"));
        up.terminate();
        assert_eq!(up.end().code, 0);
    }
}

/// zsh takes a bare `?` for a file's name, and ends with an error where there is none.
#[test]
fn an_address_with_a_query_is_quoted() {
    let mut count = 0;
    for page in ["README.md", "docs/server.md"] {
        for command in commands(&root().join(page)) {
            let addresses = command.split(' ').filter(|word| word.contains("://"));
            for address in addresses.filter(|address| address.contains('?')) {
                let is_quoted = address.starts_with('\'') && address.ends_with('\'');
                assert!(is_quoted, "{page}: {command}");
                count += 1;
            }
        }
    }
    assert!(count > 1, "no page shows a query");
}
