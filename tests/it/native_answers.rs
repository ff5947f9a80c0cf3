//! Answers that are lost, repeated, late, forged, or none at all.

use crate::belt::Bench;
use crate::nats::{Handed, Nats, Puppet, bench, until_consumer, wait};
use crate::up::{Up, id, order};
use async_nats::jetstream::stream::Config;
use serde_json::{Value, json};

/// One step of driver `a`, which has it.
fn handed(entry: &str) -> (Nats, Bench, Up, Puppet, Handed, String) {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", entry)]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = driver.next();
    (nats, bench, up, driver, handed, run)
}

fn good(data: Value) -> Value {
    json!({"success": true, "message": "done", "data": data})
}

/// Why answers of a run were not taken, once there are so many.
fn ignored(up: &Up, run: &str, count: usize) -> Vec<String> {
    let run = up.until(&format!("/runs/{run}"), |run| {
        run["ignored"]
            .as_array()
            .is_some_and(|all| all.len() >= count)
    });
    let all = run["ignored"].as_array().unwrap();
    assert_eq!(all.len(), count, "{run:#}");
    let mut reasons: Vec<_> = all
        .iter()
        .map(|one| one["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    reasons
}

#[test]
fn what_is_not_the_answer_is_written_down_and_changes_nothing() {
    let (_nats, _bench, up, driver, handed, run) = handed(", token: required");
    let right = driver.result(&handed, good(json!("right")));
    let other = |field: &str, value: Value| {
        let mut result = right.clone();
        result[field] = value;
        result["driverresult"]["data"] = json!("wrong");
        result
    };
    let mut without = other("token", Value::Null);
    for field in ["token", "step_id", "attempt"] {
        without.as_object_mut().unwrap().remove(field);
    }
    driver.publish(&without);
    driver.publish(&other("token", json!("0".repeat(32))));
    driver.publish(&other("attempt", json!(2)));
    driver.publish(&other("step_id", json!("another")));
    // Of no run of this host, and of none at all: they are another's, or nobody's.
    driver.publish(&other(
        "run_id",
        json!("0190d6c8-7f5e-7cc0-98a5-2f3a5d8a1b6e"),
    ));
    driver.publish(&other("run_id", json!("nonsense")));
    driver.publish_bytes(b"not JSON".to_vec());
    driver.publish_bytes(b"{}".to_vec());
    let mut stranger = other("run_id", json!(run));
    stranger["driverresult"]["driver"] = json!("b");
    driver.publish(&stranger);
    driver.publish(&other("host", json!("another host")));
    let reasons = ignored(&up, &run, 6);
    let expected = [
        "`host` says that the step ran in a host",
        "attempt 1 of step `another` is not open",
        "attempt 2 of step `s` is not open",
        "it has no token, and belt.yaml says `token: required`",
        "its token is not that of the attempt",
        "the step is driver `a`'s",
    ];
    assert_eq!(reasons, expected);
    driver.publish(&right);
    let shown = up.ended(&run);
    assert_eq!(
        (&shown["status"], &shown["steps"][0]["output"]),
        (&json!("succeeded"), &json!("right"))
    );
    let metrics = up.get("/metrics").text();
    for what in ["step", "attempt"] {
        let took = format!("beltline_{what}_duration_seconds_count{{driver=\"a\"}} 1");
        assert!(metrics.contains(&took), "{took}\n{metrics}");
    }
    assert!(
        metrics.contains("beltline_native_results_ignored_total 9"),
        "{metrics}"
    );
}

#[test]
fn what_names_no_run_is_written_down_too_and_of_much_the_latest() {
    let (nats, bench, up, driver, handed, run) = handed("");
    let reasons = |up: &Up, last: &str| {
        let shown = up.until("/drivers", |shown| {
            let all = shown["ignored"].as_array();
            let last_one = all.and_then(|all| all.last());
            last_one.is_some_and(|one| one["reason"].as_str().unwrap().contains(last))
        });
        let all = shown["ignored"].as_array().unwrap();
        let reasons = all.iter().map(|one| one["reason"].as_str().unwrap());
        reasons.map(str::to_owned).collect::<Vec<_>>()
    };
    driver.publish_bytes(b"not JSON".to_vec());
    driver.publish_bytes(b"{}".to_vec());
    let mut nobodys = driver.result(&handed, good(json!(1)));
    nobodys["run_id"] = json!("nonsense");
    driver.publish(&nobodys);
    let all = reasons(&up, "`run_id` is no run's: nonsense");
    let expected = ["it is no answer: expected ident", "missing field `run_id`"];
    for (reason, expected) in all.iter().zip(expected) {
        assert!(reason.contains(expected), "{all:?}");
    }
    // It is there after a restart, and people see it.
    let up = up.killed_and_started_with(&bench, &["--nats", &nats.url()]);
    assert_eq!(reasons(&up, "nonsense"), all);
    let said = bench.belt(&["drivers", "list", "--state", "state"]);
    assert!(
        said.stdout
            .contains("3 answers on the broker name no run; the last, at "),
        "{said:?}"
    );
    for nth in 0..100 {
        nobodys["run_id"] = json!(format!("{nth}."));
        driver.publish(&nobodys);
        reasons(&up, &format!(": {nth}."));
    }
    let last = reasons(&up, ": 99.");
    assert_eq!(last.len(), 100);
    assert!(last[0].ends_with(": 0."), "{}", last[0]);
    driver.publish(&driver.result(&handed, good(json!(1))));
    up.succeeded(&run);
}

/// Lines that were there before a restart are waited for by no answer after it.
#[test]
fn an_answer_does_not_wait_for_a_line_of_before_the_restart() {
    let (nats, bench, up, driver, handed, run) = handed("");
    let line = json!({"runid": run, "driver": "a", "message": "said"});
    let jetstream = nats.jetstream();
    let line = line.to_string().into_bytes();
    crate::nats::publish(&jetstream, &format!("logs.{run}"), line);
    up.until(&format!("/runs/{run}/logs"), |lines| {
        lines.as_array().is_some_and(|lines| lines.len() == 1)
    });
    let stream = wait(jetstream.get_stream("logs-engine")).unwrap();
    let is_acknowledged = async || {
        let mut all = stream.consumers();
        let info = futures::StreamExt::next(&mut all).await.unwrap();
        info.unwrap().ack_floor.stream_sequence == 1
    };
    wait(async {
        while !is_acknowledged().await {
            tokio::task::yield_now().await;
        }
    });
    let up = up.killed_and_started_with(&bench, &["--nats", &nats.url()]);
    let mut driver = driver;
    let other = up.begin("other");
    let of_other = driver.next();
    // One that waits in vain comes first.
    for (handed, line) in [(of_other, 1_000), (handed, 1)] {
        let mut named = driver.result(&handed, good(json!(line)));
        named["log_sequence"] = json!(line);
        driver.publish(&named);
    }
    let (waited, had) = (up.succeeded(&other), up.succeeded(&run));
    assert!(
        had["ended_at"].as_str() < waited["ended_at"].as_str(),
        "{had:#} {waited:#}"
    );
}

/// Somebody deletes the consumer by which the host reads answers: it goes on where it was, and what it has taken comes no second
/// time.
#[test]
fn a_host_whose_consumer_is_deleted_goes_on_after_the_last_answer() {
    let (nats, _bench, up, driver, handed, run) = handed("");
    driver.succeed(&handed, json!(1));
    up.succeeded(&run);
    let jetstream = nats.jetstream();
    let deleted = wait(async {
        let stream = jetstream.get_stream("pipeline-engine").await.unwrap();
        let mut names = stream.consumer_names();
        let name = futures::StreamExt::next(&mut names).await.unwrap().unwrap();
        stream.delete_consumer(&name).await.unwrap();
        name
    });
    let mut driver = driver;
    let second = up.begin("second");
    let handed = driver.next();
    driver.succeed(&handed, json!(2));
    up.succeeded(&second);
    until_consumer(&nats, "pipeline-engine", &deleted, |info| {
        info.num_pending == 0 && info.num_ack_pending == 0
    });
    let shown = up.get(&format!("/runs/{run}")).is(200);
    assert!(shown.get("ignored").is_none(), "{shown:#}");
}

#[test]
fn an_answer_of_one_run_is_none_of_another() {
    let (_nats, _bench, up, mut driver, first, run) = handed("");
    let other = up.begin("other");
    let second = driver.next();
    let mut wrong = driver.result(&first, good(json!("of the first")));
    wrong["run_id"] = json!(other);
    driver.publish(&wrong);
    let reasons = ignored(&up, &other, 1);
    assert_eq!(reasons, ["its token is not that of the attempt"]);
    driver.succeed(&second, json!("of the second"));
    driver.succeed(&first, json!("of the first"));
    for (run, output) in [(run, "of the first"), (other, "of the second")] {
        assert_eq!(up.succeeded(&run)["steps"][0]["output"], output);
    }
}

#[test]
fn of_two_answers_one_is_taken() {
    let (_nats, _bench, up, driver, handed, run) = handed("");
    driver.publish(&driver.result(&handed, good(json!(1))));
    driver.publish(&driver.result(&handed, good(json!(2))));
    // They are looked at side by side: whichever is through first.
    let shown = up.succeeded(&run);
    let output = &shown["steps"][0]["output"];
    assert!([1, 2].contains(&output.as_i64().unwrap()), "{shown:#}");
    let reasons = ignored(&up, &run, 1);
    let both = ["attempt 1 of step `s` is not open", "its attempt has ended"];
    assert!(both.contains(&reasons[0].as_str()), "{reasons:?}");
}

#[test]
fn one_without_a_token_counts_where_there_is_no_doubt_and_says_so() {
    let (_nats, _bench, up, driver, handed, run) = handed(", kinds: [app], wire: conveyor");
    let plain = json!({"run_id": run, "resource": {}, "driverresult": {"success": true, "message": "", "data": 7, "driver": "a"}});
    driver.publish(&plain);
    let shown = up.ended(&run);
    assert_eq!(shown["steps"][0]["output"], 7);
    assert_eq!(shown["steps"][0]["attempts"][0]["fenced"], false);
    drop(handed);
}

/// What its driver answered to an earlier step may come once more.
#[test]
fn one_that_names_no_attempt_is_not_taken_where_its_driver_had_others_in_the_run() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let step = |id| json!({"id": id, "driver": "a"});
    up.line("line", json!([step("one"), step("two")]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    driver.succeed(&first, json!(1));
    let second = driver.next();
    let plain = json!({"run_id": run, "resource": {}, "driverresult": {"success": true, "message": "", "data": 1, "driver": "a"}});
    driver.publish(&plain);
    let expected = ["it may be older than the attempt, and does not say which it is of"];
    assert_eq!(ignored(&up, &run, 1), expected);
    driver.succeed(&second, json!(2));
    assert_eq!(up.succeeded(&run)["steps"][1]["output"], 2);
}

/// The second attempt is open and not with its driver yet: what comes without a name is to the first.
#[test]
fn one_that_names_no_attempt_is_not_taken_while_the_attempt_is_not_with_its_driver() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    let retry = json!({"max_attempts": 2, "backoff": "1ms"});
    up.line(
        "line",
        json!([{"id": "s", "driver": "a", "timeout": "5s", "retry": retry}]),
    );
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let first = driver.next();
    // From now on the stream takes no messages.
    let jetstream = nats.jetstream();
    let stream = wait(jetstream.get_stream("messages")).unwrap();
    let before = stream.cached_info().config.clone();
    let closed = Config {
        max_message_size: 1,
        ..before.clone()
    };
    wait(jetstream.update_stream(closed)).unwrap();
    let path = format!("/runs/{run}");
    up.until(&path, |run| {
        let attempts = run["steps"][0]["attempts"].as_array();
        attempts.is_some_and(|attempts| attempts.len() == 2)
    });
    // Why it waits stands in its log.
    let lines = up.until(&format!("{path}/logs"), |lines| {
        lines.as_array().is_some_and(|lines| !lines.is_empty())
    });
    let said = lines[0]["message"].as_str().unwrap();
    assert!(
        said.starts_with("it is not with driver `a` yet: NATS does not take a message on")
            && said.contains("maximum"),
        "{said}"
    );
    let mut bare = driver.result(&first, good(json!("first")));
    for field in ["token", "step_id", "attempt"] {
        bare.as_object_mut().unwrap().remove(field);
    }
    driver.publish(&bare);
    let reasons = ignored(&up, &run, 1);
    assert_eq!(
        reasons,
        ["it may be older than the attempt, and does not say which it is of"]
    );
    wait(jetstream.update_stream(before)).unwrap();
    let second = driver.next();
    assert_eq!(second.body["attempt"], 2);
    driver.succeed(&second, json!("second"));
    assert_eq!(up.succeeded(&run)["steps"][0]["output"], "second");
    let lines = up.get(&format!("{path}/logs")).is(200);
    assert_eq!(lines.as_array().unwrap().len(), 1, "said once: {lines:#}");
}

#[test]
fn one_that_echoes_the_resource_is_fenced_by_it() {
    let (_nats, _bench, up, driver, handed, run) =
        handed(", kinds: [app], wire: conveyor, token: required");
    let resource: Value = serde_json::from_str(handed.body["payload"].as_str().unwrap()).unwrap();
    driver.publish(&json!({"run_id": run, "resource": resource,
        "driverresult": {"success": true, "message": "", "data": 7, "driver": "a"}}));
    let shown = up.ended(&run);
    assert_eq!(shown["steps"][0]["output"], 7);
    assert!(shown["steps"][0]["attempts"][0].get("fenced").is_none());
}

#[test]
fn of_a_driver_with_two_steps_an_old_answer_without_a_token_does_not_end_the_second() {
    let nats = Nats::start();
    let bench = bench(&[], &[("a", ", kinds: [app], wire: conveyor"), ("b", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "b"}, {"id": "three", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let mut between = Puppet::attach(&nats, "b");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let first = driver.next();
    let plain = json!({"run_id": run, "driverresult": {"success": true, "message": "", "data": 1, "driver": "a"}});
    driver.publish(&plain);
    driver.publish(&plain);
    ignored(&up, &run, 1);
    let held = between.next();
    between.succeed(&held, json!(null));
    wait(first.message.double_ack()).unwrap();
    let second = driver.next();
    assert_eq!(
        (
            second.body["step_id"].as_str(),
            second.body["event"].as_str()
        ),
        (Some("three"), Some("process"))
    );
    driver.answer(&second, good(json!(3)));
    let shown = up.ended(&run);
    assert_eq!(
        [&shown["steps"][0]["output"], &shown["steps"][2]["output"]],
        [&json!(1), &json!(3)]
    );
}

#[test]
fn an_output_that_is_too_large_fails_the_step_by_name() {
    let nats = Nats::of("current", "max_payload: 16MB");
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    let handed = driver.next();
    // 9 MB are not even read: whose it is cannot be known.
    driver.publish(&driver.result(&handed, good(json!("x".repeat(9 << 20)))));
    driver.publish(&driver.result(&handed, good(json!("x".repeat(2 << 20)))));
    let shown = up.ended(&run);
    let unread = up.get("/drivers").is(200)["ignored"][0]["reason"].clone();
    assert!(
        unread
            .as_str()
            .unwrap()
            .contains("at most 8388608 are read"),
        "{unread}"
    );
    assert_eq!(shown["failure"]["kind"], "limit", "{shown:#}");
    let reason = shown["failure"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("over its output limit of 262144 bytes"),
        "{reason}"
    );
}

/// A driver of Conveyor's sends back the resource, and in it what all before it have left.
#[test]
fn an_answer_may_bring_back_all_that_was_answered_before() {
    let nats = Nats::of("current", "max_payload: 8MB");
    let names = ["a", "b", "c", "d", "e"];
    let conveyor = ", wire: conveyor, kinds: [app]";
    let bench = bench(&[], &names.map(|name| (name, conveyor)));
    let up = nats.up(&bench);
    let steps = names.map(|name| json!({"id": name, "driver": name}));
    up.line("line", json!(steps));
    let run = up.begin("thing");
    for name in names {
        let mut driver = Puppet::attach(&nats, name);
        let handed = driver.next();
        let payload = handed.body["payload"].as_str().unwrap();
        let mut echoed = driver.result(&handed, good(json!("x".repeat(250 << 10))));
        echoed["resource"] = serde_json::from_str(payload).unwrap();
        driver.publish(&echoed);
        wait(handed.message.double_ack()).unwrap();
    }
    up.succeeded(&run);
}

#[test]
fn a_message_that_the_broker_would_not_take_is_not_sent() {
    let nats = Nats::of("current", "max_payload: 64KB");
    let bench = bench(&["say"], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "s", "driver": "a"}]));
    let mut new = order("thing");
    new["resource"]["spec"] = json!({"text": "x".repeat(100_000)});
    let shown = up.ended(&id(&up.post("/runs", &new).is(201)));
    assert_eq!(shown["status"], "failed");
    let reason = shown["failure"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("the broker takes 65536 (`max_payload`)"),
        "{reason}"
    );
}

#[test]
fn lines_of_native_drivers_stand_beside_the_others() {
    let (nats, _bench, up, driver, handed, run) = handed("");
    let jetstream = nats.jetstream();
    let say = |line: Value| {
        let mut line = line;
        line["runid"] = json!(run);
        line["driver"] = json!("a");
        crate::nats::publish(
            &jetstream,
            &format!("logs.{run}"),
            line.to_string().into_bytes(),
        );
    };
    let mut frames = up.frames(&format!("/runs/{run}/logs"), &[]);
    // As Conveyor's drivers say it, and as ours do.
    say(json!({"pipeline": "", "timestamp": "1", "message": "plain"}));
    let live = frames.next().unwrap();
    assert_eq!(live.data["message"], "plain");
    say(
        json!({"message": "with all", "step_id": "s", "attempt": 1, "level": "warn", "at_ms": 5, "fields": {"n": 1}}),
    );
    let told = json!({"success": true, "message": "", "data": null});
    let mut result = driver.result(&handed, told);
    result["log_sequence"] = json!(2);
    driver.publish(&result);
    up.ended(&run);
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    let lines: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["step"].as_str().unwrap(),
                line["level"].as_str().unwrap(),
                line["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(lines, [("s", "info", "plain"), ("s", "warn", "with all")]);
}

/// Of the drivers before and after it, too, and to those who watch as to those who read later.
#[test]
fn lines_of_wasm_and_native_steps_have_one_order() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", "")]);
    let up = nats.up(&bench);
    let steps = json!([{"id": "before", "driver": "say"}, {"id": "s", "driver": "a"}, {"id": "after", "driver": "say"}]);
    up.line("line", steps);
    let mut driver = Puppet::attach(&nats, "a");
    let run = up.begin("thing");
    let mut frames = up.frames(&format!("/runs/{run}/logs"), &[]);
    let handed = driver.next();
    for message in ["one", "two", "three"] {
        let line = json!({"runid": run, "driver": "a", "message": message});
        let line = line.to_string().into_bytes();
        crate::nats::publish(&nats.jetstream(), &format!("logs.{run}"), line);
    }
    let mut result = driver.result(&handed, good(Value::Null));
    result["log_sequence"] = json!(3);
    driver.publish(&result);
    up.succeeded(&run);
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    let lines = lines.as_array().unwrap();
    let mut steps: Vec<_> = lines.iter().map(|line| &line["step"]).collect();
    steps.dedup();
    assert_eq!(steps, ["before", "s", "after"], "{lines:#?}");
    let own = lines.iter().filter(|line| line["step"] == "s");
    let own: Vec<_> = own.map(|line| &line["message"]).collect();
    assert_eq!(own, ["one", "two", "three"]);
    for line in lines {
        assert_eq!(frames.next().unwrap().data, *line);
    }
}

#[test]
fn a_log_that_is_full_takes_no_lines_of_native_drivers_and_says_so() {
    let (nats, bench, up, driver, handed, run) = handed("");
    // As much as there may be, but for a line.
    let line = json!({"at_ms": 1, "step": "s", "attempt": 1, "level": "info", "message": "x".repeat(16 << 10)});
    let line = format!("{line}\n");
    let count = (16 << 20) / line.len();
    bench.write(&format!("state/logs/{run}.jsonl"), line.repeat(count));
    let jetstream = nats.jetstream();
    let mut result = driver.result(&handed, good(Value::Null));
    for (nth, text) in ["y".repeat(16 << 10), "more".to_owned()].iter().enumerate() {
        let line = json!({"runid": run, "driver": "a", "message": text});
        let line = line.to_string().into_bytes();
        crate::nats::publish(&jetstream, &format!("logs.{run}"), line);
        result["log_sequence"] = json!(nth + 1);
    }
    driver.publish(&result);
    up.succeeded(&run);
    let log = bench.read(&format!("state/logs/{run}.jsonl"));
    let said: Vec<Value> = log
        .lines()
        .skip(count)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(said[0]["message"].as_str().unwrap().starts_with('y'));
    let told = "the log is at the limit of 16 MiB and takes no more lines of native drivers";
    assert_eq!((said.len(), &said[1]["message"]), (2, &json!(told)));
    let line = json!({"runid": run, "driver": "a", "message": "more"});
    assert!(up.post("/logs", &line).refused(413).contains("16 MiB"));
}

#[test]
fn steps_that_ran_here_are_told_on_the_broker_too() {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "here", "driver": "say"}]));
    let mut watched = nats.subscribe("pipelines.driver.result");
    let run = id(&up.post("/runs?wait=60s", &order("thing")).is(201));
    let message = wait(futures::StreamExt::next(&mut watched)).unwrap();
    let told: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(
        (told["run_id"].as_str(), told["step_id"].as_str()),
        (Some(run.as_str()), Some("here"))
    );
    assert!(told["host"].is_string());
    assert_eq!(told["driverresult"]["success"], true);
    assert_eq!(told["driverresult"]["driver"], "say");
    let shown = up.get(&format!("/runs/{run}")).is(200);
    assert_eq!(told["driverresult"]["data"], shown["steps"][0]["output"]);
    assert!(shown.get("ignored").is_none());
}

