//! What the operator's file and a driver's manifest ask of each other, and of the workspace.

use crate::belt::{Bench, guest};

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
    let run = |workspace: &str, more: &[&str]| {
        let mut args = vec![
            "run",
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--state",
            "state",
        ];
        args.extend(["--workspace", workspace]);
        args.extend(more);
        bench.belt(&args)
    };
    for own in ["state/store", "state/drivers", "state"] {
        let said = run(own, &[]);
        assert_eq!(said.code, 2, "{own}: {}", said.stderr);
        let expected = "driver `append` is granted `workspace: rw`, and `";
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    bench.pipeline("", &["{driver: noop}"]);
    let noop = guest("noop").display().to_string();
    let config = format!("drivers: {{noop: {{path: {noop}, grants: {{out: rw}}}}}}\n");
    bench.write("belt.yaml", config);
    let said = run("work", &["--out", "state/store"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("driver `noop` is granted `out: rw`, and `"),
        "{}",
        said.stderr
    );
    let said = run("work", &["--out", "state/out/chosen"]);
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
