//! Files that lack, differ and are right, through the driver's own `reconcile`.

#![allow(clippy::unwrap_used)]

use crate::reconcile;
use beltline_sdk::testing::Harness;
use serde_json::json;
use std::fs;
use std::time::Duration;

fn call(folder: &std::path::Path) -> Harness {
    let files = json!({"motd": "hello\n", "etc/app.conf": "port = 1\n"});
    Harness::new()
        .workspace_at(folder)
        .spec(json!({"files": files}))
}

#[test]
fn what_lacks_or_differs_is_mended_and_the_rest_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    fs::write(folder.path().join("motd"), "changed by hand").unwrap();
    fs::write(folder.path().join("other"), "theirs").unwrap();
    let ran = call(folder.path())
        .with(json!({"every_ms": 2_000}))
        .run(reconcile);
    assert_eq!(ran.output(), &json!({"mended": ["etc/app.conf", "motd"]}));
    assert_eq!(ran.outcome().message, "2 files mended");
    assert_eq!(ran.outcome().requeue_after, Some(Duration::from_secs(2)));
    assert_eq!(
        (read("motd"), read("etc/app.conf")),
        ("hello\n".into(), "port = 1\n".into())
    );
    assert_eq!(read("other"), "theirs");

    let again = call(folder.path()).run(reconcile);
    assert_eq!(again.outcome().message, "all as it should be");
    assert_eq!(again.outcome().requeue_after, None);
}

#[test]
fn a_path_that_leads_out_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["../out", "/etc/motd", "a/../../out", ""] {
        let call = Harness::new().workspace_at(folder.path());
        let ran = call.spec(json!({"files": {path: "x"}})).run(reconcile);
        assert!(
            ran.failure()
                .reason()
                .contains("is no path in the workspace"),
            "{path}"
        );
    }
}
