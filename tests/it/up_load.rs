//! Many clients at the same time: each gets its own run, and every run ends.

use crate::belt::Bench;
use crate::up::{Up, id};
use beltline::clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

const CONNECTIONS: usize = 64;
const EACH: usize = 32;

#[test]
fn two_thousand_submits_over_64_connections_all_end() {
    let bench = Bench::new(&[]);
    let echo = crate::belt::guest("echo").display().to_string();
    bench.write("belt.yaml", format!("drivers:\n  echo: {{path: {echo}}}\n"));
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let submit = |client: usize| {
        let mut connection = up.connect();
        let submits = (0..EACH).map(|nth| {
            // Some share a resource, so that there are queues, too.
            let name = format!("thing-{}", (client * EACH + nth) % 700);
            let body = json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}});
            let answer = connection.ask("POST", "/runs", &[], body.to_string().as_bytes());
            id(&answer.is(201))
        });
        submits.collect::<Vec<_>>()
    };
    let made: BTreeSet<String> = thread::scope(|scope| {
        let submit = &submit;
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| scope.spawn(move || submit(client)))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    assert_eq!(made.len(), CONNECTIONS * EACH);
    up.until("/owner", |owner| owner["runs"] == 0);
    assert_eq!(succeeded(&up), made);
}

/// The runs that have succeeded.
fn succeeded(up: &Up) -> BTreeSet<String> {
    let mut succeeded = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = up
            .get(&format!("/runs?limit=1000&status=succeeded{cursor}"))
            .is(200);
        succeeded.extend(page["runs"].as_array().unwrap().iter().map(id));
        let Some(next) = page["next"].as_str() else {
            return succeeded;
        };
        cursor = format!("&cursor={next}");
    }
}

/// Requests under way together, each on a connection of its own.
const TOGETHER: usize = 10_000;

/// Files that this process has open beside them.
const OTHER_FILES: usize = 500;

/// Runs that may be open: fewer than there are requests.
const QUEUE: usize = 3_000;

/// Ten thousand connections, and 256 guests.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// How long the last of them may take to be there.
const PATIENCE: Duration = Duration::from_secs(100);

/// As many connections as this process may have.
fn together() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let files = limit
        .maximum
        .map_or(usize::MAX, |files| usize::try_from(files).unwrap());
    TOGETHER.min(files.saturating_sub(OTHER_FILES))
}

fn memory_bytes_max(up: &Up) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", up.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn open_files(up: &Up) -> usize {
    fs::read_dir(format!("/proc/{}/fd", up.pid()))
        .unwrap()
        .count()
}

/// Each is answered: by a run, which ends right, or by when to come again.
#[test]
fn ten_thousand_submits_at_once_are_each_taken_or_sent_away() {
    let together = together();
    let bench = Bench::new(&[]);
    let linger = crate::belt::guest("linger").display().to_string();
    bench.write(
        "belt.yaml",
        format!(
            "queue: {QUEUE}\ndrivers:\n  linger: {{path: {linger}, limits: {{memory: 4MiB}}}}\n"
        ),
    );
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "linger", "with": {"ms": 200}}]));
    up.ready("linger");
    let files_before = open_files(&up);
    let request = |nth: usize| {
        let body = json!({"resource": {"name": format!("thing-{nth}"), "resource": "app", "pipeline": "line", "spec": {}}});
        let body = body.to_string();
        let length = body.len();
        format!(
            "POST /runs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
            up.address
        )
    };
    // All but the last byte of each, so that the server has all of them in hand before it can answer one.
    let mut connections: Vec<_> = (0..together)
        .map(|nth| {
            let mut connection = up.connect();
            let request = request(nth);
            connection
                .write(&request.as_bytes()[..request.len() - 1])
                .unwrap();
            connection
        })
        .collect();
    // The lowest number that is free is taken for each.
    let last = format!("/proc/{}/fd/{together}", up.pid());
    let give_up = clock::now_ms() + clock::millis(PATIENCE);
    while fs::symlink_metadata(&last).is_err() {
        assert!(clock::now_ms() < give_up, "{} are open", open_files(&up));
        thread::yield_now();
    }
    for connection in &mut connections {
        connection.write(b"}").unwrap();
    }
    let (mut made, mut sent_away) = (BTreeSet::new(), 0);
    for connection in &mut connections {
        let answer = connection.answer().unwrap();
        match answer.status {
            429 => {
                answer.refused(429);
                assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
                sent_away += 1;
            }
            _ => assert!(made.insert(id(&answer.is(201)))),
        }
    }
    drop(connections);
    assert!(
        made.len() >= QUEUE && sent_away > 0,
        "{} made, {sent_away} sent away",
        made.len()
    );
    let peak = memory_bytes_max(&up);
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB", peak >> 20);

    up.until("/owner", |owner| owner["runs"] == 0);
    assert_eq!(succeeded(&up), made);
    // What it held for them it has given back, and goes on.
    while open_files(&up) > files_before + OTHER_FILES {
        thread::yield_now();
    }
    up.succeeded(&up.begin("after"));
    let health: Value = up.get("/health").is(200);
    assert_eq!(health["status"], "ok");
}

#[test]
fn of_several_clients_that_make_one_name_one_succeeds() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    for nth in 0..10 {
        let name = format!("thing-{nth}");
        let resource =
            json!({"name": name, "resource": "app", "pipeline": "line", "spec": {"size": nth}});
        let definition = json!({"name": name, "schema": {}});
        for (path, body) in [
            ("/resources", resource),
            ("/resource-definitions", definition),
        ] {
            let mut statuses: Vec<u16> = thread::scope(|scope| {
                let (up, body) = (&up, &body);
                let clients: Vec<_> = (0..4)
                    .map(|_| scope.spawn(move || up.post(path, body).status))
                    .collect();
                clients
                    .into_iter()
                    .map(|client| client.join().unwrap())
                    .collect()
            });
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409, 409, 409], "{path}");
        }
    }
    let runs = up.get("/runs?limit=1000").is(200);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 10);
}
