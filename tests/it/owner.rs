//! One state folder, many commands: its owner carries the runs, and every other command is its client.

use crate::belt::{Bench, Said};
use crate::live::Live;
use crate::nats::{Nats, Puppet};
use beltline::clock;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::{fs, thread};

fn runs(bench: &Bench, args: &[&str]) -> Said {
    bench.belt(&[&["runs"], args, &["--state", "state"]].concat())
}

fn listed(bench: &Bench) -> Vec<Value> {
    let said = runs(bench, &["list", "-o", "json"]);
    said.json().as_array().unwrap().clone()
}

/// A resource of another name in a file of its own.
fn other_resource(bench: &Bench, name: &str) {
    let file = format!("{name}.yaml");
    bench.write(&file, format!("name: {name}\nresource: app\nspec: {{}}\n"));
}

fn run_of(bench: &Bench, name: &str) -> Live {
    fs::create_dir_all(bench.path("work")).unwrap();
    let resource = format!("{name}.yaml");
    let args = [
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        &resource,
        "--state",
        "state",
    ];
    Live::start(bench.command(&[&args[..], &["--workspace", "work"]].concat()))
}

#[test]
fn others_see_and_move_the_runs_of_the_owner() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let mut owner = Live::run(&bench, &[]);
    owner.until("at the gate");
    let socket = fs::symlink_metadata(bench.path("state/belt.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let all = listed(&bench);
    assert_eq!((all.len(), &all[0]["status"]), (1, &Value::from("running")));
    assert!(all[0].get("cut_off").is_none());
    let said = runs(&bench, &["logs"]);
    assert!(said.stdout.contains("at the gate"), "{said:?}");
    let said = runs(&bench, &["wait", "--timeout", "1ms"]);
    assert_eq!(said.code, 4, "{said:?}");

    let said = runs(&bench, &["cancel", "--force"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stdout.contains("cancelled"), "{said:?}");
    assert_eq!(owner.end().code, 3);
}

#[test]
fn an_owner_stays_until_the_runs_of_others_have_ended() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    other_resource(&bench, "one");
    other_resource(&bench, "two");
    let mut owner = run_of(&bench, "one");
    owner.until("at the gate");
    // Its own step looks for another file, so that it can end alone.
    bench.pipeline("", &["{id: second, driver: gate}"]);
    let mut second = run_of(&bench, "two");
    second.until("at the gate");
    let first = listed(&bench)[1]["run"].as_str().unwrap().to_owned();
    assert_eq!(runs(&bench, &["cancel", &first, "--force"]).code, 3);
    owner.until("note: 1 more runs of others are carried here; waiting for their end");
    bench.write("work/second.open", "");
    assert_eq!(second.end().code, 0);
    assert_eq!(owner.end().code, 3);
}

#[test]
fn runs_of_one_resource_never_overlap() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let mut first = Live::run(&bench, &[]);
    first.until("at the gate");
    let mut second = Live::run(&bench, &[]);
    second.until("driver gate");
    let statuses = || -> Vec<_> {
        let all = listed(&bench);
        all.iter()
            .map(|run| run["status"].as_str().unwrap().to_owned())
            .collect()
    };
    // It has been taken, and waits.
    while statuses().len() < 2 {}
    assert_eq!(statuses(), ["pending", "running"]);
    bench.write("work/gate.open", "");
    assert_eq!(first.end().code, 0);
    assert_eq!(second.end().code, 0);
    let all = listed(&bench);
    let at = |run: &Value, key: &str| run[key].as_str().unwrap().to_owned();
    assert!(at(&all[0], "ended_at") >= at(&all[1], "ended_at"));
}

