//! The files that a run has made: listed and read, and nothing else of this machine.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn files_are_listed_and_read_and_nothing_else_is() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let body =
        json!({"resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}}});
    let run = up.post("/runs", &body).is(201);
    let out = Path::new(run["out"].as_str().unwrap());
    let path = format!("/runs/{}/out", id(&run));
    fs::write(out.join("s.open"), "").unwrap();
    up.ended(&id(&run));

    // What a hostile driver, or whoever has the folder, might leave there.
    bench.write("secret", "secret");
    symlink(bench.path("secret"), out.join("link")).unwrap();
    symlink(bench.path("."), out.join("folder")).unwrap();
    symlink("../../LOCK", out.join("up")).unwrap();
    fs::write(out.join("page.html"), "<script>").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        out.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let files = up.get(&path).is(200);
    let expected = json!([{"path": "deep/made", "bytes": 9}, {"path": "page.html", "bytes": 8}, {"path": "s.open", "bytes": 0}]);
    assert_eq!(files, expected);
    for made in ["deep%2Fmade", "deep/made"] {
        let file = up.get(&format!("{path}/{made}"));
        assert_eq!(
            (file.status, file.text().as_str()),
            (200, "made here"),
            "{made}"
        );
    }
    let page = up.get(&format!("{path}/page.html"));
    assert_eq!(page.header("content-type"), "application/octet-stream");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("content-disposition"), "attachment");

    let absolute = format!("{}", bench.path("secret").display()).replace('/', "%2F");
    for hostile in [
        "link",
        "folder%2Fsecret",
        "up",
        "pipe",
        "deep",
        ".",
        "none",
        "deep%2F..%2F..%2F..%2FLOCK",
        "..%2F..%2FLOCK",
        "%2e%2e%2fLOCK",
        "s.open%00",
        "deep%2F.%2F..%2F..",
        "%2Fetc%2Fpasswd",
        &absolute,
        "../../LOCK",
        "..",
        "deep/../../../LOCK",
        "folder/secret",
    ] {
        let answer = up.get(&format!("{path}/{hostile}"));
        assert!(matches!(answer.status, 400 | 404), "{hostile}: {answer:?}");
        assert!(!answer.text().contains("secret\n") && answer.text() != "secret");
    }
}

/// What only the user of this machine may name is theirs alone, also afterwards.
#[test]
fn what_was_named_on_this_machine_is_not_reached_over_the_network() {
    let bench = Bench::with_steps(&["files"], &["{id: s, driver: files, with: {do: []}}"]);
    let up = Up::start(&bench);
    bench.write("given/id_rsa", "secret");
    let said = bench.run(&["--out", "given"]);
    assert_eq!(said.code, 0, "{said:?}");
    let own = bench.run(&[]);
    assert_eq!(own.code, 0, "{own:?}");
    let runs = up.get("/runs").is(200);
    let [own, given] = [0, 1].map(|nth| id(&runs["runs"][nth]));
    for path in ["out", "out/id_rsa"] {
        let said = up.get(&format!("/runs/{given}/{path}")).refused(403);
        assert!(said.contains("on the host's own machine"), "{said}");
    }
    up.get(&format!("/runs/{own}/out")).is(200);
    // Nor is a workspace worked on again, or with a client's grants.
    for run in [&given, &own] {
        for verb in ["rerun", "retry"] {
            let path = format!("/runs/{run}/{verb}");
            let said = up.post(&path, &json!({})).refused(403);
            assert!(said.contains("`--state`"), "{said}");
        }
    }
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 2);
    let said = bench.belt(&["runs", "rerun", &given, "--state", "state"]);
    assert_eq!(said.code, 0, "{said:?}");
}
