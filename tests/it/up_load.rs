//! Many clients at the same time: each gets its own run, and every run ends.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::json;
use std::collections::BTreeSet;
use std::thread;

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
    let mut succeeded = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = up
            .get(&format!("/runs?limit=1000&status=succeeded{cursor}"))
            .is(200);
        succeeded.extend(page["runs"].as_array().unwrap().iter().map(id));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(succeeded, made);
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
