//! `kill -9` and SIGTERM under load: whatever was acknowledged is there after the next start, and ends right.
//!
//! `BELTLINE_KILLS` says how often it is killed (default 5).

use crate::belt::{Bench, guest};
use crate::load::{ended_right, loaded, replayed};
use crate::up::{Up, id};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::env;

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

/// No two runs of one resource were under way at the same time, by the events of their ledgers: from the first start of an
/// attempt to the run's end. Says how many resources had several.
fn none_overlapped(up: &Up, runs: &BTreeSet<String>) -> usize {
    let mut by_resource: BTreeMap<String, Vec<(Timestamp, Timestamp, String)>> = BTreeMap::new();
    for run in runs {
        let view = up.get(&format!("/runs/{run}")).is(200);
        let events: Vec<_> = up.frames(&format!("/runs/{run}/events"), &[]).collect();
        let mut times = events.iter().filter_map(|event| {
            let at: Timestamp = event.data["at"].as_str()?.parse().ok()?;
            Some((event.event.as_str(), at))
        });
        let started = times
            .find(|(event, _)| *event == "attempt_started")
            .unwrap()
            .1;
        let ended = times.find(|(event, _)| *event == "run_ended").unwrap().1;
        let name = view["resource"]["name"].as_str().unwrap().to_owned();
        by_resource
            .entry(name)
            .or_default()
            .push((started, ended, run.clone()));
    }
    for (resource, times) in &mut by_resource {
        times.sort();
        for two in times.windows(2) {
            assert!(two[0].1 <= two[1].0, "{resource}: {two:?}");
        }
    }
    by_resource.values().filter(|times| times.len() > 1).count()
}

fn last_read_the_others(steps: &[Value]) {
    let read = &steps[2]["output"]["outputs"];
    assert_eq!(
        (&read["a"], &read["b"]),
        (&steps[0]["output"], &steps[1]["output"])
    );
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
        let submits = loaded(up, round, |up| drop(up.kill()));
        up = Up::start(&bench);
        let cut_off = submits.iter().filter(|submit| submit.answer.is_none());
        assert!(cut_off.count() > 0, "nothing was under way");
        let runs = replayed(&up, &submits);
        ended_right(&up, &runs, last_read_the_others);
        all.extend(runs);
    }
    assert!(none_overlapped(&up, &all) > 10);
    // No others are there, none hangs, and none has gone since.
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
    assert_eq!(found, all);
}

#[test]
fn sigterm_under_load_ends_well_and_the_next_start_goes_on() {
    let bench = bench();
    let up = Up::start(&bench);
    begin(&up);
    let submits = loaded(up, 0, |up| {
        let said = up.terminate();
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stderr.contains("draining"), "{said:?}");
    });
    let up = Up::start(&bench);
    ended_right(&up, &replayed(&up, &submits), last_read_the_others);
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
