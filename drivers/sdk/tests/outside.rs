//! A driver crate that knows nothing of this repository but the SDK's path builds to a component, and the
//! SDK's package has all that it needs.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DRIVER: &str = r#"
#![forbid(unsafe_code)]
#![deny(warnings)]
//! The smallest driver.

use beltline_sdk::{Failure, Outcome, Request};

beltline_sdk::driver! { name: "outside", kinds: ["thing"], wants: { out: rw }, reconcile }

fn reconcile(request: Request) -> Result<Outcome<u64>, Failure> {
    Ok(Outcome::new(request.resource.name).output(1))
}
"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn a_crate_outside_builds_to_a_component() {
    let folder = tempfile::TempDir::new().unwrap();
    let crate_dir = folder.path().join("outside");
    fs::create_dir_all(crate_dir.join("src")).unwrap();
    // The profile of the drivers here, so that their dependencies are built once.
    let workspace = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let (_, profile) = workspace.split_once("[profile.driver]").unwrap();
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"9.8.7\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nbeltline-sdk = {{ path = {:?} }}\n\n[profile.driver]{profile}",
        env!("CARGO_MANIFEST_DIR")
    );
    fs::write(crate_dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(crate_dir.join("src/lib.rs"), DRIVER).unwrap();
    // The same versions as here, so that nothing is fetched; what the crate does not need is taken out.
    fs::copy(
        repository().join("Cargo.lock"),
        crate_dir.join("Cargo.lock"),
    )
    .unwrap();
    succeed(
        Command::new(env!("CARGO"))
            .args(["update", "--workspace", "--offline"])
            .current_dir(&crate_dir),
    );

    let out = folder.path().join("out");
    let build = repository().join("drivers/build");
    let arguments = [
        "outside",
        "--manifest-path",
        "outside/Cargo.toml",
        "--out",
        "out",
    ];
    succeed(
        Command::new(build)
            .args(arguments)
            .current_dir(folder.path()),
    );

    let component = fs::read(out.join("outside.wasm")).unwrap();
    let has = |text: &str| {
        component
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(
        component.starts_with(b"\0asm\x0d\0\x01\0"),
        "a component, and no core module"
    );
    assert!(has("beltline:driver/reconciler@0.1.0"), "the export");
    assert!(
        has("beltline:manifest{\"manifest\":1,\"name\":\"outside\",\"version\":\"9.8.7\""),
        "the manifest"
    );
    assert!(
        has("9reconcile"),
        "functions keep their names, for backtraces"
    );
}

#[test]
fn the_package_has_the_interfaces() {
    let mut list = Command::new(env!("CARGO"));
    list.args([
        "package",
        "--list",
        "--allow-dirty",
        "--offline",
        "-p",
        "beltline-sdk",
    ]);
    let output = succeed(list.current_dir(repository()));
    let files = String::from_utf8(output.stdout).unwrap();
    for file in fs::read_dir(repository().join("wit")).unwrap() {
        let name = format!("wit/{}", file.unwrap().file_name().into_string().unwrap());
        assert!(
            files.lines().any(|line| line == name),
            "{name} is not in the package:\n{files}"
        );
    }
}
