//! What the disk takes: an append and its `fdatasync`, as often as it is asked.

use super::pause;
use beltline::clock;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub struct Syncs {
    file: File,
    bytes: usize,
    pub micros: Vec<f64>,
}

impl Syncs {
    /// In that folder, of so many bytes each.
    pub fn new(folder: &Path, bytes: usize) -> Self {
        let file = tempfile::tempfile_in(folder).expect("a file can be made");
        let micros = Vec::new();
        Syncs {
            file,
            bytes,
            micros,
        }
    }

    /// One after the other, or with a pause before each, in which the machine comes to rest.
    pub fn measure(&mut self, times: u32, between: Duration) {
        let bytes = vec![b'x'; self.bytes];
        for _ in 0..times {
            pause(between);
            let before = clock::monotonic();
            self.file.write_all(&bytes).expect("there is room");
            self.file.sync_data().expect("the disk syncs");
            let took = clock::monotonic().saturating_sub(before);
            self.micros.push(took.as_secs_f64() * 1e6);
        }
    }
}
