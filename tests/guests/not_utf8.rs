//! Writes bytes that are no UTF-8 to stdout and stderr.

use guests::{Failure, Outcome, Request, json, left};
use std::io::Write;

guests::guest!(reconcile);

fn reconcile(_: Request) -> Result<Outcome, Failure> {
    std::io::stdout()
        .write_all(b"out \xff\xfe end\n")
        .expect("the host takes bytes");
    std::io::stderr()
        .write_all(b"err \xc3\n")
        .expect("the host takes bytes");
    left(json!(null))
}
