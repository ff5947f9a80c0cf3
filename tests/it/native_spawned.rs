//! `--nats spawn`: a nats-server of the host's own comes and goes with it, and there is never a second one.

use crate::belt::Bench;
use crate::live::Live;
use crate::nats::{PATIENCE, Puppet, bench, jetstream, server_file};
use crate::up::{Up, id, order, up};
use beltline::clock;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use serde_json::json;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `belt up` with a server of its own.
fn spawning(bench: &Bench) -> Up {
    let server = server_file("current");
    Up::of(bench, live(bench, server.parent().unwrap()))
}

/// The same, as it begins, with the `nats-server` in that folder.
fn live(bench: &Bench, folder: &Path) -> Live {
    let mut command = bench.command(&up(&["--nats", "spawn"]));
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    Live::start(command)
}

/// The folder of a `nats-server` that does this first. It is in the bench's folder then, where `gate` can be waited at.
fn hindered(bench: &Bench, first: &str) -> PathBuf {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, bench.path("gate"), FileType::Fifo, mode, 0).unwrap();
    let server = server_file("current");
    let script = format!(
        "#!/bin/bash\necho >> starts\n{first}\nexec '{}' \"$@\"\n",
        server.display()
    );
    let path = bench.write("hindered/nats-server", script);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.parent().unwrap().to_owned()
}

/// How often a hindered server was started, once it was.
fn starts(bench: &Bench) -> usize {
    let give_up = clock::monotonic() + PATIENCE;
    loop {
        let starts = fs::read_to_string(bench.path("starts")).unwrap_or_default();
        if !starts.is_empty() {
            return starts.lines().count();
        }
        assert!(clock::monotonic() < give_up, "it is not started");
        std::thread::yield_now();
    }
}

fn is_running(pid: &str) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("nats-server")
}

#[test]
fn a_server_of_the_hosts_own_ends_with_it_and_one_that_is_left_is_taken_over() {
    let bench = bench(&[], &[("a", "")]);
    let up = spawning(&bench);
    let url_file = bench.path("state/nats/url");
    let mode = fs::metadata(&url_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let url = bench.read("state/nats/url");
    let pid = || bench.read("state/nats/pid");
    let first = pid();
    // A Ctrl-C at the terminal reaches all processes of a group, and is for the host.
    let group = |pid: &str| getpgid(Pid::from_raw(pid.trim().parse().unwrap())).unwrap();
    assert_ne!(group(&first), group(&up.pid().to_string()));
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    up.until(&format!("/runs/{run}"), |run| run["status"] == "waiting");
    up.kill();
    assert!(is_running(&first));
    let up = spawning(&bench);
    assert_eq!(
        (pid(), bench.read("state/nats/url")),
        (first.clone(), url.clone())
    );
    assert_eq!(up.get(&format!("/runs/{run}")).is(200)["status"], "waiting");
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stderr.contains("was left here and goes on"),
        "{said:?}"
    );
    assert!(!is_running(&first));
    // The next one has the same address and password, so that drivers find it.
    let up = spawning(&bench);
    assert_eq!(bench.read("state/nats/url"), url);
    assert_ne!(pid(), first);
    let said = up.terminate();
    assert!(
        !said.stderr.contains(url.rsplit_once('@').unwrap().0),
        "{said:?}"
    );
}

#[test]
fn a_server_of_the_hosts_own_that_ends_is_started_again_taken_over_or_not() {
    let bench = bench(&[], &[("a", "")]);
    let pid = || {
        let text = fs::read_to_string(bench.path("state/nats/pid")).unwrap_or_default();
        text.trim().parse::<i32>().unwrap_or_default()
    };
    let mut up = spawning(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let run = id(&up.post("/runs", &order("thing")).is(201));
    up.until(&format!("/runs/{run}"), |run| run["status"] == "waiting");
    for is_taken_over in [false, true] {
        if is_taken_over {
            up.kill();
            up = spawning(&bench);
        }
        let first = pid();
        kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
        let address = bench.read("state/nats/url");
        let (_, address) = address.trim().rsplit_once('@').unwrap();
        up.until("/drivers", |_| {
            ![0, first].contains(&pid()) && TcpStream::connect(address).is_ok()
        });
    }
    let mut driver = Puppet::at(jetstream(&bench.read("state/nats/url")), "a");
    let handed = driver.next();
    driver.succeed(&handed, json!(1));
    assert_eq!(up.ended(&run)["status"], "succeeded");
    let last = bench.read("state/nats/pid");
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!is_running(&last));
}

#[test]
fn without_a_nats_server_on_path_spawn_says_what_to_install() {
    let bench = bench(&[], &[]);
    let mut command = bench.command(&up(&["--nats", "spawn"]));
    command.env("PATH", "/nowhere");
    let said = Live::start(command).end();
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("install it"), "{said:?}");
}

#[test]
fn one_that_did_not_answer_yet_when_its_host_was_killed_is_waited_for_and_taken_over() {
    let bench = bench(&[], &[("a", "")]);
    let folder = hindered(&bench, "read -r _ < gate");
    let killed = live(&bench, &folder);
    assert_eq!(starts(&bench), 1);
    killed.kill();
    let mut next = live(&bench, &folder);
    next.until("does not answer yet");
    fs::write(bench.path("gate"), "\n").unwrap();
    let said = Up::of(&bench, next).terminate();
    assert!(
        said.stderr.contains("was left here and goes on"),
        "{said:?}"
    );
    assert_eq!(starts(&bench), 1);
}

#[test]
fn one_that_never_answers_is_ended_before_there_is_another() {
    let bench = bench(&[], &[("a", "")]);
    let stuck = "[ -e stuck ] || { echo $$ > state/nats/pid; : > stuck; read -r _ < gate; }";
    let folder = hindered(&bench, stuck);
    let killed = live(&bench, &folder);
    let give_up = clock::monotonic() + PATIENCE;
    while !bench.path("stuck").exists() {
        assert!(clock::monotonic() < give_up, "it is not stuck");
    }
    let first = bench.read("state/nats/pid");
    assert!(is_running(&first));
    killed.kill();
    let up = Up::of(&bench, live(&bench, &folder));
    assert!(!is_running(&first));
    assert!(starts(&bench) >= 2);
    let said = up.terminate();
    assert!(
        said.stderr.contains("does not answer, and is ended"),
        "{said:?}"
    );
}
