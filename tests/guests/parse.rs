//! Reads `with.text` as JSON and writes it out again, `with.times` times, and leaves how much that was: what drivers
//! mostly do when they compute.

use guests::{Failure, Outcome, Request, Value, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    let text = with["text"].to_string();
    let times = with["times"].as_u64().unwrap_or(0);
    let there_and_back = |_| {
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        value.to_string().len() as u64
    };
    left(json!({"bytes": (0..times).map(there_and_back).sum::<u64>()}))
}