/// By the time that they are told, the step is in its next attempt, or over.
#[test]
fn each_attempt_that_ran_here_is_told_as_it_ended() {
    let nats = Nats::start();
    let bench = bench(&["fail"], &[("a", "")]);
    let up = nats.up(&bench);
    let retry = json!({"max_attempts": 3, "backoff": "1ms"});
    let with = json!({"kind": "retryable", "reason": "not yet", "before_attempt": 3});
    up.line(
        "line",
        json!([{"id": "s", "driver": "fail", "with": with, "retry": retry}]),
    );
    let mut watched = nats.subscribe("pipelines.driver.result");
    up.begin("thing");
    for attempt in 1..=3 {
        let message = wait(futures::StreamExt::next(&mut watched)).unwrap();
        let told: Value = serde_json::from_slice(&message.payload).unwrap();
        let outcome = &told["driverresult"];
        assert_eq!(told["attempt"], attempt, "{told:#}");
        assert_eq!(outcome["success"], attempt == 3, "{told:#}");
        let failure = json!((attempt < 3).then_some("retryable"));
        assert_eq!(outcome["failure"], failure, "{told:#}");
        let data = json!((attempt == 3).then_some(3));
        assert_eq!(outcome["data"]["attempt"], data, "{told:#}");
    }
}

