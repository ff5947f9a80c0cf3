//! No driver reaches a network, whichever way it asks: nothing of the kind can be granted yet.

use crate::belt::{Bench, guest};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::TcpListener;

/// What a guest leaves that is told where somebody listens, who must not have heard from it.
#[track_caller]
fn left(name: &str, with: impl FnOnce(u16) -> Value) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers: {{{name}: {{path: {path}}}}}\n"),
    );
    bench.pipeline(
        "",
        &[&format!(
            "{{id: reach, driver: {name}, with: {}}}",
            with(port)
        )],
    );
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let heard = listener
        .accept()
        .map(|(_, from)| from)
        .map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock), "somebody connected");
    said.json()["steps"][0]["output"].clone()
}

#[test]
fn sockets_and_names_are_refused_at_the_call() {
    let left = left("connect", |port| json!({"port": port}));
    assert_eq!(
        left,
        json!({"tcp": "access-denied", "name": "permanent-resolver-failure"})
    );
}

#[test]
fn http_is_refused_at_the_call() {
    let left = left(
        "http",
        |port| json!({"authority": format!("127.0.0.1:{port}")}),
    );
    assert_eq!(left, "Err(ErrorCode::HttpRequestDenied)");
}
