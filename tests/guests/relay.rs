//! Leaves its key and all that came before it. Where it has a workspace it appends its key to `effects` there.
//!
//! `with: {flaky: true}` fails its first attempt, `with: {linger: true}` never ends. Without JSON of its own it
//! compiles in a moment: it is run hundreds of times.

use guests::{Failure, Outcome, Request, RetryHint, raw, run_context};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"relay","version":"1.0.0","wants":{"workspace":"rw"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let (with, info) = (&request.with, &request.info);
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open("/workspace/effects");
    if let Ok(mut file) = file {
        file.write_all(format!("{}\n", info.key).as_bytes())
            .expect("it can be written");
    }
    if with.contains("linger") {
        eprintln!("lingering");
        std::thread::sleep(Duration::from_secs(100_000));
    }
    if with.contains("flaky") && info.attempt == 1 {
        let reason = "the first attempt".to_owned();
        return Err(Failure::Retryable(RetryHint {
            reason,
            after_ms: None,
        }));
    }
    let before: Vec<_> = run_context::outputs()
        .into_iter()
        .filter_map(|step| Some(format!("{step:?}:{}", run_context::output(&step)?)))
        .collect();
    raw(format!(
        "{{\"key\":{:?},\"before\":{{{}}}}}",
        info.key,
        before.join(",")
    ))
}
