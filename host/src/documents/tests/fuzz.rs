//! Bytes at random, and valid documents broken at random: an answer comes, whatever they are.

use super::super::{lint, read_bytes};

const SEEDS: u64 = 3_000;

const PARTS: [&str; 40] = [
    "name",
    ": ",
    "\n",
    "  ",
    "- ",
    "steps",
    "driver",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "&a ",
    "*a",
    "---\n",
    "...\n",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "\t",
    "#",
    "? ",
    "%YAML 1.2\n",
    "\u{feff}",
    "\0",
    "é",
    "spec",
    "schema",
    "1e999",
    "0x",
    "~",
    "<<",
    "\\u",
    "\\",
    "retry",
    "\r\n",
    "drivers",
];

const VALID: &str = "name: p\nresource: app\ncontext: &c {a: [1, 2.5, ~], b: \"x\\n\"}\ntimeout: 30m\nsteps:\n- id: a\n  driver: sbom\n  with: *c\n  retry: {max_attempts: 3, backoff: 1s, factor: 2}\n---\nname: r\nresource: app\nspec: |\n  text\n---\nname: app\nschema: {type: object, properties: {a: {pattern: '^a$'}}}\n---\ndrivers:\n  sbom: {path: x.wasm, grants: {out: rw}, limits: {memory: 64MiB}}\n";

/// SplitMix64: a good enough stream from any seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn text_of(random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => (0..random.below(200))
            .map(|_| random.next() as u8)
            .collect(),
        1 => (0..random.below(60))
            .flat_map(|_| PARTS[random.below(PARTS.len())].bytes())
            .collect(),
        _ => {
            let documents: Vec<&str> = VALID.split("---\n").collect();
            let mut text = documents[random.below(documents.len())].as_bytes().to_vec();
            for _ in 0..=random.below(2) {
                let at = random.below(text.len().max(1));
                match random.below(4) {
                    0 => text[at] = random.next() as u8,
                    1 if text.len() > 1 => drop(text.remove(at)),
                    2 => text.truncate(at.max(1)),
                    _ => {
                        let part = PARTS[random.below(PARTS.len())];
                        text.splice(at..at, part.bytes());
                    }
                }
            }
            text
        }
    }
}

#[test]
fn any_bytes_are_answered() {
    let mut valid = 0;
    for seed in 0..SEEDS {
        let text = text_of(&mut Random(seed));
        for file in ["f.yaml", "f.json"] {
            let answer = std::panic::catch_unwind(|| match read_bytes(file, &text) {
                Ok(documents) => {
                    let _ = lint(&documents);
                    true
                }
                Err(mistakes) => {
                    assert!(!mistakes.is_empty());
                    assert!(
                        mistakes
                            .to_string()
                            .lines()
                            .all(|line| line.starts_with(file) || line.starts_with("and "))
                    );
                    false
                }
            });
            match answer {
                Ok(fine) => valid += usize::from(fine),
                Err(_) => panic!(
                    "seed {seed} as {file}: {:?}",
                    String::from_utf8_lossy(&text)
                ),
            }
        }
    }
    // Broken documents that stay valid reach the checks behind the reading.
    assert!(valid > 100, "only {valid} valid documents");
}
