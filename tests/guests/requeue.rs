//! Leaves why it was called, and wants to look again in `with.ms` milliseconds; not where it looks again already.

use guests::{Failure, Outcome, Request, json};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let ms = guests::with(&request)["ms"].as_u64();
    Ok(Outcome {
        message: "looked".to_owned(),
        output: Some(json!({"event": request.event}).to_string()),
        requeue_after_ms: ms.filter(|_| request.event != "resync"),
        extra: Vec::new(),
    })
}
