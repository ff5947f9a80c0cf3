//! An effect: appends its run's step to `/workspace/effects`, then lingers `with.ms` milliseconds.

use guests::{Failure, Outcome, Request, json, left};
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"append","version":"1.0.0","wants":{"workspace":"rw"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    println!("appending");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open("/workspace/effects")
        .expect("it is granted");
    writeln!(file, "{} {}", request.info.step_id, request.info.key).expect("it can be written");
    let ms = guests::with(&request)["ms"].as_u64().unwrap_or(0);
    if ms > 0 {
        std::thread::sleep(Duration::from_millis(ms));
    }
    left(json!({"step": request.info.step_id, "attempt": request.info.attempt}))
}
