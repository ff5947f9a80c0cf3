//! Looks for what nobody granted it, and leaves what it found.

use guests::{Failure, Outcome, Request, json, left};
use std::io::Read;

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    let open = |path: &str| {
        std::fs::read_dir(path)
            .map(|found| found.count())
            .map_err(|error| error.kind().to_string())
    };
    let mut input = Vec::new();
    let stdin = std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| error.kind().to_string());
    left(json!({
        "env": std::env::vars().count(),
        "args": std::env::args().count(),
        "stdin": stdin,
        "root": open("/"),
        "here": open("."),
        "workspace": open("/workspace"),
        "out": open("/out"),
        "connect": std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()).map_err(|error| error.kind().to_string()),
    }))
}
