//! What differs from run to run and from way to way, and nothing else: ids, times, what was used, and where things lie.

use std::path::Path;

/// Before the time of a log line, where it is on one line.
const AT_MS: &str = "\"at_ms\":";

/// How many digits that time has.
const MILLISECONDS: usize = 13;

/// Units that follow a number in what people read.
const UNITS: [&str; 5] = ["ms", "s", "B", "KiB", "MiB"];

/// Numbers that are the machine's, by how their keys end.
const MEASURED: [&str; 6] = ["_ms", "_at", "_bytes", "_read", "_written", "_calls"];

/// How long the id of a run is, that of a resource or definition, a digest, and a time.
const ID: usize = 36;
const RESOURCE_ID: usize = 24;
const DIGEST: usize = 71;
const TIME: usize = 24;

/// Of a side: what its own places are called everywhere.
pub struct Mask {
    places: Vec<(String, &'static str)>,
}

impl Mask {
    pub fn of(folder: &Path, server: &str) -> Mask {
        let folder = folder.display().to_string();
        let folder = folder.trim_end_matches('/');
        let mut places = vec![
            (format!("{folder}/state/workspaces/RUN"), "WORKSPACE"),
            (format!("{folder}/work"), "WORKSPACE"),
            (format!("{folder}/state/out/RUN"), "OUT"),
        ];
        places.push((folder.to_owned(), "FOLDER"));
        if !server.is_empty() {
            places.push((format!("{server}/runs/RUN/out"), "OUT"));
        }
        Mask { places }
    }

    /// A line of what was said. Columns are as wide as their widest cell, so of the spaces between them one stays.
    pub fn line(&self, line: &str) -> String {
        let mut line = parts(line);
        for (place, name) in &self.places {
            line = line.replace(place, name);
        }
        if let Some((key, _)) = line.split_once(": ") {
            let bare = key.trim().trim_start_matches("- ").trim_matches('"');
            if MEASURED.iter().any(|end| bare.ends_with(end)) {
                return format!("{key}: #");
            }
        }
        let indent = line.len() - line.trim_start().len();
        let mut words: Vec<&str> = Vec::new();
        for word in line.split_whitespace() {
            let is_unit = UNITS.contains(&word.trim_end_matches(','));
            match words.last_mut() {
                Some(last) if is_unit && is_number(last) => *last = "#",
                Some(last) if word == "calls" => {
                    *last = "#";
                    words.push(word);
                }
                _ => words.push(word),
            }
        }
        // How often a guest called its host follows the memory that it used.
        for nth in 1..words.len() {
            if words[nth - 1] == "#" && is_number(words[nth]) {
                words[nth] = "#";
            }
        }
        format!("{}{}", " ".repeat(indent), words.join(" "))
    }
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

/// With every id as `RUN`, every digest as `DIGEST` and every time as `TIME`.
fn parts(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (length, name) = match rest {
            rest if is_id(rest) => (ID, "RUN"),
            rest if is_resource_id(
                rest,
                masked.ends_with(|last: char| last.is_ascii_hexdigit()),
            ) =>
            {
                (RESOURCE_ID, "ID")
            }
            rest if rest.starts_with("sha256:") => (DIGEST.min(rest.len()), "DIGEST"),
            rest if is_at_ms(rest) => (AT_MS.len() + MILLISECONDS, AT_MS),
            rest if is_time(rest) => (TIME, "TIME"),
            _ => (first.len_utf8(), &rest[..first.len_utf8()]),
        };
        masked.push_str(name);
        rest = &rest[length..];
    }
    masked
}

fn is_id(text: &str) -> bool {
    let id = text.as_bytes().get(..ID).unwrap_or_default();
    let is_dash = |nth: usize| matches!(nth, 8 | 13 | 18 | 23);
    let fits = |(nth, byte): (usize, &u8)| match is_dash(nth) {
        true => *byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    !id.is_empty() && id.iter().enumerate().all(fits)
}

fn is_resource_id(text: &str, is_within: bool) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    let length = text.bytes().take_while(|byte| is_hex(byte)).count();
    !is_within && length == RESOURCE_ID
}

fn is_at_ms(text: &str) -> bool {
    let time = text.strip_prefix(AT_MS).unwrap_or_default();
    let time = time.as_bytes().get(..MILLISECONDS);
    time.is_some_and(|time| time.iter().all(u8::is_ascii_digit))
}

fn is_time(text: &str) -> bool {
    text.get(..TIME)
        .is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok())
}
