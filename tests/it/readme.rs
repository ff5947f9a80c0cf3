//! What the pages promise is there: commands, make targets, files behind links.

use crate::belt::{Bench, root};
use beltline::documents::{format_duration, limits};
use beltline::text::size;
use beltline::wasm::Limits;
use std::fs;
use std::path::PathBuf;

fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root(), root().join("docs")];
    for parent in ["examples", "drivers"] {
        let inside = fs::read_dir(root().join(parent)).unwrap().flatten();
        folders.extend(
            inside
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    let files = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    let pages = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"));
    let pages: Vec<_> = pages
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect();
    assert!(pages.len() >= 8, "{} pages found", pages.len());
    pages
}

/// Every text between two marks.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let pieces = text.split(open).skip(1);
    pieces
        .filter_map(|piece| piece.split_once(close).map(|(inside, _)| inside))
        .collect()
}

#[test]
fn every_command_that_a_page_shows_exists() {
    let bench = Bench::new(&[]);
    let mut seen = Vec::new();
    for (path, text) in pages() {
        let shown = between(&text, "`belt ", "`")
            .into_iter()
            .chain(between(&text, "$ belt ", "\n"));
        for command in shown {
            let words = command
                .split([' ', ',', '|'])
                .filter(|word| !word.is_empty());
            let verbs: Vec<_> = words
                .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
                .take(2)
                .collect();
            if verbs.is_empty() || seen.contains(&verbs.join(" ")) {
                continue;
            }
            let said = bench.belt(&[&verbs[..], &["--help"]].concat());
            assert_eq!(
                said.code,
                0,
                "{}: `belt {command}`: {}",
                path.display(),
                said.stderr
            );
            seen.push(verbs.join(" "));
        }
    }
    assert!(seen.contains(&"runs resume".to_owned()), "{seen:?}");
}

#[test]
fn every_make_target_that_a_page_shows_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut count = 0;
    for (path, text) in pages() {
        let shown = between(&text, "`make ", "`")
            .into_iter()
            .chain(between(&text, "$ make ", "\n"));
        for target in shown
            .into_iter()
            .filter_map(|command| command.split_whitespace().next())
        {
            let rule = format!("\n{target}:");
            assert!(
                makefile.contains(&rule),
                "{}: `make {target}`",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count > 3);
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut count = 0;
    for (path, text) in pages() {
        for target in between(&text, "](", ")")
            .into_iter()
            .filter(|target| !target.contains("://"))
        {
            let file = path
                .parent()
                .unwrap()
                .join(target.split('#').next().unwrap());
            assert!(file.exists(), "{}: link to {target}", path.display());
            count += 1;
        }
    }
    assert!(count > 10);
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    let bench = Bench::new(&[]);
    for (shell, sign) in [
        ("bash", "complete -F _belt"),
        ("zsh", "#compdef belt"),
        ("fish", "complete -c belt"),
    ] {
        let said = bench.belt(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(
            said.stdout.contains(sign) && said.stdout.contains("resume"),
            "{shell}"
        );
    }
}

#[test]
fn the_page_of_the_sandbox_has_every_limit_as_it_is() {
    let page = fs::read_to_string(root().join("docs/sandbox.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
    let Limits {
        memory_bytes,
        table_elements,
        cpu,
        output_bytes,
        written_bytes,
        files,
        log_bytes,
        log_lines,
    } = Limits::default();
    let counted = |count: u64| match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", count / 1_000, count % 1_000),
    };
    let set = [
        ("memory", size(memory_bytes), size(limits::MEMORY_BYTES_MAX)),
        (
            "tables",
            counted(table_elements),
            counted(limits::TABLE_ELEMENTS_MAX),
        ),
        ("cpu", format_duration(cpu), String::new()),
        ("output", size(output_bytes), size(limits::OUTPUT_BYTES_MAX)),
        (
            "written",
            size(written_bytes),
            size(limits::WRITTEN_BYTES_MAX),
        ),
        ("files", counted(files), String::new()),
        ("log", size(log_bytes), size(limits::LOG_BYTES_MAX)),
        ("log_lines", counted(log_lines), String::new()),
    ];
    for (key, default, most) in set {
        let key = format!("`{key}`");
        let row = rows.iter().find(|row| row.contains(&key));
        let row = row.unwrap_or_else(|| panic!("no row of {key}"));
        assert!(
            row.contains(&default) && row.contains(&most),
            "{key}: {default}, {most}: {row}"
        );
    }
}
