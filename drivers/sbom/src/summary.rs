//! What the step leaves for later ones: the counts, where the bill is, and as many of its components as an
//! output has room for.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cyclonedx::Bill;
use crate::lock::{Ecosystem, Lock};
use crate::write::Written;

/// What the list may take of an output's 256 KiB; the rest is ample for the counts.
const LIST_BYTES_MAX: usize = 224 * 1024;

/// The step's output.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// The bill, below the out folder.
    path: String,
    /// Of the bill, in hex.
    sha256: String,
    bytes: usize,
    lockfiles: Vec<Lockfile>,
    /// How many there are.
    components: usize,
    ecosystems: BTreeMap<Ecosystem, usize>,
    /// By what the lockfiles say; the rest of the components say nothing.
    licenses: BTreeMap<String, usize>,
    /// Name, version, license, purl and scope of each, as far as they are known.
    list: Vec<Value>,
    /// How many the list has no room for.
    list_omitted: usize,
}

#[derive(Serialize)]
struct Lockfile {
    path: String,
    packages: usize,
}

impl Summary {
    pub(crate) fn new(bill: &Bill<'_>, locks: &[Lock], written: Written) -> Summary {
        let mut ecosystems = BTreeMap::new();
        let mut licenses = BTreeMap::new();
        for component in bill.components.values() {
            *ecosystems.entry(component.ecosystem()).or_default() += 1;
            if let Some(licence) = component.licence() {
                *licenses.entry(licence.to_owned()).or_default() += 1;
            }
        }
        let list = list(bill);
        Summary {
            path: written.path,
            sha256: written.sha256,
            bytes: written.bytes,
            lockfiles: locks
                .iter()
                .map(|lock| Lockfile {
                    path: lock.path.clone(),
                    packages: lock.packages.len(),
                })
                .collect(),
            components: bill.components.len(),
            ecosystems,
            licenses,
            list_omitted: bill.components.len() - list.len(),
            list,
        }
    }

    /// One line for a person.
    pub(crate) fn message(&self) -> String {
        let lockfiles = match self.lockfiles.as_slice() {
            [one] => one.path.clone(),
            several => format!("{} lockfiles", several.len()),
        };
        let noun = if self.components == 1 {
            "component"
        } else {
            "components"
        };
        format!(
            "{} {noun} from {lockfiles} in {}",
            self.components, self.path
        )
    }
}

fn list(bill: &Bill<'_>) -> Vec<Value> {
    let mut bytes = 0;
    let entries = bill
        .components
        .values()
        .map(|component| component.to_summary());
    entries
        .take_while(|entry| {
            bytes += entry.to_string().len() + 1;
            bytes <= LIST_BYTES_MAX
        })
        .collect()
}
