//! A run whose thread a guest's file call holds up: a file in the workspace on which somebody else has a lease, so
//! that the system lets nobody open it for the next 45 seconds.

use crate::belt::Bench;
use crate::live::Live;
use crate::up::{Up, id, order};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Holds the lease until it is dropped.
struct Lease(Live);

impl Lease {
    /// On a file that is made. Perl (`perl-base`) is on every Debian; the standard library has no word for leases.
    fn on(path: &Path) -> Lease {
        const HOLD: &str = r#"
            open(FILE, "+<", $ARGV[0]) or die "open: $!";
            $| = 1; $SIG{IO} = sub { print "wanted\n" };
            fcntl(FILE, 1024, 1) or die "lease: $!";
            print "held\n"; sleep 60 while time < $^T + 600;
        "#;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "nobody reads this").unwrap();
        let mut holder = Command::new("perl");
        holder.args(["-e", HOLD]).arg(path);
        let mut holder = Live::aloud(holder);
        holder.until("held");
        Lease(holder)
    }

    /// Waits until somebody's call to open the file is held up.
    fn is_wanted(&mut self) {
        self.0.until("wanted");
    }
}

#[test]
fn a_host_that_stays_gives_the_run_up_and_carries_the_others() {
    let bench = Bench::new(&["latch", "files", "say"]);
    let all = std::fs::read_to_string(bench.path("belt.yaml")).unwrap();
    bench.write("belt.yaml", all.replace("workspace: rw, ", ""));
    let up = Up::start(&bench);
    let read = json!({"do": [{"read": "/out/leased"}]});
    up.line(
        "line",
        json!([{"id": "s", "driver": "latch"},
            {"id": "f", "driver": "files", "timeout": "3s", "with": read, "retry": {"max_attempts": 5}}]),
    );
    up.line("other", json!([{"id": "s", "driver": "say"}]));
    let run = up.post("/runs", &order("held")).is(201);
    up.frames(&format!("/runs/{}/logs", id(&run)), &[]).next();
    let out = Path::new(run["out"].as_str().unwrap());
    let lease = Lease::on(&out.join("leased"));
    std::fs::write(out.join("s.open"), "").unwrap();

    let run = up.ended(&id(&run));
    assert_eq!(run["status"], "failed", "{run:#}");
    assert_eq!(run["failure"]["kind"], "limit");
    assert_eq!(run["steps"][1]["attempts"].as_array().unwrap().len(), 1);
    let expected = "in a file call that does not return";
    assert!(
        run["failure"]["reason"]
            .as_str()
            .unwrap()
            .contains(expected)
    );
    up.says("its run has failed");
    let metrics = up.get("/metrics");
    assert!(metrics.text().contains("beltline_threads_held_up 1"));
    // Whoever gave it up has counted it.
    for ended in [
        "runs_ended_total{result=\"failed\"} 1",
        "steps_ended_total{driver=\"files\",result=\"failed\"} 1",
        "attempts_ended_total{driver=\"files\",result=\"limit\"} 1",
    ] {
        assert!(metrics.text().contains(ended), "{}", metrics.text());
    }

    // No round of it begins beside that call, others do.
    let said = up.post(&format!("/runs/{}/retry", id(&run)), &json!({}));
    assert_eq!(said.status, 409, "{}", said.text());
    let other =
        json!({"pipeline": "other", "resource": {"name": "other", "resource": "app", "spec": {}}});
    let other = up.post("/runs?wait=60s", &other).is(201);
    assert_eq!(other["status"], "succeeded");
    drop(lease);
    up.until("/owner", |owner| owner["runs"] == 0);
    assert_eq!(up.get(&format!("/runs/{}", id(&run))).is(200), run);
}

const READ: &str = "do: [{read: /workspace/leased}]";

#[test]
fn a_file_call_that_never_returns_ends_the_process_and_at_last_the_attempt() {
    let step = format!("{{driver: files, timeout: 3s, with: {{{READ}}}}}");
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
    let mut lease = Lease::on(&bench.path("work/leased"));
    let mut live = Live::run(&bench, &[]);
    // One that has not begun would be cancelled, and nothing would be left to end.
    lease.is_wanted();
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
