//! The events of a run: each once and in order, whenever a client was cut off, also by the end of the host.

use crate::belt::Bench;
use crate::http::Frame;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn begin(up: &Up) -> Value {
    let steps = json!([{"id": "a", "driver": "say"}, {"id": "b", "driver": "latch"}, {"id": "c", "driver": "say"}]);
    up.line("line", steps);
    let body =
        json!({"resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}}});
    up.post("/runs", &body).is(201)
}

fn open(run: &Value) {
    fs::write(Path::new(run["out"].as_str().unwrap()).join("b.open"), "").unwrap();
}

fn is_start_of_b(frame: &Frame) -> bool {
    frame.event == "attempt_started" && frame.data["step"] == "b"
}

fn until(frames: &mut impl Iterator<Item = Frame>, is_it: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| !is_it(last)) {
        seen.push(frames.next().unwrap());
    }
    seen
}

#[test]
fn events_come_live_with_ids_and_go_on_after_any_of_them() {
    let bench = Bench::new(&["say", "latch"]);
    let up = Up::start(&bench);
    let run = begin(&up);
    let path = format!("/runs/{}/events", id(&run));
    let mut live = up.frames(&path, &[]);
    let mut seen = until(&mut live, is_start_of_b);
    // Who has seen all so far is answered at once, and told what comes.
    let last = seen.last().unwrap().id.clone();
    let mut late = up.frames(&path, &[("last-event-id", &last)]);
    open(&run);
    seen.extend(live);
    assert_eq!(
        late.next().as_ref(),
        seen.iter().skip_while(|frame| frame.id != last).nth(1)
    );

    let names: Vec<_> = seen.iter().map(|frame| frame.event.as_str()).collect();
    assert_eq!(
        (names[0], names[names.len() - 1]),
        ("run_started", "run_ended")
    );
    assert_eq!(
        names.iter().filter(|name| **name == "step_ended").count(),
        3
    );
    for frame in &seen {
        assert_eq!(
            (&frame.data["id"], &frame.data["event"]),
            (&json!(frame.id), &json!(frame.event))
        );
    }
    assert_eq!(up.frames(&path, &[]).collect::<Vec<_>>(), seen);
    for (nth, frame) in seen.iter().enumerate() {
        let rest = &seen[nth + 1..];
        let header = [("last-event-id", frame.id.as_str())];
        if rest.is_empty() {
            // That tells an event source not to come back.
            up.ask("GET", &path, &header, b"").is(204);
            continue;
        }
        assert_eq!(up.frames(&path, &header).collect::<Vec<_>>(), rest);
        let query = format!("{path}?after={}", frame.id);
        assert_eq!(up.frames(&query, &[]).collect::<Vec<_>>(), rest);
    }
    for bad in [
        "x",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "-1.0",
        "99999999999999999999.0",
    ] {
        up.get(&format!("{path}?after={bad}")).refused(400);
    }
}

#[test]
fn events_have_no_gap_and_no_repeat_over_a_kill() {
    let bench = Bench::new(&["say", "latch"]);
    let up = Up::start(&bench);
    let run = begin(&up);
    let path = format!("/runs/{}/events", id(&run));
    let before = until(&mut up.frames(&path, &[]), is_start_of_b);
    let up = up.killed_and_started(&bench);
    let header = [("last-event-id", before.last().unwrap().id.as_str())];
    let mut going_on = up.frames(&path, &header);
    let mut after = until(&mut going_on, is_start_of_b);
    assert!(
        after.iter().any(|frame| frame.event == "run_claimed"),
        "{after:?}"
    );
    open(&run);
    after.extend(going_on);
    let seen = [before, after].concat();
    assert_eq!(up.frames(&path, &[]).collect::<Vec<_>>(), seen);
    let mut ids: Vec<(u64, u64)> = Vec::new();
    for frame in &seen {
        let (revision, place) = frame.id.split_once('.').unwrap();
        ids.push((revision.parse().unwrap(), place.parse().unwrap()));
    }
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");

    let up = up.killed_and_started(&bench);
    for (nth, frame) in seen.iter().enumerate().take(seen.len() - 1) {
        let rest = up.frames(&path, &[("last-event-id", &frame.id)]);
        assert_eq!(rest.collect::<Vec<_>>(), seen[nth + 1..]);
    }
}

#[test]
fn progress_has_events_and_lines_in_one_order() {
    let bench = Bench::new(&["say", "latch"]);
    let up = Up::start(&bench);
    let run = begin(&up);
    open(&run);
    let frames: Vec<_> = up
        .frames(&format!("/runs/{}/progress", id(&run)), &[])
        .collect();
    let at = |is_it: &dyn Fn(&Frame) -> bool| frames.iter().position(is_it).unwrap();
    let starts = at(&|frame| frame.data["event"] == "attempt_started" && frame.data["step"] == "b");
    let says = at(&|frame| frame.event == "log" && frame.data["message"] == "at the latch");
    let ends = at(&|frame| frame.data["event"] == "attempt_ended" && frame.data["step"] == "b");
    assert!(starts < says && says < ends, "{frames:#?}");
    assert_eq!(frames.last().unwrap().data["event"], "run_ended");
}
