//! YAML text to trees: the 1.2 core schema, with what would surprise refused.
//!
//! Owns what a plain scalar means and which tags are known. Refused, each with its place: keys that are
//! not text, merge keys (a 1.1 extension), tags beyond the core schema, numbers that JSON cannot hold.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_json::Number;

use super::diagnostics::{Mark, Report};
use super::tree::{Builder, Content, Node, Stopped};

/// Reads all documents of a text. Those before a mistake that stops the reading are returned too; the
/// mistake is in the report.
pub(super) fn parse(text: &str, report: &Report) -> Vec<Node> {
    let mut documents = Vec::new();
    let mut builder = Builder::new(report);
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((Event::DocumentEnd, _)) => {
                documents.extend(builder.take_root());
                Ok(())
            }
            Ok((event, span)) => take(&mut builder, event, span, report),
            Err(error) => {
                let at = mark(*error.marker());
                report.at(
                    at,
                    explain(error.info()) + &inside(&builder, error.info(), at),
                );
                Err(Stopped)
            }
        };
        if step.is_err() {
            break;
        }
    }
    documents
}

fn take(
    builder: &mut Builder<'_>,
    event: Event<'_>,
    span: Span,
    report: &Report,
) -> Result<(), Stopped> {
    let at = mark(span.start);
    match event {
        Event::Alias(anchor) => builder.alias(at, anchor),
        Event::Scalar(text, style, anchor, tag) if builder.awaits_key() => {
            key(builder, at, &text, style, tag.as_deref())?;
            check_anchor_of_key(anchor, at, report);
            Ok(())
        }
        Event::Scalar(text, style, anchor, tag) => {
            let content = match scalar(&text, style, tag.as_deref()) {
                Ok(content) => content,
                Err(message) => {
                    report.at(at, message);
                    Content::Null
                }
            };
            builder.scalar(at, anchor_number(anchor), content)
        }
        Event::SequenceStart(anchor, tag) => {
            check_tag(tag.as_deref(), "seq", at, report);
            builder.open_list(at, anchor_number(anchor))
        }
        Event::MappingStart(anchor, tag) => {
            check_tag(tag.as_deref(), "map", at, report);
            builder.open_object(at, anchor_number(anchor))
        }
        Event::SequenceEnd | Event::MappingEnd => builder.close(),
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart(_)
        | Event::DocumentEnd => Ok(()),
    }
}

fn mark(marker: Marker) -> Mark {
    let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Mark {
        line: number(marker.line()).max(1),
        column: number(marker.col()).saturating_add(1),
    }
}

/// The parser numbers anchors from 1 and says 0 for none.
fn anchor_number(anchor: usize) -> Option<usize> {
    (anchor != 0).then_some(anchor)
}

fn check_anchor_of_key(anchor: usize, at: Mark, report: &Report) {
    if anchor != 0 {
        report.at(at, "a key cannot carry an anchor here; put it on a value");
    }
}

fn key(
    builder: &mut Builder<'_>,
    at: Mark,
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<(), Stopped> {
    if style == ScalarStyle::Plain && text == "<<" {
        let message = "merge keys (`<<`) are not read here; write the keys out, or name the whole \
                       value with an alias";
        builder.refuse_key(at, message.to_owned());
        return Ok(());
    }
    match scalar(text, style, tag) {
        Ok(Content::Text(key)) => builder.key(at, key),
        Ok(other) => {
            let message = format!("a key must be text, found {}; quote it", other.sort());
            builder.refuse_key(at, message);
            Ok(())
        }
        Err(message) => {
            builder.refuse_key(at, message);
            Ok(())
        }
    }
}

fn check_tag(tag: Option<&Tag>, expected: &str, at: Mark, report: &Report) {
    let Some(tag) = tag else { return };
    let known = tag.is_yaml_core_schema() && tag.suffix == expected;
    if !known {
        report.at(at, unknown_tag(tag));
    }
}

fn unknown_tag(tag: &Tag) -> String {
    let shown = match tag.is_yaml_core_schema() {
        true => format!("!!{}", tag.suffix),
        false => format!("{}{}", tag.handle, tag.suffix),
    };
    format!("tag `{shown}` has no meaning here; leave it out")
}

/// What a scalar means; the error is the message.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Content, String> {
    match tag {
        None if style == ScalarStyle::Plain => plain(text),
        None => Ok(Content::Text(text.to_owned())),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => {
            Ok(Content::Text(text.to_owned()))
        }
        Some(tag) if tag.is_yaml_core_schema() => tagged(text, tag),
        Some(tag) => Err(unknown_tag(tag)),
    }
}

