//! A native driver that does what its step's `with` says: the tests run it as a program.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use beltline_sdk::{Explain as _, Failure, Outcome, Request, cancel, config, context};
use serde::Deserialize;
use serde_json::{Value, json};

beltline_sdk::driver! {
    name: "tester",
    kinds: [],
    wants: { workspace: rw },
    reconcile
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct With {
    /// A file that gets a line when the attempt begins.
    begun: Option<PathBuf>,
    /// How many lines to log.
    lines: u64,
    /// A file to wait for.
    until: Option<PathBuf>,
    /// A file that gets the step's key after that.
    effect: Option<PathBuf>,
    /// A file to wait for after the effect.
    then: Option<PathBuf>,
    /// Whether to wait on when told to stop.
    stubborn: bool,
    /// Whether to panic.
    panic: bool,
    /// The length of the output.
    bytes: Option<usize>,
    /// A step whose output to give back.
    output_of: Option<String>,
    /// Whether to ask for the workspace.
    workspace: bool,
}

fn main() -> ExitCode {
    beltline_sdk_native::main(DRIVER)
}

fn reconcile(request: Request<Value, With>) -> Result<Outcome<Value>, Failure> {
    let with = request.with;
    if let Some(path) = &with.begun {
        let line = format!("{} {}", std::process::id(), request.run.attempt);
        append(path, &line).explain("begun")?;
    }
    for number in 0..with.lines {
        log::info!(number; "line {number}");
    }
    if let Some(path) = &with.until {
        wait_for(path, with.stubborn)?;
    }
    if let Some(path) = &with.effect {
        append(path, &request.run.key).explain("effect")?;
    }
    if let Some(path) = &with.then {
        wait_for(path, with.stubborn)?;
    }
    if with.panic {
        panic!("as it was told");
    }
    let workspace = if with.workspace {
        Some(beltline_sdk::workspace()?)
    } else {
        None
    };
    let output = match (&with.bytes, &with.output_of) {
        (Some(bytes), _) => json!("x".repeat(*bytes)),
        (None, Some(step)) => json!({"had": context::output::<Value>(step)?}),
        (None, None) => json!({
            "name": request.resource.name, "key": request.run.key, "config": config::<Value>()?,
            "context": context::get::<Value>("k")?, "outputs": context::outputs(), "workspace": workspace,
        }),
    };
    Ok(Outcome::new("done").output(output))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

fn wait_for(path: &Path, stubborn: bool) -> Result<(), Failure> {
    while !path.exists() {
        if !stubborn {
            cancel::check()?;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    Ok(())
}
