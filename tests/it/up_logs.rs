//! What drivers say: Conveyor's log routes, and a run's own log, stored and live in one order.

use crate::belt::Bench;
use crate::http::Frame;
use crate::up::{Up, id};
use beltline::clock;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn messages(lines: &Value) -> Vec<String> {
    let lines = lines.as_array().unwrap().iter();
    lines
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn conveyors_log_routes_have_its_lines() {
    let bench = Bench::new(&["say", "echo"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"id": "one", "driver": "say"}, {"id": "two", "driver": "echo"}]),
    );
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {}});
    let run = id(&up.post("/resources", &body).is(201));
    up.ended(&run);
    let lines = up.get(&format!("/logs?runid={run}")).is(200);
    let first = &lines[0];
    assert_eq!(
        (&first["runid"], &first["driver"]),
        (&json!(run), &json!("say"))
    );
    assert_eq!(first["pipeline"], "line");
    assert!(first["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    let said = messages(&lines);
    assert!(said.contains(&"one on stdout".to_owned()), "{said:?}");

    let line =
        json!({"runid": run, "driver": "native", "pipeline": "line", "message": "from afar"});
    let appended = up.post("/logs", &line).is(201);
    assert_eq!(appended["message"], "from afar");
    let found = |query: &str| messages(&up.get(&format!("/logs?{query}")).is(200));
    assert_eq!(found("driver=native"), ["from afar"]);
    assert_eq!(found("pipeline=line").len(), said.len() + 1);
    assert_eq!(found(&format!("runid={run}&driver=say")), said);
    assert_eq!(found("pipeline=other"), [""; 0]);
    assert_eq!(found("runid=none"), [""; 0]);

    // Both streams end with a run that has ended, as they must not hang.
    let of_run: Vec<Frame> = up.frames(&format!("/logs/pipeline/{run}"), &[]).collect();
    assert_eq!(of_run.len(), said.len() + 1);
    assert_eq!(of_run[0].data, lines[0]);
    assert_eq!((of_run[0].event.as_str(), of_run[0].id.as_str()), ("", ""));
    let of_driver: Vec<Frame> = up
        .frames(&format!("/logs/streams/native/{run}"), &[])
        .collect();
    assert_eq!(of_driver.len(), 1);
    assert_eq!(of_driver[0].data["message"], "from afar");
}

#[test]
fn a_line_that_cannot_be_kept_is_refused() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    up.line("line", json!([]));
    let body = json!({"name": "thing", "resource": "app", "spec": {}});
    let run = id(&up.post("/resources", &body).is(201));
    let long = "x".repeat(17_000);
    for (line, status) in [
        (json!({"runid": "../../x", "message": "m"}), 400),
        (
            json!({"runid": "00000000-0000-7000-8000-000000000000", "message": "m"}),
            404,
        ),
        (json!({"runid": run, "message": long}), 400),
        (json!({"runid": run, "driver": long, "message": "m"}), 400),
        (json!({"runid": run}), 400),
    ] {
        up.post("/logs", &line).refused(status);
    }
    assert_eq!(up.get(&format!("/runs/{run}/logs")).is(200), json!([]));
    up.get("/logs/pipeline/00000000-0000-7000-8000-000000000000")
        .refused(404);
    up.get(&format!("/runs/{run}/logs?step=none")).refused(400);
}

#[test]
fn lines_come_live_and_in_the_order_in_which_they_are_stored() {
    let bench = Bench::new(&["latch", "say"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"id": "a", "driver": "say"}, {"id": "b", "driver": "latch"}]),
    );
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {}});
    let run = up.post("/runs", &json!({"resource": body})).is(201);
    let path = format!("/runs/{}/logs", id(&run));
    let mut live = up.frames(&path, &[]);
    let mut conveyors = up.frames(&format!("/logs/streams/latch/{}", id(&run)), &[]);
    let mut seen = Vec::new();
    // What it says before it waits is told while it waits.
    while seen
        .last()
        .is_none_or(|frame: &Frame| frame.data["message"] != "at the latch")
    {
        seen.push(live.next().unwrap());
    }
    assert_eq!(conveyors.next().unwrap().data["message"], "at the latch");
    assert_eq!(
        up.get(&format!("/runs/{}", id(&run))).is(200)["status"],
        "running"
    );
    fs::write(Path::new(run["out"].as_str().unwrap()).join("b.open"), "").unwrap();
    seen.extend(&mut live);
    assert_eq!(conveyors.next().unwrap().data["message"], "past the latch");
    assert!(conveyors.next().is_none());

    let stored = up.get(&path).is(200);
    let told: Vec<_> = seen.iter().map(|frame| frame.data.clone()).collect();
    assert_eq!(Value::from(told), stored);
    let of_step = up.get(&format!("{path}?step=b")).is(200);
    assert_eq!(messages(&of_step), ["at the latch", "past the latch"]);
    // Cut off after any line, it goes on with the next one.
    for (nth, frame) in seen.iter().enumerate() {
        let rest = up.frames(&path, &[("last-event-id", &frame.id)]);
        assert_eq!(rest.collect::<Vec<_>>(), seen[nth + 1..]);
    }
}

