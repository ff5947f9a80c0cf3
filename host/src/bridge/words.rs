//! Names and entries that many attempts share, kept once: a run that waits for its driver costs little.

use crate::documents::NativeDriver;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Words that are kept; when there are more, all are kept anew.
const WORDS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Words {
    words: Mutex<HashSet<Arc<str>>>,
    entries: Mutex<HashMap<String, Arc<NativeDriver>>>,
}

impl Words {
    pub(super) fn of(&self, word: &str) -> Arc<str> {
        let mut words = self.words.lock();
        if let Some(known) = words.get(word) {
            return Arc::clone(known);
        }
        if words.len() >= WORDS_MAX {
            words.clear();
        }
        let word: Arc<str> = word.into();
        words.insert(Arc::clone(&word));
        word
    }

    /// The entry of a driver, as it is now.
    pub(super) fn entry(&self, driver: &str, entry: &NativeDriver) -> Arc<NativeDriver> {
        let mut entries = self.entries.lock();
        if let Some(known) = entries.get(driver).filter(|known| ***known == *entry) {
            return Arc::clone(known);
        }
        if entries.len() >= WORDS_MAX {
            entries.clear();
        }
        let entry = Arc::new(entry.clone());
        entries.insert(driver.to_owned(), Arc::clone(&entry));
        entry
    }
}
