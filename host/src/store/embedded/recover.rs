//! From the files of the folder to what they say: the same when the store opens and when it picks
//! itself up after a failed sync.
//!
//! A torn tail is what was written and not yet synced when the machine stopped; it is cut. All else
//! that cannot be read is damage: refused for writing, listed and passed over for reading.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::StoreError;
use super::damage::{Damage, Flaw};
use super::disk::Disk;
use super::frame::{Head, Kind, SEAL_BYTES, Side};
use super::index::Index;
use super::keys::{self, Growing, KeyRow, Of};
use super::marker::{self, Mark};
use super::scan::{Judged, Scan, scan};
use super::segment::{Name, Segment, UNFINISHED};
use super::tail::Tail;

/// What the folder is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To go on with it: whole or not at all.
    Write,
    /// To read what is whole. Nothing in the folder is touched.
    Read,
}

/// A segment that no longer grows.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) segment: Arc<Segment>,
    pub(super) len: u64,
}

/// What the folder says.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) sealed: BTreeMap<Name, Sealed>,
    pub(super) tail: Option<Tail>,
    /// The last revision.
    pub(super) last: u64,
    /// As the marker says; nothing where there is none.
    pub(super) mark: Option<Mark>,
    pub(super) damage: Vec<Damage>,
}

/// Reads the folder, and for [`Access::Write`] tidies it: the torn tail, unfinished files and
/// segments that a newer base stands for are removed, key files that were missing are written.
pub(super) fn recover(disk: &Disk, access: Access) -> Result<Recovered, StoreError> {
    let mark = marker::read(disk)?;
    let names = disk.names()?;
    let segments: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
    let base = segments.iter().filter_map(|name| match name {
        Name::Base(last) => Some(*last),
        Name::Log(_) => None,
    });
    let base = base.max();
    let (mut old, mut kept): (Vec<Name>, Vec<Name>) =
        segments.into_iter().partition(|name| match (name, base) {
            (Name::Base(last), Some(base)) => *last < base,
            (Name::Log(first), Some(base)) => *first <= base,
            (Name::Base(_) | Name::Log(_), None) => false,
        });
    old.sort_unstable();
    kept.sort_unstable();

    let mut folder = Folder {
        disk,
        access,
        found: Recovered::default(),
        chained: true,
    };
    folder.mark(mark, &kept, base);
    let newest = kept.last().copied();
    for name in kept {
        folder.segment(name, Some(name) == newest)?;
    }
    let found = folder.found;
    match access {
        Access::Read => {}
        Access::Write if !found.damage.is_empty() => {
            return Err(StoreError::Damaged(found.damage));
        }
        Access::Write => tidy(disk, &names, &old)?,
    }
    Ok(found)
}

fn tidy(disk: &Disk, names: &[String], old: &[Name]) -> Result<(), StoreError> {
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        disk.remove(name)?;
    }
    old.iter().try_for_each(|name| remove(disk, *name))
}

/// Removes a segment and its keys.
pub(super) fn remove(disk: &Disk, name: Name) -> Result<(), StoreError> {
    disk.remove(&name.keys())?;
    disk.remove(&name.to_string())
}

struct Folder<'a> {
    disk: &'a Disk,
    access: Access,
    found: Recovered,
    /// Whether `found.last` is known to be the end of the segment before.
    chained: bool,
}

