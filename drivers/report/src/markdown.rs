//! The report as Markdown, of the kind with tables.

use std::fmt::Write;

use crate::model::{Bill, Check, Report};
use crate::text;

/// How many licences are told apart.
const LICENCES_SHOWN: usize = 10;

pub(crate) fn render(report: &Report) -> String {
    let mut out = format!("# {}\n\n", inline(&report.title));
    summary(&mut out, report);
    steps(&mut out, report);
    for (step, bill) in &report.bills {
        bill_of_materials(&mut out, step, bill);
    }
    for (step, check) in &report.checks {
        findings(&mut out, step, check);
    }
    outputs(&mut out, report);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
    out.push('\n');
}

fn summary(out: &mut String, report: &Report) {
    let steps = report.steps.len();
    line(
        out,
        format_args!(
            "- resource: {} ({})",
            inline(&report.resource),
            inline(&report.kind)
        ),
    );
    if let Some(pipeline) = &report.pipeline {
        line(out, format_args!("- pipeline: {}", inline(pipeline)));
    }
    line(out, format_args!("- run: {}", inline(&report.run_id)));
    line(
        out,
        format_args!("- steps: {} of {steps} succeeded", report.succeeded()),
    );
    line(
        out,
        format_args!("- time: {}\n", text::duration(report.elapsed())),
    );
}

fn steps(out: &mut String, report: &Report) {
    out.push_str("## Steps\n\n| step | driver | status | attempts | time | message |\n|---|---|---|--:|--:|---|\n");
    for step in &report.steps {
        let elapsed = step.elapsed.map(text::duration).unwrap_or_default();
        let (id, driver, status) = (inline(&step.id), inline(&step.driver), inline(&step.status));
        let message = inline(&step.message);
        line(
            out,
            format_args!(
                "| {id} | {driver} | {status} | {} | {elapsed} | {message} |",
                step.attempts
            ),
        );
    }
    out.push('\n');
}

fn bill_of_materials(out: &mut String, step: &str, bill: &Bill) {
    line(
        out,
        format_args!("## Bill of materials ({})\n", inline(step)),
    );
    line(
        out,
        format_args!("{}.\n", text::counted(bill.components, "component")),
    );
    if let Some(path) = &bill.path {
        let sha256 = bill
            .sha256
            .as_deref()
            .map(|hex| format!(", sha256 {}", inline(hex)))
            .unwrap_or_default();
        line(out, format_args!("File: {}{sha256}\n", inline(path)));
    }
    out.push_str("| ecosystem | components |\n|---|--:|\n");
    for (ecosystem, count) in &bill.ecosystems {
        line(out, format_args!("| {} | {count} |", inline(ecosystem)));
    }
    let (top, rest, unstated) = bill.top_licences(LICENCES_SHOWN);
    out.push_str("\n| licence | components |\n|---|--:|\n");
    for (licence, count) in top {
        line(out, format_args!("| {} | {count} |", inline(licence)));
    }
    for (name, count) in [("*others*", rest), ("*not in the lockfile*", unstated)] {
        if count > 0 {
            line(out, format_args!("| {name} | {count} |"));
        }
    }
    out.push('\n');
}

fn findings(out: &mut String, step: &str, check: &Check) {
    line(out, format_args!("## Policy ({})\n", inline(step)));
    let (rules, found) = (
        text::counted(check.rules, "rule"),
        text::counted(check.found(), "finding"),
    );
    line(out, format_args!("{rules}, {found}.\n"));
    if check.findings.is_empty() {
        return;
    }
    out.push_str(
        "| level | severity | rule | finding | file | policy |\n|---|---|---|---|---|---|\n",
    );
    for finding in &check.findings {
        let cells = [
            &finding.level,
            &finding.severity,
            &finding.rule,
            &finding.message,
            &finding.file,
            &finding.policy,
        ];
        let cells: Vec<String> = cells.into_iter().map(|cell| inline(cell)).collect();
        line(out, format_args!("| {} |", cells.join(" | ")));
    }
    if check.findings_omitted > 0 {
        line(
            out,
            format_args!(
                "\nAnd {} more, not in the step's output.",
                check.findings_omitted
            ),
        );
    }
    out.push('\n');
}

fn outputs(out: &mut String, report: &Report) {
    if report.outputs.is_empty() {
        return;
    }
    out.push_str("## Outputs\n\n");
    for (step, output) in &report.outputs {
        let json = text::json(output);
        let fence = "`".repeat(longest_run(&json, '`').max(2) + 1);
        line(
            out,
            format_args!("<details><summary>{}</summary>\n", inline(step)),
        );
        line(
            out,
            format_args!("{fence}json\n{json}\n{fence}\n\n</details>\n"),
        );
    }
}

/// Text that Markdown takes for text, in a table's cell too: on one line, and all that could mean something
/// escaped.
fn inline(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '$' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
