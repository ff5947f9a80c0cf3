//! What of a folder is packed, in an order that depends on names alone.

use super::BELTIGNORE;
use crate::state::STATE_FOLDER;
use ignore::{DirEntry, Walk, WalkBuilder};
use std::path::Path;

/// Goes through a folder: each folder before what is in it, names in the order of their bytes. Only ignore files that
/// are packed themselves count, so that the same tree gives the same archive on another machine.
pub(super) fn of(folder: &Path) -> Walk {
    let mut walk = WalkBuilder::new(folder);
    walk.add_custom_ignore_filename(BELTIGNORE)
        .git_ignore(true)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .ignore(false)
        .hidden(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(is_packed);
    walk.build()
}

/// No ignore file brings these in: git's own, also where it is a file that points to it, and state folders, which
/// change while they are read.
fn is_packed(found: &DirEntry) -> bool {
    let is_folder = found.file_type().is_some_and(|kind| kind.is_dir());
    let name = found.file_name();
    name != ".git" && !(name == STATE_FOLDER && is_folder)
}
