//! Says one line each way: stdout, stderr, the `log` import.

use guests::{Failure, Outcome, Request, json, left, log};
use std::io::Write;

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let who = &request.info.step_id;
    println!("{who} on stdout");
    eprintln!("{who} on stderr");
    let fields = [
        ("count".to_owned(), "3".to_owned()),
        ("text".to_owned(), "not JSON".to_owned()),
    ];
    log::write(log::Level::Info, &format!("{who} through log"), &fields);
    log::write(log::Level::Trace, "never kept", &[]);
    print!("without a line end");
    std::io::stdout().flush().expect("the host takes it");
    left(
        json!({"trace": log::enabled(log::Level::Trace), "debug": log::enabled(log::Level::Debug)}),
    )
}
