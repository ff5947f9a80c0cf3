//! What the disk takes: an append and its `fdatasync`, as often as it is asked.

use beltline::clock;
use std::fs::File;
use std::io::Write;
use std::path::Path;

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

    pub fn measure(&mut self, times: u32) {
        let bytes = vec![b'x'; self.bytes];
        for _ in 0..times {
            let before = clock::monotonic();
            self.file.write_all(&bytes).expect("there is room");
            self.file.sync_data().expect("the disk syncs");
            let took = clock::monotonic().saturating_sub(before);
            self.micros.push(took.as_secs_f64() * 1e6);
        }
    }
}
