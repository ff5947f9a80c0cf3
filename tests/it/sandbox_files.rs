//! Ways out of a granted folder, none of which leads out.

use crate::belt::Bench;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

/// A bench whose folders `work` and `made` are granted, both to write, and `secret.txt` beside them is not. The
/// operator has put links of all kinds into the workspace.
fn bench() -> Bench {
    let bench = Bench::new(&["files"]);
    bench.write("secret.txt", "a secret");
    bench.write("beside/other.txt", "another");
    bench.write("work/inside.txt", "inside");
    bench.write("work/sub/deep.txt", "deep");
    bench.write("made/.keep", "");
    let links = [
        ("to_inside", "inside.txt".into()),
        ("to_file", "../secret.txt".into()),
        ("to_absolute_file", bench.path("secret.txt")),
        ("to_folder", "../beside".into()),
        ("to_absolute_folder", bench.path("beside")),
        ("to_parent", "..".into()),
        ("to_root", "/".into()),
        ("to_nothing_yet", "../created.txt".into()),
        ("sub/up_and_out", "../../secret.txt".into()),
    ];
    for (name, target) in links {
        symlink(target, bench.path("work").join(name)).unwrap();
    }
    bench
}

/// Has the guest do these things, and gives what came of each.
#[track_caller]
fn did(bench: &Bench, acts: &Value) -> Vec<Value> {
    bench.pipeline(
        "",
        &[&json!({"id": "files", "driver": "files", "with": {"do": acts}}).to_string()],
    );
    let said = bench.run(&["-o", "json", "--out", "made"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.json()["steps"][0]["output"]
        .as_array()
        .unwrap()
        .clone()
}

/// Checks that all of these fail and that nothing beside the granted folders has changed.
#[track_caller]
fn none_leads_out(acts: Value) {
    let bench = bench();
    let did = did(&bench, &acts);
    assert_eq!(did.len(), acts.as_array().unwrap().len());
    for (act, came) in acts.as_array().unwrap().iter().zip(did) {
        assert!(came.get("error").is_some(), "{act} came to {came}");
    }
    outside_is_as_it_was(&bench);
}

#[track_caller]
fn outside_is_as_it_was(bench: &Bench) {
    assert_eq!(bench.read("secret.txt"), "a secret");
    let names = |folder: &str| {
        let entries = fs::read_dir(bench.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names("beside"), "other.txt");
    assert_eq!(
        names(""),
        "belt.yaml beside made pipeline.yaml resource.yaml secret.txt state work"
    );
}

/// Without these, whatever is refused below might be refused for another reason.
#[test]
fn ways_that_stay_inside_work() {
    let bench = bench();
    let acts = json!([
        {"read": "/workspace/inside.txt"},
        {"read": "/workspace/sub/../inside.txt"},
        {"read": "/workspace/to_inside"},
        {"link": "inside.txt", "to": "/workspace/mine"},
        {"read": "/workspace/mine"},
        {"hard_link": "/workspace/inside.txt", "to": "/workspace/hard.txt"},
        {"read": "/workspace/hard.txt"},
        {"rename": "/workspace/hard.txt", "to": "/workspace/sub/moved.txt"},
        {"read": "/workspace/sub/moved.txt"},
        {"list": "/workspace/sub"},
    ]);
    let (ok, inside) = (json!({"ok": ""}), json!({"ok": "inside"}));
    let expected = [
        &inside, &inside, &inside, &ok, &inside, &ok, &inside, &ok, &inside,
    ];
    let came = did(&bench, &acts);
    assert_eq!(came.iter().take(9).collect::<Vec<_>>(), expected);
    assert_eq!(came[9], json!({"ok": "deep.txt moved.txt up_and_out"}));
    outside_is_as_it_was(&bench);
}

#[test]
fn paths() {
    let secret = bench().path("secret.txt").display().to_string();
    none_leads_out(json!([
        {"read": "/workspace/../secret.txt"},
        {"read": "/workspace/sub/../../secret.txt"},
        {"read": "../secret.txt"},
        {"read": "secret.txt"},
        {"read": secret},
        {"read": "/etc/hostname"},
        {"read": "/workspace//etc/hostname"},
        {"list": "/"},
        {"list": "/workspace/.."},
        {"list": "/workspace/sub/../.."},
        {"write": "/workspace/../created.txt", "text": "x"},
        {"write": "/out/../created.txt", "text": "x"},
        {"remove": "/workspace/../secret.txt"},
    ]));
}

#[test]
fn links_that_the_operator_has_there() {
    none_leads_out(json!([
        {"read": "/workspace/to_file"},
        {"read": "/workspace/to_absolute_file"},
        {"read": "/workspace/to_folder/other.txt"},
        {"read": "/workspace/to_absolute_folder/other.txt"},
        {"read": "/workspace/to_parent/secret.txt"},
        {"read": "/workspace/to_root/etc/hostname"},
        {"read": "/workspace/sub/up_and_out"},
        {"list": "/workspace/to_folder"},
        {"list": "/workspace/to_absolute_folder"},
        {"list": "/workspace/to_parent"},
        {"write": "/workspace/to_file", "text": "x"},
        {"write": "/workspace/to_absolute_file", "text": "x"},
        {"write": "/workspace/to_nothing_yet", "text": "x"},
        {"write": "/workspace/to_folder/created.txt", "text": "x"},
        {"remove": "/workspace/to_folder/other.txt"},
        {"remove": "/workspace/to_parent/secret.txt"},
    ]));
}

/// A guest may make a link that points out, or not: reading through it must fail.
#[test]
fn links_that_the_guest_makes() {
    let bench = bench();
    let secret = bench.path("secret.txt").display().to_string();
    let acts = json!([
        {"link": "../secret.txt", "to": "/workspace/mine"},
        {"read": "/workspace/mine"},
        {"write": "/workspace/mine", "text": "x"},
        {"link": secret, "to": "/workspace/mine_absolute"},
        {"read": "/workspace/mine_absolute"},
        {"link": "..", "to": "/workspace/sub/up"},
        {"link": "sub/up/..", "to": "/workspace/up"},
        {"read": "/workspace/up/secret.txt"},
        {"list": "/workspace/up"},
        {"link": "../work/../secret.txt", "to": "/out/mine"},
        {"read": "/out/mine"},
    ]);
    for (act, came) in acts.as_array().unwrap().iter().zip(did(&bench, &acts)) {
        let is_made = act.get("link").is_some();
        assert!(
            is_made || came.get("error").is_some(),
            "{act} came to {came}"
        );
    }
    outside_is_as_it_was(&bench);
}

/// A link that is moved or linked to where it points elsewhere leads out of there no more than it did.
#[test]
fn hard_links_and_renames() {
    none_leads_out(json!([
        {"hard_link": "/workspace/../secret.txt", "to": "/workspace/hard.txt"},
        {"hard_link": "/workspace//etc/hostname", "to": "/workspace/hard.txt"},
        {"hard_link": "/workspace/to_folder/other.txt", "to": "/workspace/hard.txt"},
        {"hard_link": "/workspace/to_parent/secret.txt", "to": "/out/hard.txt"},
        {"hard_link": "/workspace/inside.txt", "to": "/workspace/../created.txt"},
        {"hard_link": "/out/.keep", "to": "/out/../created.txt"},
        {"hard_link": "/workspace/inside.txt", "to": "/workspace/to_folder/created.txt"},
        {"rename": "/workspace/../secret.txt", "to": "/workspace/stolen.txt"},
        {"rename": "/workspace/to_parent/secret.txt", "to": "/workspace/stolen.txt"},
        {"rename": "/workspace/to_folder/other.txt", "to": "/out/stolen.txt"},
        {"rename": "/workspace/inside.txt", "to": "/workspace/../created.txt"},
        {"rename": "/workspace/inside.txt", "to": "/workspace/to_folder/created.txt"},
        {"rename": "/workspace/inside.txt", "to": "/workspace/to_parent/secret.txt"},
    ]));
    let bench = bench();
    let acts = json!([
        {"hard_link": "/workspace/to_file", "to": "/workspace/hard_to_link"},
        {"rename": "/workspace/sub/up_and_out", "to": "/out/moved_link"},
        {"read": "/workspace/hard_to_link"},
        {"read": "/out/moved_link"},
        {"write": "/out/moved_link", "text": "x"},
    ]);
    let came = did(&bench, &acts);
    for came in &came[2..] {
        assert!(came.get("error").is_some(), "{came}");
    }
    outside_is_as_it_was(&bench);
}
