//! What a person at a terminal sees. `script` gives `belt` one.

use crate::belt::Bench;
use std::process::Command;

/// `belt run` on a pseudo-terminal, with this environment.
fn shown(bench: &Bench, environment: &str) -> String {
    let belt = env!("CARGO_BIN_EXE_belt");
    let line = format!("{environment} {belt} run -f pipeline.yaml -r resource.yaml --state state");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .current_dir(bench.path(""))
        .output()
        .expect("`script` of util-linux is there");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn has_colour(text: &str) -> bool {
    // Cursor movements end in other letters; colours end in `m`.
    let codes = text.split("\u{1b}[").skip(1);
    codes
        .filter_map(|code| {
            code.find(|c: char| c.is_ascii_alphabetic())
                .map(|end| code[end..].starts_with('m'))
        })
        .any(|is| is)
}

#[test]
fn steps_have_lines_of_their_own_below_the_title() {
    let bench = Bench::with_steps(
        &["echo"],
        &["{id: first, driver: echo}", "{id: second, driver: echo}"],
    );
    let text = shown(&bench, "");
    let title = text.find("· line · app thing").expect("the title is there");
    let step = text.find("second").expect("the steps are there");
    assert!(title < step, "{text}");
    assert!(text.contains("STEP") && has_colour(&text), "{text}");
}

#[test]
fn no_color_is_honoured() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let text = shown(&bench, "NO_COLOR=1");
    assert!(text.contains("succeeded") && !has_colour(&text), "{text:?}");
}

#[test]
fn nobody_who_listens_is_no_reason_to_stop() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let run = [
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        "resource.yaml",
        "--state",
        "state",
    ];
    let output = bench.command(&run).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("succeeded")
    );
}