#[test]
fn logs_are_read_and_grown_within_bounds_and_the_latest_lines_come_first() {
    let bench = Bench::new(&["say"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "one", "driver": "say"}]));
    let make = |name: &str| {
        let body = json!({"name": name, "resource": "app", "pipeline": "line", "spec": {}});
        let run = id(&up.post("/resources", &body).is(201));
        up.ended(&run);
        run
    };
    let said = |query: &str| messages(&up.get(&format!("/logs{query}")).is(200));
    let (older, newer) = (make("older"), make("newer"));
    let own = said(&format!("?runid={older}"));
    assert_eq!(said(""), [own.clone(), own.clone()].concat());

    // Over the limit, in far fewer lines than an answer may have.
    let path = bench.path(&format!("state/logs/{older}.jsonl"));
    let mut log = fs::read(&path).unwrap();
    let filler = "x".repeat(64 << 10);
    for nth in 0..256 {
        let line = json!({"at_ms": nth, "step": "one", "attempt": 1, "level": "info", "message": format!("{nth} {filler}")});
        log.extend(format!("{line}\n").bytes());
    }
    fs::write(&path, log).unwrap();
    for (query, newer) in [
        (String::new(), own),
        (format!("?runid={older}"), Vec::new()),
    ] {
        let found = said(&query);
        let old = &found[..found.len() - newer.len()];
        assert!((200..256).contains(&old.len()), "{} lines", old.len());
        let first = 256 - old.len();
        for (nth, message) in (first..).zip(old) {
            assert!(message.starts_with(&format!("{nth} x")), "{nth}");
        }
        assert_eq!(found[old.len()..], newer);
    }

    let append = |run: &str| {
        let line = json!({"runid": run, "driver": "native", "message": "more"});
        up.post("/logs", &line)
    };
    assert!(append(&older).refused(413).contains("16 MiB"));
    append(&newer).is(201);
}

#[test]
fn a_line_has_the_time_that_it_is_sent_with_where_that_is_one_of_its_run() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    up.line("line", json!([]));
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {}});
    let run = id(&up.post("/resources", &body).is(201));
    let created_s = clock::now_ms() / 1_000;
    let later_s = created_s + 1;
    // By now there are times between the run's begin and now.
    up.until("/health", |_| clock::now_ms() / 1_000 > later_s + 1);
    let sent = |timestamp: &str| {
        let line =
            json!({"runid": run, "driver": "a", "timestamp": timestamp, "message": timestamp});
        let kept = up.post("/logs", &line).is(201);
        let found = up.get(&format!("/logs?runid={run}")).is(200);
        let found = found.as_array().unwrap().last().unwrap().clone();
        assert_eq!(found["message"], timestamp);
        assert_eq!(kept["timestamp"], found["timestamp"]);
        let seconds: u64 = kept["timestamp"].as_str().unwrap().parse().unwrap();
        seconds
    };
    for seconds in [created_s, later_s] {
        assert_eq!(sent(&seconds.to_string()), seconds);
    }
    for other in [
        "",
        "0",
        "-1",
        "yesterday",
        &(created_s - 60).to_string(),
        &(created_s + 3_600).to_string(),
        "2026-01-01T00:00:00Z",
        "99999999999999999999999",
        &(created_s * 1_000).to_string(),
    ] {
        let seconds = sent(other);
        assert!(
            seconds > later_s && seconds <= clock::now_ms() / 1_000,
            "{other}: {seconds}"
        );
    }
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    let begun_ms = lines[0]["at_ms"].as_u64().unwrap();
    assert!(begun_ms >= created_s * 1_000 && begun_ms < (created_s + 1) * 1_000);
}
