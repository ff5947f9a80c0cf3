//! Bad documents do no harm: they cost next to nothing, and the state stays as it was.

use crate::documents::bench;
use std::fmt::Write;
use std::process::{Command, Stdio};

/// The most that the answer to a bad document may take: seconds of CPU, and KiB of address space.
const WITHIN_LIMITS: &str = "ulimit -t 2; ulimit -v 524288; exec \"$0\" \"$@\"";

#[test]
fn documents_made_to_be_costly_are_answered_at_once() {
    let mut bomb =
        "name: line\nresource: app\nsteps: []\ncontext:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            .to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        writeln!(
            bomb,
            "  a{level}: &a{level} [{}]",
            [alias.as_str(); 10].join(",")
        )
        .unwrap();
    }
    let large = format!(
        "name: line\nresource: app\nsteps: []\ncontext:\n{}",
        "  - x\n".repeat((10 << 20) / 6)
    );
    let deep = format!(
        "name: line\nresource: app\nsteps: []\ncontext: {}",
        "[".repeat(1 << 20)
    );
    for (text, message) in [
        (
            bomb,
            "pipeline.yaml:10:12: the document grows beyond the limit of 250000 values here",
        ),
        (
            "x".repeat(10 << 20),
            "pipeline.yaml: 10485760 bytes; the limit for a file is 4MiB\n",
        ),
        (large, "bytes; the limit for a file is 4MiB\n"),
        (deep, "pipeline.yaml:4:"),
    ] {
        let bench = bench(&[("pipeline.yaml", &text)]);
        for verb in [&["run", "-r", "resource.yaml"][..], &["lint"]] {
            let belt = bench.command(&[]);
            let mut within = Command::new("sh");
            within.args(["-c", WITHIN_LIMITS]).arg(belt.get_program());
            within.args(verb).args(["-f", "pipeline.yaml"]);
            within.current_dir(bench.path("")).stdin(Stdio::null());
            let output = within.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains(message), "no `{message}` in {stderr}");
        }
    }
}

#[test]
fn a_refused_run_leaves_the_runs_before_it_as_they_were() {
    let bench = bench(&[]);
    assert_eq!(bench.run(&[]).code, 0);
    let before = bench.state();
    bench.write(
        "bad.yaml",
        "name: line\nresource: app\nsteps:\n  - driver: ecko\n",
    );
    bench.write("other.yaml", "name: thing\nresource: other\nspec: {}\n");
    for args in [
        &["-f", "bad.yaml", "-r", "resource.yaml"][..],
        &["-f", "pipeline.yaml", "-r", "other.yaml"],
        &[
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--set",
            "lost=1",
        ],
        &["-f", "pipeline.yaml", "-r", "resource.yaml", "--locked"],
        &["-f", "pipeline.yaml"],
    ] {
        let said = bench.belt(&[&["run"], args, &["--state", "state"]].concat());
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(bench.state() == before, "{args:?} has changed the state");
    }
}
