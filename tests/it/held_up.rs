//! A run whose thread a guest's file call holds up: a file in the workspace on which somebody else has a lease, so
//! that the system lets nobody open it for the next 45 seconds.

use crate::belt::Bench;
use crate::live::Live;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Holds the lease until it is dropped.
struct Lease(Child);

impl Lease {
    /// On a file that is made. Perl is on every Debian; the standard library has no word for leases.
    fn on(path: &Path) -> Lease {
        const HOLD: &str = r#"
            open(FILE, "+<", $ARGV[0]) or die "open: $!";
            $SIG{IO} = "IGNORE";
            fcntl(FILE, 1024, 1) or die "lease: $!";
            $| = 1; print "held\n"; sleep 600;
        "#;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "nobody reads this").unwrap();
        let mut holder = Command::new("perl");
        holder.args(["-e", HOLD]).arg(path).stdout(Stdio::piped());
        let mut holder = holder
            .spawn()
            .expect("perl is needed (apt install perl-base)");
        let mut said = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Lease(holder)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const READ: &str = "do: [{read: /workspace/leased}]";

#[test]
fn a_file_call_that_never_returns_ends_the_process_and_at_last_the_attempt() {
    let step = format!("{{driver: files, timeout: 200ms, with: {{{READ}}}}}");
    let bench = Bench::with_steps(&["files", "echo"], &[&step, "{driver: echo}"]);
    let _lease = Lease::on(&bench.path("work/leased"));
    let resume = ["runs", "resume", "--state", "state"];
    for said in [bench.run(&[]), bench.belt(&resume)] {
        assert_eq!(said.code, 4, "{}", said.stderr);
        let expected = "a step is past its deadline in a file call that does not return";
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    assert_eq!(bench.latest()["status"], "running");
    let listed = bench.belt(&["runs", "list", "--state", "state"]);
    assert!(
        listed.stderr.contains("was cut off; `belt runs resume"),
        "{}",
        listed.stderr
    );
    assert_eq!(bench.belt(&resume).code, 1);
    let run = bench.latest();
    assert_eq!(run["failure"]["kind"], "lost");
    assert_eq!(run["steps"][1]["status"], "skipped");
}

#[test]
fn a_termination_asks_like_ctrl_c() {
    let bench = Bench::with_steps(&["wait", "echo"], &["{driver: wait}", "{driver: echo}"]);
    let mut live = Live::run(&bench, &[]);
    live.until("waiting");
    live.terminate();
    let said = live.end();
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert_eq!(bench.latest()["status"], json!("cancelled"));
}

#[test]
fn a_third_ctrl_c_leaves_a_run_that_cannot_be_ended() {
    let step = format!("{{driver: files, with: {{{READ}}}}}");
    let bench = Bench::with_steps(&["say", "files"], &["{driver: say}", &step]);
    let _lease = Lease::on(&bench.path("work/leased"));
    let mut live = Live::run(&bench, &[]);
    live.until("say    succeeded");
    live.interrupt();
    live.until("stopping: steps under way");
    live.interrupt();
    live.until("stopping now");
    live.interrupt();
    let said = live.end();
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(
        said.stderr.contains("left the run as it is"),
        "{}",
        said.stderr
    );
}
