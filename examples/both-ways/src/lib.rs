//! Counts words. Nothing here knows whether it runs in a component or in a program of its own.

use beltline_sdk::{Failure, Outcome, Request, context};
use serde::{Deserialize, Serialize};

beltline_sdk::driver! {
    name: "words",
    kinds: ["text"],
    wants: {},
    reconcile
}

/// The resource's `spec`.
#[derive(Deserialize)]
struct Spec {
    text: String,
}

/// The step's output.
#[derive(Serialize)]
struct Output {
    words: usize,
    /// The steps before this one that have left something.
    after: Vec<String>,
}

fn reconcile(request: Request<Spec>) -> Result<Outcome<Output>, Failure> {
    let words = request.resource.spec.text.split_whitespace().count();
    log::info!(words; "counted");
    Ok(Outcome::new(format!("{words} words")).output(Output {
        words,
        after: context::outputs(),
    }))
}

#[cfg(test)]
mod tests {
    use beltline_sdk::testing::Harness;
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_counted() {
        let call = Harness::new()
            .spec(json!({"text": "one  two"}))
            .output("here", 1);
        let output = json!({"words": 2, "after": ["here"]});
        assert_eq!(call.run(reconcile).output(), &output);
    }
}
