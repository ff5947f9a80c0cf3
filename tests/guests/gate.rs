//! Says that it waits, and waits until `/workspace/<step>.open` is there. The test holds the key.

use guests::{Failure, Outcome, Request, json, left};
use std::path::Path;
use std::time::Duration;

guests::guest!(reconcile);
guests::manifest!(r#"{"manifest":1,"name":"gate","version":"1.0.0","wants":{"workspace":"ro"}}"#);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let path = format!("/workspace/{}.open", request.info.step_id);
    eprintln!("at the gate");
    while !Path::new(&path).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    left(json!({"attempt": request.info.attempt, "key": request.info.key}))
}