fn tagged(text: &str, tag: &Tag) -> Result<Content, String> {
    let content = plain(text)?;
    let fits = match (tag.suffix.as_str(), &content) {
        ("str", _) => return Ok(Content::Text(text.to_owned())),
        ("null", Content::Null) | ("bool", Content::Bool(_)) | ("float", Content::Number(_)) => {
            true
        }
        ("int", Content::Number(number)) => !number.is_f64(),
        ("null" | "bool" | "float" | "int", _) => false,
        _ => return Err(unknown_tag(tag)),
    };
    match fits {
        true => Ok(content),
        false => Err(format!(
            "`{text}` is not what its tag `!!{}` says",
            tag.suffix
        )),
    }
}

/// What a plain scalar means in the core schema.
pub(super) fn plain(text: &str) -> Result<Content, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Content::Null),
        "true" | "True" | "TRUE" => return Ok(Content::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Content::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!(
            "`{text}` is a number that JSON cannot hold; quote it to have text"
        ));
    }
    if is_digits(unsigned) {
        return integer(text).map(Content::Number);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            let value = u64::from_str_radix(digits, radix).map_err(|_| too_large(text))?;
            return Ok(Content::Number(value.into()));
        }
    }
    if is_float(unsigned) {
        let value = text.parse().ok().and_then(Number::from_f64);
        return value.map(Content::Number).ok_or_else(|| too_large(text));
    }
    Ok(Content::Text(text.to_owned()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[-+]?[0-9]+`, exactly or not at all.
pub(super) fn integer(text: &str) -> Result<Number, String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let signed = text.parse::<i64>().map(Number::from);
    signed
        .or_else(|_| text.parse::<u64>().map(Number::from))
        .map_err(|_| too_large(text))
}

fn too_large(text: &str) -> String {
    format!("the number `{text}` does not fit into 64 bits; quote it to keep it exactly, as text")
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, the sign taken off.
fn is_float(text: &str) -> bool {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let exponent_fits = exponent
        .is_none_or(|exponent| is_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    let number_fits = match number.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(number),
    };
    exponent_fits && number_fits
}

/// The parser's own words, with the next move where they leave a reader alone.
fn explain(info: &str) -> String {
    const HINTS: [(&str, &str); 8] = [
        ("a tab", "indent with spaces"),
        (
            "unknown anchor",
            "an alias names an anchor (`&name`) that stands before it in its document",
        ),
        (
            "mapping values are not allowed",
            "quote the text if its `: ` belongs to it",
        ),
        (
            "simple key expect",
            "the line before has no `: ` after its key",
        ),
        ("unexpected character", "quote text that begins with it"),
        (
            "plain scalar cannot start",
            "quote text that begins with it",
        ),
        ("trailing content", "quote the whole text once"),
        (
            "unknown escape",
            "in double quotes write `\\\\` for a backslash, or use single quotes",
        ),
    ];
    let info = info.trim_end_matches('.');
    match HINTS.iter().find(|(part, _)| info.contains(part)) {
        Some((_, hint)) => format!("not valid YAML: {info}; {hint}"),
        None => format!("not valid YAML: {info}"),
    }
}

/// Where the innermost list or mapping begins: one that is not closed is noticed far behind its start.
fn inside(builder: &Builder<'_>, info: &str, at: Mark) -> String {
    let unclosed = ["flow", "expected node content", "end of stream"];
    if !unclosed.iter().any(|part| info.contains(part)) {
        return String::new();
    }
    match builder
        .innermost()
        .filter(|(_, begun)| begun.line != at.line)
    {
        Some((sort, begun)) => format!(" (inside the {sort} that begins at {begun})"),
        None => String::new(),
    }
}
