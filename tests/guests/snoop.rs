//! Looks for what nobody granted it, and leaves what it found.

use guests::{Failure, Outcome, Request, Value, json, left};
use std::io::{self, Read};

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    let open = |path: &str| told(std::fs::read_dir(path).map(|found| found.count()));
    left(json!({
        "env": std::env::vars().count(),
        "args": std::env::args().count(),
        "stdin": told(io::stdin().read_to_end(&mut Vec::new())),
        "root": open("/"),
        "here": open("."),
        "workspace": open("/workspace"),
        "out": open("/out"),
        "connect": told(std::net::TcpStream::connect("127.0.0.1:1").map(|_| 1)),
    }))
}

fn told(found: io::Result<usize>) -> Value {
    match found {
        Ok(count) => json!({"found": count}),
        Err(error) => json!({"error": error.kind().to_string()}),
    }
}
