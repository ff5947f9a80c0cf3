//! A run in, two files out: through the driver's own `reconcile`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use beltline_sdk::context::Step;
use beltline_sdk::testing::Harness;
use serde_json::json;

use crate::reconcile;

/// Text that is markup in one form or the other, wherever it gets in.
const HOSTILE: &str = "</td><script>alert(1)</script>|`*[x](y)\n# z\"'&";

fn step(id: &str, status: &str, elapsed_ms: Option<u64>) -> Step {
    let mut step = Step::new(id, id, status);
    step.elapsed = elapsed_ms.map(Duration::from_millis);
    step
}

fn call() -> Harness {
    let list = json!([{"name": "serde", "version": "1.0.0", "purl": "pkg:cargo/serde@1.0.0"}]);
    let findings = json!([{
        "level": "warn", "severity": "low", "rule": "supply.warn", "message": "too many", "file": "Cargo.lock",
        "policy": "policy/a.rego:3"
    }]);
    Harness::new()
        .out()
        .resource("name", "shop")
        .step(step("sbom", "succeeded", Some(2_000)))
        .step(step("policy", "succeeded", Some(500)))
        .step(step("deploy", "failed", None))
        .output("sbom", json!({
            "components": 12, "ecosystems": {"cargo": 10, "npm": 2}, "licenses": {"MIT": 3}, "list": list,
            "path": "sbom.cdx.json", "sha256": "abc"
        }))
        .output("policy", json!({"findings": findings, "findings_omitted": 4, "rules": 2, "counts": {"warn": 1}}))
        .output("other", json!({"anything": [1, 2]}))
}

#[test]
fn both_files_tell_of_steps_bill_findings_and_outputs() {
    let report = call().run(reconcile);
    assert_eq!(report.outcome().message, "report.md and report.html");
    assert_eq!(report.output()["title"], "example: shop");

    let markdown = report.out_file("report.md");
    for line in [
        "# example: shop",
        "- steps: 3 of 4 succeeded",
        "- time: 2.5 s",
        "| sbom | sbom | succeeded | 1 | 2.0 s |  |",
        "| deploy | deploy | failed | 1 |  |  |",
        "12 components.",
        "| npm | 2 |",
        "| *not in the lockfile* | 9 |",
        "2 rules, 5 findings.",
        "| warn | low | supply.warn | too many | Cargo.lock | policy/a.rego:3 |",
        "And 4 more, not in the step's output.",
        "<details><summary>other</summary>",
    ] {
        assert!(
            markdown.lines().any(|found| found == line),
            "no line {line:?} in\n{markdown}"
        );
    }

    let html = report.out_file("report.html");
    for part in [
        "<dt>steps succeeded</dt><dd>3/4</dd>",
        "<dt>components</dt><dd>12</dd>",
        "<dt>policy findings</dt><dd>5</dd>",
        "<span class=\"pill bad\">failed</span>",
        "<tr><td>npm<td class=n>2<td class=share><span class=bar><i style=\"width:16.7%\"></i></span></tr>",
        "<span class=\"pill warn\">low</span><td>too many",
        "<code>pkg:cargo/serde@1.0.0</code>",
        "&quot;anything&quot;: [",
    ] {
        assert!(html.contains(part), "no {part:?} in\n{html}");
    }
}

#[test]
fn this_step_itself_is_not_in_it() {
    let markdown = call().run(reconcile).out_file("report.md");
    assert!(!markdown.contains("| running |"), "{markdown}");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let mut hostile = Step::new(HOSTILE, HOSTILE, HOSTILE);
    hostile.message = HOSTILE.to_owned();
    let component =
        json!({"name": HOSTILE, "version": HOSTILE, "license": HOSTILE, "purl": HOSTILE});
    let finding = json!({
        "level": HOSTILE, "severity": HOSTILE, "rule": HOSTILE, "message": HOSTILE, "file": HOSTILE,
        "policy": HOSTILE
    });
    let report = Harness::new()
        .out()
        .with(json!({"title": HOSTILE}))
        .resource("name", HOSTILE)
        .resource("resource", HOSTILE)
        .step(hostile)
        .output(HOSTILE, json!({
            "components": 1, "ecosystems": {HOSTILE: 1}, "licenses": {HOSTILE: 1}, "list": [component],
            "path": HOSTILE, "sha256": HOSTILE
        }))
        .output("policy", json!({"findings": [finding], "rules": 1}))
        .run(reconcile);
    let html = report.out_file("report.html");
    assert!(html.matches("&lt;script&gt;").count() > 15, "it is there");
    assert!(
        html.contains("z&quot;&#39;&amp;"),
        "quotes end no attribute"
    );
    for markup in ["<script", "</td", "alert(1)</"] {
        assert!(!html.contains(markup), "{markup} in\n{html}");
    }
    let markdown = report.out_file("report.md");
    let prose: String = markdown.split("## Outputs").next().unwrap().to_owned();
    assert!(
        prose.contains("&lt;script") && !prose.contains("<script"),
        "{prose}"
    );
    assert!(
        !prose.contains("\n# z") && !prose.contains("[x]("),
        "{prose}"
    );
    let rows = prose
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("alert"));
    for row in rows {
        let cells = row.replace("\\|", "").matches('|').count();
        assert!([3, 7].contains(&cells), "a cell broke out of {row}");
    }
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let html = call().run(reconcile).out_file("report.html");
    for request in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!html.contains(request), "{request}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_fence_is_longer_than_what_it_holds() {
    let report = Harness::new()
        .out()
        .output("a", json!("x ```` y"))
        .run(reconcile);
    assert!(report.out_file("report.md").contains("\n`````json\n"));
}

#[test]
fn names_and_title_are_the_step_s_to_choose() {
    let with = json!({"title": "Release 1", "html": "site/index.html"});
    let report = call().with(with).run(reconcile);
    assert!(
        report
            .out_file("site/index.html")
            .contains("<h1>Release 1</h1>")
    );
    assert_eq!(report.output()["files"][1]["path"], "site/index.html");
    let lone = Harness::new().out().run(reconcile);
    assert!(lone.out_file("report.html").contains("<dd>0/0</dd>"));
}