#[test]
fn a_client_takes_the_folder_over_when_the_owner_dies_and_both_runs_end() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    for name in ["one", "two", "three"] {
        other_resource(&bench, name);
    }
    let mut owner = run_of(&bench, "one");
    owner.until("at the gate");
    let mut clients: Vec<_> = ["two", "three"].map(|name| run_of(&bench, name)).into();
    for client in &mut clients {
        client.until("at the gate");
    }
    owner.kill();
    for client in &mut clients {
        client.until("the owner of the state is gone");
    }
    bench.write("work/gate.open", "");
    for client in clients {
        let said = client.end();
        assert_eq!(said.code, 0, "{}", said.stderr);
    }
    let all = listed(&bench);
    let statuses: Vec<_> = all
        .iter()
        .map(|run| run["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["succeeded", "succeeded", "running"]);
    assert_eq!(all[2]["cut_off"], true);
    let said = runs(&bench, &["resume", all[2]["run"].as_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn the_log_of_a_run_that_was_cut_off_ends_and_nobody_waits_for_it() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let mut owner = Live::run(&bench, &[]);
    owner.until("at the gate");
    owner.kill();
    let begun_ms = clock::now_ms();
    let mut log = Live::runs(&bench, "logs", &["-f"]);
    log.until("was cut off; `belt runs resume");
    let said = log.end();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("at the gate"), "{said:?}");
    let said = runs(&bench, &["wait"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("was cut off"), "{said:?}");
    // One request of `wait` may take a minute where there is something to wait for.
    assert!(clock::now_ms() - begun_ms < 50_000);
}

/// Stands between an owner and its clients, and keeps back what it answers to an order.
struct Between {
    socket: PathBuf,
    kept: Receiver<UnixStream>,
}

impl Between {
    fn of(state: &Path) -> Between {
        let (socket, behind) = (state.join("belt.sock"), state.join("behind.sock"));
        fs::rename(&socket, &behind).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let (keep, kept) = channel();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (mut near, mut far) = (near.unwrap(), UnixStream::connect(&behind).unwrap());
                let mut begin = [0; 4096];
                let read = near.read(&mut begin).unwrap();
                far.write_all(&begin[..read]).unwrap();
                let pass = |mut from: UnixStream, mut to: UnixStream| {
                    thread::spawn(move || io::copy(&mut from, &mut to))
                };
                pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                if begin.starts_with(b"POST /runs ") {
                    // Its answer is there.
                    far.read_exact(&mut [0]).unwrap();
                    keep.send(near).unwrap();
                } else {
                    pass(far, near);
                }
            }
        });
        Between { socket, kept }
    }
}

#[test]
fn a_run_whose_owner_dies_before_it_answers_is_made_once_and_goes_on() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    for name in ["one", "two"] {
        other_resource(&bench, name);
    }
    let mut owner = run_of(&bench, "one");
    owner.until("at the gate");
    let between = Between::of(&bench.path("state"));
    let mut client = run_of(&bench, "two");
    let kept = between.kept.recv().unwrap();
    owner.kill();
    fs::remove_file(&between.socket).unwrap();
    kept.shutdown(Shutdown::Both).unwrap();
    client.until("the owner of the state is gone");
    bench.write("work/gate.open", "");
    let said = client.end();
    assert_eq!(said.code, 0, "{said:?}");
    let all = listed(&bench);
    let [two, one] = &all[..] else {
        panic!("{all:#?}")
    };
    assert_eq!(two["status"], "succeeded", "{two}");
    assert_eq!(one["cut_off"], true, "{one}");
}

#[test]
fn who_follows_a_log_reads_its_rest_where_the_owner_dies_or_ends() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let follow = || {
        let args = ["runs", "logs", "-f", "--state", "state"];
        let mut log = Live::aloud(bench.command(&args));
        log.until("at the gate");
        log
    };
    let mut owner = Live::run(&bench, &[]);
    owner.until("at the gate");
    let log = follow();
    owner.kill();
    let said = log.end();
    assert_eq!(said.code, 0, "{said:?}");
    // Nothing is told twice.
    let [cut_off] = said.stderr.lines().collect::<Vec<_>>()[1..] else {
        panic!("{said:?}");
    };
    assert!(cut_off.contains("was cut off"), "{cut_off}");

    let mut owner = Live::run(&bench, &[]);
    owner.until("at the gate");
    let log = follow();
    bench.write("work/gate.open", "");
    assert_eq!(owner.end().code, 0);
    let said = log.end();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
}

#[test]
fn who_takes_a_folder_over_reaches_native_drivers_too() {
    let nats = Nats::start();
    let bench = crate::nats::bench(&[], &[("a", "")]);
    bench.pipeline("", &["{driver: a}"]);
    let url = nats.url();
    for name in ["one", "two"] {
        other_resource(&bench, name);
    }
    let begin = |name: &str| {
        let resource = format!("{name}.yaml");
        let files = ["run", "-f", "pipeline.yaml", "-r", &resource];
        let place = ["--state", "state", "--nats", &url];
        Live::start(bench.command(&[&files[..], &place].concat()))
    };
    let owner = begin("one");
    let mut driver = Puppet::attach(&nats, "a");
    let first = driver.next();
    let mut client = begin("two");
    let second = driver.next();
    owner.kill();
    client.until("the owner of the state is gone");
    driver.succeed(&second, json!("by the next owner"));
    let said = client.end();
    assert_eq!(said.code, 0, "{said:?}");
    let all = listed(&bench);
    assert_eq!(all[0]["status"], "succeeded");
    assert_eq!(all[1]["cut_off"], true, "{all:#?}");
    // So does who goes on with what nobody took over, whose answer has come meanwhile.
    driver.succeed(&first, json!("late"));
    let said = runs(
        &bench,
        &["resume", all[1]["run"].as_str().unwrap(), "--nats", &url],
    );
    assert_eq!(said.code, 0, "{said:?}");
}
