//! `examples/python-driver` where its broker does not answer.

use crate::belt::{Bench, root};
use crate::nats::{Nats, PATIENCE, bench, until_consumer};
use crate::program::Program;
use crate::proxy::{Proxy, Then};
use crate::up::Up;
use serde_json::json;
use std::process::Command;

/// A host with the pipeline `line` of one step, and the driver, which reaches the broker there.
fn notary(nats: &Nats, url: &str) -> (Bench, Up, Program) {
    let bench = bench(&[], &[("notary", "")]);
    let up = nats.up(&bench);
    up.line("line", json!([{"id": "seal", "driver": "notary"}]));
    until_consumer(nats, "messages", "notary", |_| true);
    let example = root().join("examples/python-driver");
    let mut command = Command::new(example.join("python"));
    command.arg("-u").arg(example.join("driver.py"));
    command.env("NATS_URL", url);
    let program = Program::of(&bench, command);
    until_consumer(nats, "messages", "notary", |info| info.num_waiting > 0);
    (bench, up, program)
}

#[test]
fn its_answer_is_sent_until_the_broker_has_it() {
    let nats = Nats::start();
    let proxy = Proxy::to(nats.port);
    let (_bench, up, program) = notary(&nats, &proxy.url());
    let answered = proxy.watch("pipelines.driver.result", Then::Stop);
    let run = up.begin("thing");
    answered.recv_timeout(PATIENCE).unwrap();
    program.says("not taken, trying on");
    proxy.deafen(false);
    proxy.cut();
    let shown = up.succeeded(&run);
    let sealed = &shown["steps"][0]["output"]["sealed"];
    assert!(sealed.is_string(), "{shown:#}");
}

#[test]
fn it_outlives_its_broker() {
    let mut nats = Nats::start();
    let (_bench, up, program) = notary(&nats, &nats.url());
    nats.kill();
    nats.again();
    up.succeeded(&up.begin("thing"));
    program.terminate();
    assert_eq!(program.end().0, 0);
}
