//! Reads the lockfiles of the workspace.

use beltline_sdk::{Failure, Outcome, Request};

beltline_sdk::driver! {
    name: "sbom",
    kinds: ["workspace"],
    wants: { workspace: ro, out: rw },
    reconcile
}

fn reconcile(request: Request) -> Result<Outcome<usize>, Failure> {
    let root = beltline_sdk::workspace()?;
    let text = std::fs::read_to_string(root.join("Cargo.lock"))?;
    log::info!(bytes = text.len(); "read {}", request.resource.name);
    assert!(!text.is_empty(), "empty lockfile");
    Ok(Outcome::new("counted").output(text.matches("[[package]]").count()))
}
