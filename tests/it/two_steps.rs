//! A host over a broker, whose pipeline `line` has two steps of the native driver `a`.

use crate::belt::Bench;
use crate::nats::{Nats, bench, until_consumer};
use crate::proxy::Proxy;
use crate::up::Up;
use serde_json::json;

pub fn two_steps(up: &Up) {
    up.line(
        "line",
        json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "a"}]),
    );
}

pub fn host() -> (Nats, Bench, Up) {
    host_over("current")
}

/// Over this nats-server, `current` or `old`.
pub fn host_over(which: &'static str) -> (Nats, Bench, Up) {
    let nats = Nats::of(which, "");
    let bench = bench(&[], &[("a", "")]);
    let up = nats.up(&bench);
    two_steps(&up);
    (nats, bench, up)
}

/// One whose connection to the broker a proxy has in hand.
pub fn host_behind_proxy() -> (Nats, Proxy, Bench, Up) {
    host_behind_proxy_to("current")
}

pub fn host_behind_proxy_to(which: &'static str) -> (Nats, Proxy, Bench, Up) {
    let nats = Nats::of(which, "");
    let proxy = Proxy::to(nats.port);
    let bench = bench(&[], &[("a", "")]);
    let up = Up::with(&bench, &["--nats", &proxy.url()]);
    two_steps(&up);
    (nats, proxy, bench, up)
}

/// A run whose first message waits in the stream, as the host has written down: nothing of it is under way.
#[track_caller]
pub fn begun(nats: &Nats, up: &Up) -> String {
    let run = up.begin("thing");
    until_consumer(nats, "messages", "a", |info| info.num_pending == 1);
    up.rests();
    run
}