impl Folder<'_> {
    fn damage(&mut self, name: Name, offset: u64, flaw: Flaw) {
        let file = self.disk.path(&name.to_string());
        self.found.damage.push(Damage {
            file,
            offset,
            flaw,
            keys: Vec::new(),
        });
    }

    /// Takes the marker, and misses the segment that it names.
    fn mark(&mut self, mark: Option<Result<Mark, Damage>>, kept: &[Name], base: Option<u64>) {
        match mark {
            Some(Ok(mark)) => {
                let named = Name::Log(mark.segment);
                let known = mark.segment <= base.unwrap_or_default() || kept.contains(&named);
                if !known {
                    self.damage(named, mark.offset, Flaw::Missing);
                }
                self.found.mark = Some(mark);
            }
            Some(Err(damage)) => self.found.damage.push(damage),
            None => {}
        }
    }

    fn segment(&mut self, name: Name, newest: bool) -> Result<(), StoreError> {
        let (segment, damage) = Segment::open(self.disk, name, self.access == Access::Write)?;
        self.found.damage.extend(damage);
        let Some(segment) = segment else {
            self.chained = false;
            return Ok(());
        };
        if self.chained && segment.previous != self.found.last {
            let flaw = Flaw::Gap {
                found: self.found.last,
                named: segment.previous,
            };
            self.damage(name, 0, flaw);
        }
        self.chained = true;
        match self.quick(&segment)? {
            Some((len, last, rows)) => self.seal(segment, len, last, rows),
            None => self.scanned(segment, newest)?,
        }
        Ok(())
    }

    /// The quick way: the length, last revision and changes of a sealed segment, if its seal and the
    /// file of its keys are whole.
    fn quick(&mut self, segment: &Segment) -> Result<Option<(u64, u64, Vec<KeyRow>)>, StoreError> {
        let name = segment.name;
        let len = segment.len(self.disk)?;
        let Some(last) = seal(segment, len) else {
            return Ok(None);
        };
        let rows = keys::read(
            self.disk,
            Of {
                name,
                salt: segment.salt,
                len,
            },
        )?;
        Ok(rows.map(|rows| (len, last, rows)))
    }

    fn seal(&mut self, segment: Segment, len: u64, last: u64, rows: Vec<KeyRow>) {
        if matches!(segment.name, Name::Base(named) if named != last) {
            self.damage(segment.name, 0, Flaw::Header);
        }
        let index = &mut self.found.index;
        rows.into_iter().for_each(|row| row.apply(index));
        self.found.last = last;
        self.found.sealed.insert(
            segment.name,
            Sealed {
                segment: Arc::new(segment),
                len,
            },
        );
    }

    /// The long way: all of its bytes.
    fn scanned(&mut self, segment: Segment, newest: bool) -> Result<(), StoreError> {
        let name = segment.name;
        let mark = self
            .found
            .mark
            .filter(|mark| name == Name::Log(mark.segment));
        let mut scan = scan(self.disk, &segment, mark.map(|mark| mark.offset))?;
        match newest {
            true => self.judge(name, &mut scan, mark),
            false => self.found.damage.extend(scan.damage()),
        }
        let grows = newest && matches!(name, Name::Log(_));
        if !grows && !scan.sealed {
            self.damage(name, scan.end, Flaw::Unsealed);
        }
        let writes = self.found.damage.is_empty() && self.access == Access::Write;
        let kept = if scan.sealed { scan.end } else { scan.reserved };
        if writes && segment.len(self.disk)? > kept {
            self.disk.truncate(&segment.file, &name.to_string(), kept)?;
        }
        if scan.sealed || !grows {
            if writes {
                let of = Of {
                    name,
                    salt: segment.salt,
                    len: scan.end,
                };
                keys::write(self.disk, of, &scan.rows);
            }
            self.seal(segment, scan.end, scan.last, scan.rows);
            return Ok(());
        }
        let mut keys = match writes {
            true => Growing::begin(self.disk, name, segment.salt),
            false => Growing::nowhere(segment.salt),
        };
        self.found.last = scan.last;
        let Scan {
            end,
            reserved,
            rows,
            ..
        } = scan;
        for row in rows {
            keys.add(self.disk, &row);
            row.apply(&mut self.found.index);
        }
        self.found.tail = Some(Tail {
            name: name.to_string(),
            segment: Arc::new(segment),
            end,
            reserved,
            keys,
        });
        Ok(())
    }

    /// Judges the end of the newest segment, and cuts what is torn off the scan.
    fn judge(&mut self, name: Name, scan: &mut Scan, mark: Option<Mark>) {
        let synced = mark.map_or(0, |mark| mark.offset);
        let judged = scan.judge(synced);
        if scan.end < synced {
            self.damage(name, scan.end, Flaw::Short { synced });
        }
        match judged {
            Judged::Damaged(damage) => self.found.damage.extend(damage),
            Judged::Whole | Judged::Torn => {
                if let Some(mark) = mark.filter(|mark| scan.at_mark != Some(mark.revision)) {
                    self.damage(
                        name,
                        mark.offset,
                        Flaw::MarkerRevision {
                            named: mark.revision,
                        },
                    );
                }
            }
        }
    }
}

/// The revision of the seal that ends the segment, if one does.
fn seal(segment: &Segment, len: u64) -> Option<u64> {
    let mut bytes = [0; SEAL_BYTES];
    let place = len.checked_sub(SEAL_BYTES as u64)?;
    segment.file.read_exact_at(&mut bytes, place).ok()?;
    let (front, back) = bytes.split_at(SEAL_BYTES / 2);
    let (front, _) = Head::decode(front, Side::Front, segment.salt, place)?;
    let (back, _) = Head::decode(
        back,
        Side::Back,
        segment.salt,
        place + SEAL_BYTES as u64 / 2,
    )?;
    (front.kind == Kind::Seal && front == back).then_some(front.revision)
}
