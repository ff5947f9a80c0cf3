//! The report as one HTML page.

use beltline_sdk::context::Step;

use crate::html::Html;
use crate::model::{Bill, Check, Finding, Report};
use crate::text;

/// How many licences are told apart.
const LICENCES_SHOWN: usize = 8;

/// How many components the page lists; the file has all of them.
const COMPONENTS_SHOWN: usize = 1_000;

/// Nothing may be loaded, whatever got onto the page.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>"#;

pub(crate) fn render(report: &Report) -> String {
    let mut html = Html::new();
    html.raw(HEAD)
        .text(&report.title)
        .raw("</title>\n<style>\n")
        .raw(include_str!("page/style.css"));
    html.raw("</style>\n</head>\n<body>\n<main>\n");
    header(&mut html, report);
    steps(&mut html, report);
    for (step, check) in &report.checks {
        policy(&mut html, step, check);
    }
    for (step, bill) in &report.bills {
        bill_of_materials(&mut html, step, bill);
    }
    outputs(&mut html, report);
    html.raw("<footer>")
        .text(concat!("beltline report ", env!("CARGO_PKG_VERSION")))
        .raw("</footer>\n");
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

fn header(html: &mut Html, report: &Report) {
    html.raw("<header>\n<p class=eyebrow>")
        .text(&report.kind)
        .raw(" · ")
        .text(&report.resource)
        .raw("</p>\n<h1>");
    html.text(&report.title).raw("</h1>\n<p class=meta>");
    if let Some(pipeline) = &report.pipeline {
        html.raw("pipeline <b>").text(pipeline).raw("</b> · ");
    }
    html.raw("run <code>")
        .text(&report.run_id)
        .raw("</code></p>\n<dl class=cards>\n");
    card(
        html,
        "steps succeeded",
        &format!("{}/{}", report.succeeded(), report.steps.len()),
    );
    card(html, "time in steps", &text::duration(report.elapsed()));
    if !report.bills.is_empty() {
        card(html, "components", &report.components().to_string());
    }
    if !report.checks.is_empty() {
        card(html, "policy findings", &report.findings().to_string());
    }
    html.raw("</dl>\n</header>\n");
}

fn card(html: &mut Html, name: &'static str, value: &str) {
    html.raw("<div><dt>")
        .raw(name)
        .raw("</dt><dd>")
        .text(value)
        .raw("</dd></div>\n");
}

fn steps(html: &mut Html, report: &Report) {
    html.raw("<section>\n<h2>Steps</h2>\n<div class=scroll><table>\n<thead><tr><th>Step<th>Driver<th>Status");
    html.raw("<th class=n>Attempts<th>Time<th>Message</tr></thead>\n<tbody>\n");
    let longest = report
        .steps
        .iter()
        .filter_map(|step| step.elapsed)
        .max()
        .unwrap_or_default();
    for step in &report.steps {
        html.raw("<tr><td><b>")
            .text(&step.id)
            .raw("</b><td>")
            .text(&step.driver)
            .raw("<td>");
        pill(html, tone_of_status(&step.status), &step.status);
        html.raw("<td class=n>")
            .text(step.attempts)
            .raw("<td class=time>");
        time(html, step, longest.as_millis());
        html.raw("<td>").text(&step.message).raw("</tr>\n");
    }
    html.raw("</tbody>\n</table></div>\n</section>\n");
}

fn time(html: &mut Html, step: &Step, longest_ms: u128) {
    let Some(elapsed) = step.elapsed else { return };
    let share = |milliseconds: u128| u64::try_from(milliseconds).unwrap_or(u64::MAX);
    html.text(text::duration(elapsed));
    bar(
        html,
        text::percent(share(elapsed.as_millis()), share(longest_ms)),
    );
}

fn policy(html: &mut Html, step: &str, check: &Check) {
    section(html, "Policy", step);
    let (rules, found) = (
        text::counted(check.rules, "rule"),
        text::counted(check.found(), "finding"),
    );
    html.raw("<p>")
        .text(format_args!("{rules}, {found}."))
        .raw("</p>\n");
    if !check.findings.is_empty() {
        html.raw("<div class=scroll><table>\n<thead><tr><th>Severity<th>Finding<th>Rule<th>File</tr></thead>\n<tbody>\n");
        for finding in &check.findings {
            finding_row(html, finding);
        }
        html.raw("</tbody>\n</table></div>\n");
    }
    if check.findings_omitted > 0 {
        html.raw("<p class=meta>And ")
            .text(check.findings_omitted)
            .raw(" more, not in the step's output.</p>\n");
    }
    html.raw("</section>\n");
}

fn finding_row(html: &mut Html, finding: &Finding) {
    html.raw("<tr><td>");
    pill(
        html,
        if finding.level == "warn" {
            "warn"
        } else {
            "bad"
        },
        &finding.severity,
    );
    html.raw("<td>")
        .text(&finding.message)
        .raw("<td><code>")
        .text(&finding.rule)
        .raw("</code><br><small>");
    html.text(&finding.policy)
        .raw("</small><td><code>")
        .text(&finding.file)
        .raw("</code></tr>\n");
}

fn bill_of_materials(html: &mut Html, step: &str, bill: &Bill) {
    section(html, "Bill of materials", step);
    html.raw("<p>")
        .text(text::counted(bill.components, "component"));
    if let Some(path) = &bill.path {
        html.raw(" in <code>").text(path).raw("</code>");
    }
    if let Some(sha256) = &bill.sha256 {
        html.raw("<br><small>sha256 <code>")
            .text(sha256)
            .raw("</code></small>");
    }
    html.raw("</p>\n<div class=pair>\n");
    let ecosystems = bill
        .ecosystems
        .iter()
        .map(|(name, count)| (name.as_str(), *count));
    shares(html, "Ecosystem", ecosystems, bill.components);
    let (top, rest, unstated) = bill.top_licences(LICENCES_SHOWN);
    let rest = [("others", rest), ("not in the lockfile", unstated)];
    let licences = top
        .into_iter()
        .chain(rest.into_iter().filter(|(_, count)| *count > 0));
    shares(html, "Licence", licences, bill.components);
    html.raw("</div>\n");
    components(html, bill);
    html.raw("</section>\n");
}

fn shares<'a>(
    html: &mut Html,
    name: &'static str,
    rows: impl Iterator<Item = (&'a str, u64)>,
    whole: u64,
) {
    html.raw("<table>\n<thead><tr><th>")
        .raw(name)
        .raw("<th class=n>Components<th></tr></thead>\n<tbody>\n");
    for (row, count) in rows {
        html.raw("<tr><td>")
            .text(row)
            .raw("<td class=n>")
            .text(count)
            .raw("<td class=share>");
        bar(html, text::percent(count, whole));
        html.raw("</tr>\n");
    }
    html.raw("</tbody>\n</table>\n");
}

fn components(html: &mut Html, bill: &Bill) {
    if bill.list.is_empty() {
        return;
    }
    let shown = bill.list.len().min(COMPONENTS_SHOWN);
    html.raw("<details>\n<summary>")
        .text(shown)
        .raw(" of ")
        .text(bill.components);
    html.raw(" components by name</summary>\n<div class=scroll><table>\n");
    html.raw("<thead><tr><th>Name<th>Version<th>Licence<th>Package URL</tr></thead>\n<tbody>\n");
    for component in bill.list.iter().take(COMPONENTS_SHOWN) {
        html.raw("<tr><td>")
            .text(&component.name)
            .raw("<td>")
            .text(&component.version)
            .raw("<td>");
        html.text(&component.license)
            .raw("<td><code>")
            .text(&component.purl)
            .raw("</code></tr>\n");
    }
    html.raw("</tbody>\n</table></div>\n</details>\n");
}

fn outputs(html: &mut Html, report: &Report) {
    if report.outputs.is_empty() {
        return;
    }
    html.raw("<section>\n<h2>Outputs</h2>\n");
    for (step, output) in &report.outputs {
        html.raw("<details>\n<summary>")
            .text(step)
            .raw("</summary>\n<pre>")
            .text(text::json(output));
        html.raw("</pre>\n</details>\n");
    }
    html.raw("</section>\n");
}

fn section(html: &mut Html, title: &'static str, step: &str) {
    html.raw("<section>\n<h2>")
        .raw(title)
        .raw(" <small>")
        .text(step)
        .raw("</small></h2>\n");
}

fn bar(html: &mut Html, percent: f64) {
    html.raw("<span class=bar><i style=\"width:")
        .text(format_args!("{percent:.1}"))
        .raw("%\"></i></span>");
}

fn pill(html: &mut Html, tone: &'static str, word: &str) {
    html.raw("<span class=\"pill ")
        .raw(tone)
        .raw("\">")
        .text(word)
        .raw("</span>");
}

/// The statuses of a step; one of a later host is shown without a colour.
fn tone_of_status(status: &str) -> &'static str {
    match status {
        "succeeded" => "good",
        "failed" | "timed_out" => "bad",
        "retrying" | "waiting_for_driver" | "cancelled" => "warn",
        _ => "plain",
    }
}
