//! What the real `belt` cannot be brought to do: two engines, and a cache that is small.

use super::super::engine::{self, engine};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use wasmtime::Config;

fn code(engine: &Engine) -> Vec<u8> {
    let bytes = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
    engine::code(engine, &bytes).unwrap()
}

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

fn folder() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("belt");
    (temporary, path)
}

/// The entries that are there, as numbers of digests.
fn there(cache: &Cache, engine: &Engine) -> Vec<u8> {
    let is_there = |number: &u8| {
        let name = entry_name(engine, digest(*number));
        cache.folder.path(&name).exists()
    };
    (0..10).filter(is_there).collect()
}

#[test]
fn what_was_kept_is_loaded() {
    let (_temporary, path) = folder();
    let (engine, _) = engine().unwrap();
    let cache = Cache::open(&path).unwrap();
    assert!(cache.load(&engine, digest(1)).unwrap().is_none());
    cache.keep(&engine, digest(1), &code(&engine)).unwrap();
    assert!(cache.load(&engine, digest(1)).unwrap().is_some());
    // A later process has the same key.
    let cache = Cache::open(&path).unwrap();
    assert!(cache.load(&engine, digest(1)).unwrap().is_some());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

/// Another version, or another setting, has another name; and under the name of this one its code is refused.
#[test]
fn code_of_another_engine_is_not_loaded() {
    let (_temporary, path) = folder();
    let (ours, _) = engine().unwrap();
    let other = Engine::new(Config::new().epoch_interruption(false)).unwrap();
    let cache = Cache::open(&path).unwrap();
    cache.keep(&other, digest(1), &code(&other)).unwrap();
    assert!(cache.load(&ours, digest(1)).unwrap().is_none());
    let [from, to] = [&other, &ours].map(|engine| path.join(entry_name(engine, digest(1))));
    fs::copy(from, to).unwrap();
    let refused = cache.load(&ours, digest(1)).map(drop).unwrap_err();
    assert!(matches!(refused, CacheError::Wrong(_)), "{refused}");
}

#[test]
fn what_was_of_use_longest_ago_goes_first() {
    let (_temporary, path) = folder();
    let (engine, _) = engine().unwrap();
    let code = code(&engine);
    let cache = Cache::open(&path).unwrap();
    cache.keep(&engine, digest(0), &code).unwrap();
    let first = path.join(entry_name(&engine, digest(0)));
    let bytes = fs::metadata(first).unwrap().len();

    let cache = Cache::open_sized(&path, 3 * bytes).unwrap();
    for number in [1, 2] {
        cache.keep(&engine, digest(number), &code).unwrap();
    }
    assert_eq!(there(&cache, &engine), [0, 1, 2]);
    for number in [0, 1, 2] {
        let file = path.join(entry_name(&engine, digest(number)));
        let file = fs::File::options().write(true).open(file).unwrap();
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + u64::from(number));
        file.set_modified(used).unwrap();
    }
    // The oldest is used, and so is no longer the oldest.
    assert!(cache.load(&engine, digest(0)).unwrap().is_some());
    cache.keep(&engine, digest(3), &code).unwrap();
    assert_eq!(there(&cache, &engine), [0, 2, 3]);
    cache.keep(&engine, digest(4), &code).unwrap();
    assert_eq!(there(&cache, &engine), [0, 3, 4]);
    let unfinished = path.join("1-0.new");
    fs::write(&unfinished, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    let file = fs::File::options().write(true).open(&unfinished).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    cache.keep(&engine, digest(5), &code).unwrap();
    assert!(
        !unfinished.exists(),
        "what others left unfinished goes as well"
    );
}
