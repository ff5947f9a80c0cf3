//! Says that it waits, and waits until `/out/<step>.open` is there: a gate of a run that has no workspace. Leaves a file.

use guests::{Failure, Outcome, Request, json, left};
use std::fs;
use std::path::Path;
use std::time::Duration;

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"latch","version":"1.0.0","wants":{"out":"rw"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let path = format!("/out/{}.open", request.info.step_id);
    println!("at the latch");
    while !Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("past the latch");
    fs::create_dir_all("/out/deep").expect("it is granted");
    fs::write("/out/deep/made", "made here").expect("it is granted");
    left(json!({"attempt": request.info.attempt, "key": request.info.key}))
}
