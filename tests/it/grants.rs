//! What the operator's file and a driver's manifest ask of each other, and of the workspace.

use crate::belt::{Bench, Said, guest};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_driver_is_not_given_a_kind_that_it_does_not_take() {
    let bench = Bench::with_steps(&["kind"], &["{driver: kind}"]);
    assert_eq!(bench.run(&[]).code, 0);
    for file in ["pipeline.yaml", "resource.yaml"] {
        let text = bench.read(file).replace("resource: app", "resource: thing");
        bench.write(file, text);
    }
    let said = bench.run(&[]);
    assert_eq!(said.code, 2);
    let expected =
        "driver `kind` takes resources of kind app, site, and the pipeline carries `thing`";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[test]
fn the_operators_settings_fit_the_drivers_schema() {
    let bench = Bench::with_steps(&["kind"], &["{driver: kind}"]);
    let config = bench.read("belt.yaml");
    bench.write(
        "belt.yaml",
        config.replace("grants:", "config: {port: 80}, grants:"),
    );
    assert_eq!(bench.run(&[]).code, 0);
    bench.write(
        "belt.yaml",
        config.replace("grants:", "config: {port: eighty}, grants:"),
    );
    let said = bench.run(&[]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .contains("driver `kind`: `config/port` in belt.yaml does not fit"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_workspace_that_holds_our_own_files_is_not_given_to_write() {
    for own in ["state", "belt.yaml"] {
        let bench = Bench::with_steps(&["append"], &["{driver: append}"]);
        let outside = Bench::new(&[]).path("state");
        let outside = outside.to_str().unwrap();
        bench.write("inner/keep", "");
        let mut args = vec![
            "run",
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--workspace",
        ];
        if own == "state" {
            args.extend(["inner", "--state", "inner/state"]);
        } else {
            args.extend([".", "--state", outside]);
        }
        let said = bench.belt(&args);
        assert_eq!(said.code, 2, "{}", said.stderr);
        let expected = "driver `append` is granted `workspace: rw`, and `";
        assert!(
            said.stderr.contains(expected) && said.stderr.contains(own),
            "{}",
            said.stderr
        );
        assert!(!bench.path("inner/state").exists() && !bench.path("effects").exists());
    }
}

#[test]
fn a_folder_in_our_own_is_not_given_to_write_but_what_runs_have_made() {
    let bench = Bench::with_steps(&["append"], &["{driver: append}"]);
    assert_eq!(bench.run(&[]).code, 0);
    for own in ["state/store", "state/drivers", "state"] {
        let said = bench.run_on(own, &[]);
        assert_eq!(said.code, 2, "{own}: {}", said.stderr);
        let expected = "driver `append` is granted `workspace: rw`, and `";
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    bench.pipeline("", &["{driver: noop}"]);
    let noop = guest("noop").display().to_string();
    let config = format!("drivers: {{noop: {{path: {noop}, grants: {{out: rw}}}}}}\n");
    bench.write("belt.yaml", config);
    let said = bench.run_on("work", &["--out", "state/store"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("driver `noop` is granted `out: rw`, and `"),
        "{}",
        said.stderr
    );
    let said = bench.run_on("work", &["--out", "state/out/chosen"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn a_workspace_is_looked_at_even_where_nobody_is_granted_it() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    for (flag, path) in [
        ("--workspace", "nowhere"),
        ("--workspace", "belt.yaml"),
        ("--out", "belt.yaml"),
    ] {
        let run = [
            "run",
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--state",
            "state",
            flag,
            path,
        ];
        let said = bench.belt(&run);
        assert_eq!(said.code, 2, "{flag} {path}: {}", said.stderr);
        assert!(said.stderr.contains(path), "{}", said.stderr);
    }
}

/// Whoever may write to a folder could put a link in the place of what lies in it.
#[test]
fn a_folder_to_write_to_does_not_hold_the_run_s_other_folder() {
    let bench = Bench::with_steps(&["noop"], &["{driver: noop}"]);
    let run = |grants: &str, workspace: &str, out: &str| {
        let config = format!(
            "drivers: {{noop: {{path: {}, grants: {grants}}}}}\n",
            guest("noop").display()
        );
        bench.write("belt.yaml", config);
        bench.run_on(workspace, &["--out", out])
    };
    bench.write("folders/a/b/keep", "");
    for (grants, workspace, out) in [
        ("{workspace: rw, out: rw}", "folders/a", "folders/a/out"),
        ("{workspace: rw}", "folders/a", "folders/a/out"),
        ("{workspace: ro, out: rw}", "folders/a/b", "folders/a"),
    ] {
        let said = run(grants, workspace, out);
        assert_eq!(said.code, 2, "{grants}: {}", said.stderr);
        assert!(
            said.stderr.contains("driver `noop` is granted `"),
            "{}",
            said.stderr
        );
    }
    for (grants, workspace, out) in [
        ("{workspace: rw, out: rw}", "folders/a", "folders/out"),
        ("{workspace: ro, out: rw}", "folders/a", "folders/a/out"),
    ] {
        let said = run(grants, workspace, out);
        assert_eq!(said.code, 0, "{grants}: {}", said.stderr);
    }
}

#[test]
fn links_to_our_own_files_and_drivers_that_are_not_pinned_are_our_own() {
    let elsewhere = Bench::new(&[]);
    let bench = Bench::with_steps(&["noop"], &["{driver: noop}"]);
    bench.write("work/keep", "");
    let noop = fs::read(guest("noop")).unwrap();
    let run = |config: &str| bench.run_on("work", &["--config", config]);
    let refused = |said: Said, own: &str| {
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains(own), "{}", said.stderr);
    };
    // The operator's file, by a link that a driver could exchange.
    elsewhere.write("noop.wasm", &noop);
    let granted = "drivers: {noop: {path: noop.wasm, grants: {workspace: rw}}}\n";
    elsewhere.write("belt.yaml", granted);
    symlink(elsewhere.path("belt.yaml"), bench.path("work/belt.yaml")).unwrap();
    bench.write("work/noop.wasm", &noop);
    refused(run("work/belt.yaml"), "belt.yaml`");
    // A driver's file, unless its digest is pinned.
    fs::create_dir_all(bench.path("operator")).unwrap();
    let config = "drivers: {noop: {path: ../work/noop.wasm, grants: {workspace: rw}}}\n";
    bench.write("operator/belt.yaml", config);
    refused(run("operator/belt.yaml"), "noop.wasm`");
    let digest = beltline::digest::Digest::of(&noop);
    let pinned = config.replace("grants", &format!("digest: \"{digest}\", grants"));
    bench.write("operator/belt.yaml", pinned);
    let said = run("operator/belt.yaml");
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn folders_of_the_system_are_no_workspace() {
    let bench = Bench::with_steps(&["noop"], &["{driver: noop}"]);
    for folder in ["/", "/proc", "/proc/self", "/sys"] {
        let said = bench.run_on(folder, &[]);
        assert_eq!(said.code, 2, "{folder}: {}", said.stderr);
        assert!(
            said.stderr.contains("has folders of the system"),
            "{}",
            said.stderr
        );
    }
}
