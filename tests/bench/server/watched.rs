//! A run that a thousand watch, against one that nobody watches.

use super::http::get;
use super::load::{Load, What};
use super::up::{Place, Up};
use super::{KIND, median};
use crate::rounds::Effort;
use crate::table::{Goal, Table};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

const WATCHERS: usize = 1_000;

const STEPS: usize = 20;

pub fn measure(effort: Effort, table: &mut Table) {
    let place = Place::new();
    let up = place.up();
    // The first step lasts until all have come.
    let first = r#"{"id":"first","driver":"linger","with":{"ms":2000}}"#.to_owned();
    let step = |id| format!(r#"{{"id":"s{id}","driver":"linger","with":{{"ms":50}}}}"#);
    let steps: Vec<_> = [first].into_iter().chain((0..STEPS).map(step)).collect();
    up.apply("watched", &steps);
    let rounds = match effort {
        Effort::Quick => 1,
        Effort::Whole => 3,
    };
    let (mut unwatched, mut watched) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        unwatched.push(run(&up, &format!("unwatched-{round}"), 0));
        watched.push(run(&up, &format!("watched-{round}"), WATCHERS));
    }
    table.ratio(
        format!("run of {STEPS} steps of 50 ms, {WATCHERS} watchers"),
        (median(watched), "ms"),
        (median(unwatched), "nobody watches"),
        Some(Goal::AtMost(1.10)),
    );
}

/// How long the run takes after its first step, in milliseconds.
fn run(up: &Up, name: &str, watchers: usize) -> f64 {
    let body = format!(
        r#"{{"pipeline":"watched","resource":{{"name":"{name}","resource":"{KIND}","spec":{{}}}}}}"#
    );
    let begun = up.post("/runs", &body);
    let path = format!("/runs/{}", begun["run"].as_str().expect("it has an id"));
    if watchers > 0 {
        let load = Load {
            address: up.address,
            clients: watchers,
            requests: watchers,
            per_second: None,
            what: What::Watch(format!("{path}/events")),
        };
        load.apart();
    }
    let ended = up.get(&format!("{path}?wait=60s"));
    assert_eq!(ended["status"], "succeeded");
    let elapsed = |of: &serde_json::Value| of["elapsed_ms"].as_f64().expect("it has ended");
    elapsed(&ended) - elapsed(&ended["steps"][0])
}

/// Reads the events of a run, so many times at once, to their end.
pub fn watch(address: SocketAddr, path: &str, watchers: usize) -> Vec<f64> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be had");
    let request = get(address, path);
    runtime.block_on(async {
        let all: Vec<_> = (0..watchers)
            .map(|_| tokio::spawn(events(address, request.clone())))
            .collect();
        let mut seen = Vec::new();
        for one in all {
            seen.push(one.await.expect("nobody is cut off") as f64);
        }
        // A begin and an end of each step at the least.
        let least = seen.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least > 2.0 * STEPS as f64, "somebody saw {least} events");
        seen
    })
}

/// How many events there were.
async fn events(address: SocketAddr, request: Vec<u8>) -> usize {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(&request).await.expect("it takes requests");
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    // The last chunk of a stream is an empty one.
    while !all.ends_with(b"\r\n0\r\n\r\n") {
        let read = stream.read(&mut chunk).await.expect("it answers");
        assert!(read > 0, "the stream is cut off");
        all.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
    String::from_utf8_lossy(&all).matches("\nid: ").count()
}
