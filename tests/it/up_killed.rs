//! `kill -9` and SIGTERM under load: whatever was acknowledged is there after the next start, and ends right.
//!
//! `BELTLINE_KILLS` says how often it is killed (default 5).

use crate::belt::{Bench, guest};
use crate::http::Connection;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::{env, thread};

const CLIENTS: usize = 8;
/// Acknowledged submits after which the host is ended, while more are under way.
const SUBMITS: usize = 200;

/// A pipeline whose last step reads what came before it, and no driver of which has folders.
fn bench() -> Bench {
    let bench = Bench::new(&[]);
    let (echo, say) = (
        guest("echo").display().to_string(),
        guest("say").display().to_string(),
    );
    bench.write(
        "belt.yaml",
        format!("drivers:\n  echo: {{path: {echo}}}\n  say: {{path: {say}}}\n"),
    );
    bench
}

/// Submits until the host is gone. Tells each that was acknowledged.
fn submit(mut connection: Connection, client: usize, round: u32, acknowledged: &Sender<String>) {
    for nth in 0.. {
        let name = format!("thing-{client}-{}", nth % 20);
        let key = format!("{round}-{client}-{nth}");
        let body = json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {"size": nth}}});
        let Some(run) = try_submit(&mut connection, &key, &body) else {
            return;
        };
        if acknowledged.send(run).is_err() {
            return;
        }
    }
}

fn try_submit(connection: &mut Connection, key: &str, body: &Value) -> Option<String> {
    let body = body.to_string();
    let head = format!(
        "POST /runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write(head.as_bytes()).ok()?;
    let answer = connection.answer().ok()?;
    // While it drains it says that it does.
    (answer.status != 503).then(|| id(&answer.is(201)))
}

/// Loads a host, has it ended after so many submits, and returns those that were acknowledged.
fn loaded(up: Up, round: u32, end: impl FnOnce(Up)) -> BTreeSet<String> {
    let (tell, told) = channel();
    let up = Mutex::new(Some(up));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let connection = up.lock().unwrap().as_ref().unwrap().connect_locally();
            let tell = tell.clone();
            scope.spawn(move || submit(connection, client, round, &tell));
        }
        drop(tell);
        let mut acknowledged: BTreeSet<_> = (0..SUBMITS).map(|_| told.recv().unwrap()).collect();
        end(up.lock().unwrap().take().unwrap());
        acknowledged.extend(told.iter());
        acknowledged
    })
}

/// All of them are there, have ended right, and none of one resource overlapped.
fn ended_right(up: &Up, acknowledged: &BTreeSet<String>) {
    up.until("/owner", |owner| owner["runs"] == 0);
    let mut connection = up.connect();
    for run in acknowledged {
        let run = connection
            .ask("GET", &format!("/runs/{run}"), &[], b"")
            .is(200);
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let steps = run["steps"].as_array().unwrap();
        assert_eq!(steps[2]["output"]["outputs"]["a"], steps[0]["output"]);
        assert_eq!(steps[2]["output"]["outputs"]["b"], steps[1]["output"]);
        assert!(
            steps
                .iter()
                .all(|step| step["attempts"].as_array().unwrap().len() <= 2),
            "{run:#}"
        );
    }
}

fn begin(up: &Up) {
    up.line("line", json!([{"id": "a", "driver": "say"}, {"id": "b", "driver": "echo"}, {"id": "c", "driver": "echo"}]));
}

#[test]
fn what_was_acknowledged_survives_being_killed_under_load() {
    let kills: u32 = env::var("BELTLINE_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let bench = bench();
    let mut up = Up::start(&bench);
    begin(&up);
    let mut all = BTreeSet::new();
    for round in 0..kills {
        let acknowledged = loaded(up, round, |up| drop(up.kill()));
        up = Up::start(&bench);
        ended_right(&up, &acknowledged);
        all.extend(acknowledged);
    }
    // None that was not acknowledged hangs, and none has gone since.
    let mut found = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = up.get(&format!("/runs?limit=1000{cursor}")).is(200);
        for run in page["runs"].as_array().unwrap() {
            assert_eq!(run["status"], "succeeded", "{run:#}");
            found.insert(id(run));
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert!(found.is_superset(&all));
    assert!(found.len() <= all.len() + CLIENTS * kills as usize);
}

#[test]
fn sigterm_under_load_ends_well_and_the_next_start_goes_on() {
    let bench = bench();
    let up = Up::start(&bench);
    begin(&up);
    let acknowledged = loaded(up, 0, |up| {
        let said = up.terminate();
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stderr.contains("draining"), "{said:?}");
    });
    let up = Up::start(&bench);
    ended_right(&up, &acknowledged);
}

#[test]
fn a_run_that_would_take_too_long_is_left_to_be_resumed() {
    let bench = Bench::new(&["latch"]);
    let up = Up::with(&bench, &["--drain", "1ms"]);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let body =
        json!({"resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}}});
    let run = up.post("/runs", &body).is(201);
    up.frames(&format!("/runs/{}/logs", id(&run)), &[]).next();
    let said = up.terminate();
    assert_eq!(said.code, 0, "{said:?}");
    let up = Up::start(&bench);
    std::fs::write(
        std::path::Path::new(run["out"].as_str().unwrap()).join("s.open"),
        "",
    )
    .unwrap();
    let run = up.ended(&id(&run));
    assert_eq!(
        (&run["status"], &run["steps"][0]["attempts"][0]["starts"]),
        (&json!("succeeded"), &json!(2))
    );
}

#[test]
fn it_can_be_ended_as_soon_as_it_says_that_it_is_up() {
    let bench = Bench::new(&[]);
    for _ in 0..20 {
        assert_eq!(Up::start(&bench).terminate().code, 0);
    }
}
