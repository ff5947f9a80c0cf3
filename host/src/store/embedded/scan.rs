//! Reads a segment frame by frame, and goes on behind what it cannot read.
//!
//! It reports; it decides nothing but the one question that only the bytes can answer, whether what
//! is wrong at the end of the newest segment is a torn tail ([`Scan::judge`]).

use super::super::StoreError;
use super::damage::{Damage, Flaw};
use super::disk::Disk;
use super::frame::{Head, Kind, MAGIC_BYTES, Side, value_checksum};
use super::index::Slot;
use super::keys::KeyRow;
use super::segment::{HEADER_BYTES, Segment};
use super::window::Window;

/// What a segment holds.
pub(super) struct Scan {
    /// Every change that can be told, in order; also those behind a fault, and those whose value is
    /// damaged, so that reading them names the damage instead of finding an older value.
    pub(super) rows: Vec<KeyRow>,
    /// The end of the last frame.
    pub(super) end: u64,
    /// The end of the zeros behind it, if nothing else follows: room for the next frames.
    pub(super) reserved: u64,
    /// The revision of the last frame.
    pub(super) last: u64,
    /// Whether it ends with a seal.
    pub(super) sealed: bool,
    /// The revision of the frame that ends at the mark asked for.
    pub(super) at_mark: Option<u64>,
    faults: Vec<Fault>,
    /// The highest revision that a frame behind the first fault knows as synced; `None`: nothing is
    /// behind it.
    witness: Option<u64>,
    /// A whole page of zeros is in the first stretch that is at fault, as where a page never reached
    /// the disk.
    zero_page: bool,
    file_bytes: u64,
}

/// Damage, if it is not a torn tail.
struct Fault {
    damage: Damage,
    /// Where its frame begins.
    frame: u64,
    /// How many rows and which revision came before it.
    rows_before: usize,
    last_before: u64,
    /// Where its frame ends.
    to: u64,
}

/// What the end of the newest segment is.
pub(super) enum Judged {
    /// All that it holds is whole.
    Whole,
    /// Whole up to there; what follows was never synced.
    Torn,
    /// Something that was synced cannot be read.
    Damaged(Vec<Damage>),
}

/// Reads all of the segment. `mark` is the offset of the marker, if it is in this segment.
pub(super) fn scan(disk: &Disk, segment: &Segment, mark: Option<u64>) -> Result<Scan, StoreError> {
    let file_bytes = segment.len(disk)?;
    let scan = Scan {
        rows: Vec::new(),
        end: HEADER_BYTES as u64,
        reserved: HEADER_BYTES as u64,
        last: segment.previous,
        sealed: false,
        at_mark: (mark == Some(HEADER_BYTES as u64)).then_some(segment.previous),
        faults: Vec::new(),
        witness: None,
        zero_page: false,
        file_bytes,
    };
    let window = Window::new(disk, segment, file_bytes);
    let mut scanner = Scanner {
        disk,
        segment,
        window,
        mark,
        at: scan.end,
        scan,
    };
    while scanner.at < file_bytes {
        scanner.step()?;
    }
    if let Some((from, to)) = scanner.scan.first_stretch() {
        scanner.scan.zero_page = scanner.window.zero_page(from, to)?;
    }
    Ok(scanner.scan)
}

impl Scan {
    /// All that is wrong, taken as damage: in a segment that is not the newest nothing may be torn.
    pub(super) fn damage(&self) -> Vec<Damage> {
        self.faults
            .iter()
            .map(|fault| fault.damage.clone())
            .collect()
    }

    /// The first frames at fault that follow each other, from where to where.
    fn first_stretch(&self) -> Option<(u64, u64)> {
        let first = self.faults.first()?;
        let mut end = first.to;
        for fault in &self.faults {
            if fault.frame > end {
                break;
            }
            end = end.max(fault.to);
        }
        Some((first.frame, end))
    }

    /// Tells a torn tail from damage, and cuts it off the scan. Everything up to `synced` is durable.
    ///
    /// Beyond it, bytes are torn where nothing readable follows them. Where something does, pages may
    /// have reached the disk out of order: then a page of zeros is among them, and no frame behind
    /// knows them as synced.
    pub(super) fn judge(&mut self, synced: u64) -> Judged {
        let Some(first) = self.faults.first() else {
            return Judged::Whole;
        };
        let torn = match self.witness {
            Some(witness) => witness <= first.last_before && self.zero_page,
            None => true,
        };
        if first.frame < synced || !torn {
            return Judged::Damaged(self.damage());
        }
        self.rows.truncate(first.rows_before);
        self.end = first.frame;
        self.reserved = self.end;
        self.last = first.last_before;
        self.sealed = first.damage.flaw == Flaw::BehindSeal;
        Judged::Torn
    }
}

struct Scanner<'a> {
    disk: &'a Disk,
    segment: &'a Segment,
    window: Window<'a>,
    mark: Option<u64>,
    at: u64,
    scan: Scan,
}