#[test]
fn outputs_that_a_message_cannot_carry_are_asked_for_with_the_token() {
    let nats = Nats::of("current", "max_payload: 8MB");
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "a"}, {"id": "three", "driver": "a"}]));
    let mut driver = Puppet::attach(&nats, "a");
    let run = id(&up.post("/runs", &order("thing")).is(201));
    for fill in ["x", "y"] {
        let handed = driver.next();
        driver.succeed(&handed, json!(fill.repeat(200 << 10)));
    }
    let handed = driver.next();
    assert_eq!(handed.body["outputs"]["one"], "x".repeat(200 << 10));
    assert_eq!(handed.body["outputs_left"], json!(["two"]));
    let client = nats.client();
    let ask = |token: &Value, of: &str| -> Value {
        let request = json!({"step_id": "three", "attempt": 1, "token": token, "of": of});
        let subject = format!("live.outputs.{run}");
        let reply = wait(client.request(subject, request.to_string().into())).unwrap();
        serde_json::from_slice(&reply.payload).unwrap()
    };
    let token = &handed.body["token"];
    assert_eq!(ask(token, "two"), json!({"output": "y".repeat(200 << 10)}));
    assert_eq!(
        ask(&json!("forged"), "two"),
        json!({"refused": "the token is of no open attempt"})
    );
    assert_eq!(
        ask(token, "four"),
        json!({"refused": "the run has no such step"})
    );
    driver.succeed(&handed, json!(null));
    assert_eq!(up.ended(&run)["status"], "succeeded");
}
