//! A run is found by what names it, and waited for.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::{Value, json};

fn thing(name: &str) -> Value {
    json!({"name": name, "resource": "app", "pipeline": "line", "spec": {"size": 1}})
}

#[test]
fn a_run_is_found_by_its_id_by_a_begin_of_it_and_as_the_latest() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.get("/runs/latest").refused(404);
    up.line("line", json!([{"driver": "echo"}]));
    let run = id(&up
        .post("/runs", &json!({"resource": thing("thing")}))
        .is(201));
    let found = up.ended(&run);
    assert_eq!(found["steps"][0]["attempts"][0]["attempt"], 1);
    assert!(found["steps"][0]["attempts"][0]["ledger"].is_object());
    for named in ["latest", &run[..run.len() - 1], &run.to_uppercase()] {
        assert_eq!(up.get(&format!("/runs/{named}")).is(200), found);
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    for named in [
        unknown,
        "none",
        "..",
        "%2e%2e%2f",
        "%00",
        "%ff",
        "x%0d%0ay",
        "💥",
        "'; drop",
    ] {
        let named = named.replace(' ', "%20").replace('💥', "%F0%9F%92%A5");
        for route in ["", "/events", "/logs", "/progress", "/out", "/out/x"] {
            let answer = up.get(&format!("/runs/{named}{route}"));
            assert!(
                matches!(answer.status, 400 | 404),
                "{named}{route}: {answer:?}"
            );
            answer.refused(answer.status);
        }
        for verb in ["cancel", "retry", "rerun", "resume"] {
            let answer = up.post(&format!("/runs/{named}/{verb}"), &json!({}));
            assert!(
                matches!(answer.status, 400 | 404),
                "{named}/{verb}: {answer:?}"
            );
        }
    }
}

#[test]
fn whoever_waits_is_answered_at_the_end_or_when_the_time_is_over() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let run = up
        .post("/runs?wait=1ms", &json!({"resource": thing("thing")}))
        .is(201);
    assert_eq!(run["status"], "running");
    let path = format!("/runs/{}", id(&run));
    assert_eq!(
        up.get(&format!("{path}?wait=1ms")).is(200)["status"],
        "running"
    );
    for wait in ["x", "-1s", "1", ""] {
        up.get(&format!("{path}?wait={wait}")).refused(400);
    }
    let mut waiting = up.connect();
    waiting.send("GET", &format!("{path}?wait=120s"), &[], b"");
    std::fs::write(
        std::path::Path::new(run["out"].as_str().unwrap()).join("s.open"),
        "",
    )
    .unwrap();
    assert_eq!(waiting.answer().unwrap().is(200)["status"], "succeeded");
}