impl Scanner<'_> {
    /// Reads the frame at `at`, or passes over what is none.
    fn step(&mut self) -> Result<(), StoreError> {
        let bytes = self.window.at(self.at)?;
        let head = Head::decode(bytes, Side::Front, self.segment.salt, self.at);
        if head.is_none() && self.window.zeros(self.at, self.scan.file_bytes)? {
            self.at = self.scan.file_bytes;
            self.scan.reserved = self.at;
            return Ok(());
        }
        if self.scan.sealed {
            let to = self.scan.file_bytes;
            self.fault(self.at, to, Flaw::BehindSeal, Vec::new());
            self.at = to;
            return Ok(());
        }
        match head {
            Some((head, _)) => self.frame(head, true),
            None => self.resume(),
        }
    }

    /// There is no front head at `at`: goes on with the next whole head of either side.
    fn resume(&mut self) -> Result<(), StoreError> {
        let mut from = self.at + 1;
        while let Some(next) = self.window.next_head(from)? {
            // The back of a frame that began before has been dealt with by its front.
            if next.start < self.at {
                from = next.place + 1;
                continue;
            }
            if next.start > self.at {
                self.pass_over(next.start);
            }
            return match next.side {
                Side::Front => Ok(()),
                Side::Back => self.frame(next.head, false),
            };
        }
        self.pass_over(self.scan.file_bytes);
        Ok(())
    }

    fn pass_over(&mut self, to: u64) {
        self.fault(self.at, to, Flaw::Unreadable { to }, Vec::new());
        self.at = to;
    }

    /// Takes the frame at `at`, whose head is known from one of its copies.
    fn frame(&mut self, head: Head, front_whole: bool) -> Result<(), StoreError> {
        let start = self.at;
        let end = start + head.frame_bytes() as u64;
        if !self.scan.faults.is_empty() {
            let witness = self.scan.witness.unwrap_or_default();
            self.scan.witness = Some(witness.max(head.synced));
        }
        self.follow(start, &head);
        if end > self.scan.file_bytes {
            let to = self.scan.file_bytes;
            self.fault(start, to, Flaw::Unreadable { to }, keys(&head));
        } else {
            self.compare(start, end, &head, front_whole)?;
        }
        self.take(start, &head);
        self.at = end.min(self.scan.file_bytes);
        self.scan.end = self.at;
        self.scan.reserved = self.at;
        self.scan.last = head.revision;
        self.scan.sealed = head.kind == Kind::Seal;
        if self.mark == Some(end) {
            self.scan.at_mark = Some(head.revision);
        }
        Ok(())
    }

    /// Checks that the frame follows the one before it.
    fn follow(&mut self, start: u64, head: &Head) {
        let advances = match head.kind {
            Kind::Commit => head.revision > self.scan.last,
            Kind::Seal => head.revision >= self.scan.last,
        };
        let hole = Flaw::Unreadable { to: start };
        let behind_hole = self
            .scan
            .faults
            .last()
            .is_some_and(|fault| fault.damage.flaw == hole);
        if !advances || (head.previous != self.scan.last && !behind_hole) {
            let flaw = Flaw::Gap {
                found: self.scan.last,
                named: head.previous,
            };
            let end = start + head.frame_bytes() as u64;
            self.fault(start, end, flaw, Vec::new());
        }
    }

    /// Compares the frame's two heads with each other, and its values with their checksums.
    fn compare(
        &mut self,
        start: u64,
        end: u64,
        head: &Head,
        front_whole: bool,
    ) -> Result<(), StoreError> {
        let salt = self.segment.salt;
        let bytes = self.window.at(start)?;
        let (front, mut values, back) = parts(bytes, head);
        let copies = Side::of(back) == Some(Side::Back)
            && front.get(MAGIC_BYTES..) == back.get(MAGIC_BYTES..);
        let mut flaws = Vec::new();
        match (front_whole, copies) {
            (true, true) => {}
            (true, false) => flaws.push((end - back.len() as u64, Flaw::HeadCopy, keys(head))),
            (false, _) => flaws.push((start, Flaw::HeadCopy, keys(head))),
        }
        let mut offset = start + front.len() as u64;
        for row in &head.rows {
            let value = values.split_at_checked(row.value_bytes as usize);
            let (value, rest) = value.unwrap_or_default();
            if value_checksum(value, salt, head.revision) != row.value_checksum {
                flaws.push((offset, Flaw::Value, vec![row.key.to_string()]));
            }
            values = rest;
            offset += u64::from(row.value_bytes);
        }
        for (offset, flaw, keys) in flaws {
            self.fault_at(offset, (start, end), flaw, keys);
        }
        Ok(())
    }

    fn take(&mut self, start: u64, head: &Head) {
        let mut offset = start + head.head_bytes() as u64;
        for row in &head.rows {
            let slot = Slot {
                segment: self.segment.name,
                offset,
                value_bytes: row.value_bytes,
                value_checksum: row.value_checksum,
                revision: head.revision,
            };
            offset += u64::from(row.value_bytes);
            self.scan.rows.push(KeyRow {
                change: row.change,
                key: row.key.clone(),
                slot,
            });
        }
    }

    /// The frame between is at fault, there where it begins.
    fn fault(&mut self, frame: u64, to: u64, flaw: Flaw, keys: Vec<String>) {
        self.fault_at(frame, (frame, to), flaw, keys);
    }

    fn fault_at(&mut self, offset: u64, (frame, to): (u64, u64), flaw: Flaw, keys: Vec<String>) {
        let file = self.disk.path(&self.segment.name.to_string());
        self.scan.faults.push(Fault {
            damage: Damage {
                file,
                offset,
                flaw,
                keys,
            },
            frame,
            rows_before: self.scan.rows.len(),
            last_before: self.scan.last,
            to,
        });
    }
}

/// The head, the values and the second head of the frame at the start of `bytes`.
fn parts<'a>(bytes: &'a [u8], head: &Head) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let frame = bytes.get(..head.frame_bytes()).unwrap_or_default();
    let (front, rest) = frame
        .split_at_checked(head.head_bytes())
        .unwrap_or_default();
    let (values, back) = rest
        .split_at_checked(head.values_bytes())
        .unwrap_or_default();
    (front, values, back)
}

fn keys(head: &Head) -> Vec<String> {
    head.rows.iter().map(|row| row.key.to_string()).collect()
}
