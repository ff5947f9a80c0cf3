//! The cache of compiled code: what is right is used without a word, what is not is named and compiled again, and
//! nothing that is wrong with it keeps a run from succeeding.

use crate::belt::{Bench, Said};
use crate::live::Live;
use crate::state_disk::Disk;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPILING: &str = "compiling say\n";
const WRONG: &str = "is damaged, or is not what this host wrote for this driver";
const OPEN: &str = "is open to other users (`chmod go= ` it)";
const FOREIGN: &str = "belongs to another user";
const NOBODY: Option<u32> = Some(65_534);

/// A bench whose cache is the folder `cache` in it.
fn bench() -> Bench {
    Bench::with_steps(&["say"], &["{driver: say}"])
}

fn command(bench: &Bench, state: &str) -> Command {
    let args = [
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        "resource.yaml",
        "--state",
        state,
    ];
    let mut command = bench.command(&args);
    command.env("XDG_CACHE_HOME", bench.path("cache"));
    command
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it, which succeeds, and gives what was said.
#[track_caller]
fn run(bench: &Bench) -> String {
    let said = said(command(bench, "state"));
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.stderr
}

#[track_caller]
fn compiles(bench: &Bench, notes: &[&str]) {
    let said = run(bench);
    assert!(said.contains(COMPILING), "{said}");
    for note in notes {
        assert!(said.contains(note), "no `{note}` in {said}");
    }
    assert_eq!(said.contains("cached"), !notes.is_empty(), "{said}");
}

/// Nothing is compiled, and nothing said of it.
#[track_caller]
fn hits(bench: &Bench) {
    let said = run(bench);
    assert!(
        !said.contains("compiling") && !said.contains("cache"),
        "{said}"
    );
}

/// The only entry.
#[track_caller]
fn entry(bench: &Bench) -> PathBuf {
    let files = fs::read_dir(bench.path("cache/belt")).unwrap();
    let mut entries = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "code"));
    let entry = entries.next().unwrap();
    assert_eq!(entries.next(), None);
    entry
}

/// Has something done to the entry, and checks that the next run names it, compiles, and mends it.
#[track_caller]
fn spoilt(bench: &Bench, spoil: impl FnOnce(&Path), why: &str) {
    let entry = entry(bench);
    spoil(&entry);
    let named = format!(
        "note: compiled code of say is not cached: `{}` {why}",
        entry.display()
    );
    let named = match why.strip_prefix("cannot open") {
        Some(why) => format!("cannot open `{}`{why}", entry.display()),
        None => named,
    };
    compiles(bench, &[&named]);
    hits(bench);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_compiled_once_is_loaded_by_every_later_process() {
    let bench = bench();
    compiles(&bench, &[]);
    hits(&bench);
    fs::remove_dir_all(bench.path("cache")).unwrap();
    compiles(&bench, &[]);
    hits(&bench);
}

#[test]
fn an_entry_with_other_bytes_is_compiled_again() {
    let bench = bench();
    compiles(&bench, &[]);
    let len = fs::metadata(entry(&bench)).unwrap().len();
    for short in [0, 10, 31, 32, 33, len / 2, len - 1] {
        let cut = |path: &Path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(short)
                .unwrap();
        };
        spoilt(&bench, cut, WRONG);
    }
    for at in [0, 1, len / 3, len / 2, len - 33, len - 32, len - 1] {
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[usize::try_from(at).unwrap()] ^= 1;
            fs::write(path, bytes).unwrap();
        };
        spoilt(&bench, flip, WRONG);
    }
    let longer = |path: &Path| {
        let bytes = [fs::read(path).unwrap(), vec![0]].concat();
        fs::write(path, bytes).unwrap();
    };
    spoilt(&bench, longer, WRONG);
}

#[test]
fn an_entry_of_another_driver_or_of_another_key_is_compiled_again() {
    let (bench, other) = (bench(), Bench::with_steps(&["kind"], &["{driver: kind}"]));
    compiles(&bench, &[]);
    let mut of_other = command(&other, "state");
    of_other.env("XDG_CACHE_HOME", bench.path("cache"));
    let ours = entry(&bench);
    said(of_other);
    let files = fs::read_dir(bench.path("cache/belt")).unwrap();
    let theirs = files
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "code") && *path != ours)
        .unwrap();
    fs::rename(theirs, &ours).unwrap();
    spoilt(&bench, |_| {}, WRONG);
    let key = bench.path("cache/belt/key");
    spoilt(&bench, |_| fs::write(&key, [7; 32]).unwrap(), WRONG);
    spoilt(&bench, |_| fs::remove_file(&key).unwrap(), WRONG);
}

#[test]
fn an_entry_that_others_could_have_written_is_compiled_again() {
    let bench = bench();
    compiles(&bench, &[]);
    for open in [0o620, 0o602, 0o640, 0o604, 0o660] {
        spoilt(&bench, |path| mode(path, open), OPEN);
    }
    let given = |path: &Path| {
        chown(path, NOBODY, None).expect("this test needs to give files away, as root");
    };
    spoilt(&bench, given, FOREIGN);
}

#[test]
fn an_entry_that_is_no_file_is_compiled_again() {
    let bench = bench();
    compiles(&bench, &[]);
    let elsewhere = bench.path("elsewhere");
    let linked = |path: &Path| {
        fs::rename(path, &elsewhere).unwrap();
        symlink(&elsewhere, path).unwrap();
    };
    spoilt(
        &bench,
        linked,
        "cannot open: Too many levels of symbolic links",
    );
    let piped = |path: &Path| {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    spoilt(&bench, piped, "is no file");
    // Nobody removes a folder that is none of ours: it is named until somebody does.
    let entry = entry(&bench);
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    for _ in 0..2 {
        compiles(&bench, &["is no file", "cannot write `"]);
    }
    fs::remove_dir(&entry).unwrap();
    compiles(&bench, &[]);
    hits(&bench);
}

#[test]
fn a_folder_or_a_key_that_is_not_this_users_alone_is_not_used() {
    let bench = bench();
    compiles(&bench, &[]);
    let (folder, key) = (bench.path("cache/belt"), bench.path("cache/belt/key"));
    for (path, open, right) in [
        (&folder, 0o720, 0o700),
        (&folder, 0o702, 0o700),
        (&key, 0o620, 0o600),
    ] {
        let named = format!("note: compiled code is not cached: `{}` ", path.display());
        mode(path, open);
        compiles(&bench, &[&format!("{named}{OPEN}")]);
        mode(path, right);
        hits(&bench);
        chown(path, NOBODY, None).expect("this test needs to give files away, as root");
        compiles(&bench, &[&format!("{named}{FOREIGN}")]);
        chown(path, Some(0), None).unwrap();
        hits(&bench);
    }
    // A key of another length is removed, and the next run makes one.
    for bytes in [&b""[..], &[1; 31], &[1; 33]] {
        fs::write(&key, bytes).unwrap();
        compiles(&bench, &[&format!("`{}` {WRONG}", key.display())]);
        compiles(&bench, &[WRONG]);
        hits(&bench);
    }
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    compiles(
        &bench,
        &["note: compiled code is not cached: cannot make `"],
    );
}

#[test]
fn a_cache_on_a_disk_that_takes_nothing_is_read_all_the_same() {
    let bench = bench();
    let disk = Disk::mount(bench.path("cache"), "4m");
    compiles(&bench, &[]);
    let filler = disk.fill();
    hits(&bench);
    fs::remove_file(entry(&bench)).unwrap();
    fs::remove_file(&filler).unwrap();
    disk.fill();
    compiles(&bench, &["cannot write `", "No space left on device"]);
    let files = fs::read_dir(bench.path("cache/belt")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["key"], "what was not finished is gone");
    fs::remove_file(&filler).unwrap();
    compiles(&bench, &[]);
    disk.read_only();
    hits(&bench);
}

#[test]
fn an_empty_cache_that_cannot_be_written_to_is_named() {
    let bench = bench();
    let disk = Disk::mount(bench.path("cache"), "4m");
    disk.read_only();
    compiles(
        &bench,
        &[
            "note: compiled code is not cached: cannot make `",
            "Read-only file system",
        ],
    );
}

#[test]
fn a_cache_that_goes_while_it_is_in_use_is_not_missed() {
    let bench = Bench::with_steps(
        &["gate", "echo"],
        &["{id: wait, driver: gate}", "{driver: echo}"],
    );
    for _ in 0..2 {
        let mut command = command(&bench, "state");
        fs::create_dir_all(bench.path("work")).unwrap();
        command.args(["--workspace", "work"]);
        let mut live = Live::start(command);
        live.until("at the gate");
        fs::remove_dir_all(bench.path("cache")).unwrap();
        bench.write("work/wait.open", "");
        let said = live.end();
        assert_eq!(said.code, 0, "{}", said.stderr);
        fs::remove_file(bench.path("work/wait.open")).unwrap();
    }
}

#[test]
fn processes_that_compile_the_same_at_once_do_not_disturb_each_other() {
    let bench = bench();
    let all = ["one", "two", "three", "four"].map(|state| Live::start(command(&bench, state)));
    for live in all {
        let said = live.end();
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(!said.stderr.contains("cached"), "{}", said.stderr);
    }
    entry(&bench);
    hits(&bench);
}

#[test]
fn without_a_home_nothing_is_cached() {
    let bench = bench();
    for _ in 0..2 {
        let mut command = command(&bench, "state");
        command.env_remove("XDG_CACHE_HOME").env_remove("HOME");
        let said = said(command);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let why = "note: compiled code is not cached: neither XDG_CACHE_HOME nor HOME says where it could be\n";
        assert!(
            said.stderr.contains(why) && said.stderr.contains(COMPILING),
            "{}",
            said.stderr
        );
    }
    let mut command = command(&bench, "state");
    command
        .env_remove("XDG_CACHE_HOME")
        .env("HOME", bench.path("home"));
    assert_eq!(said(command).code, 0);
    assert!(bench.path("home/.cache/belt/key").is_file());
}

/// Who may write there could have the host run what he likes.
#[test]
fn no_driver_may_write_where_the_cache_is() {
    let bench = Bench::with_steps(&["append", "files"], &["{driver: append}"]);
    let refused = |more: &[&str]| {
        let mut command = command(&bench, "state");
        command.args(more);
        let said = said(command);
        assert_eq!(said.code, 2, "{}", said.stderr);
        let cache = bench.path("cache/belt").display().to_string();
        assert!(said.stderr.contains(&cache), "{}", said.stderr);
    };
    fs::create_dir_all(bench.path("cache/belt")).unwrap();
    mode(&bench.path("cache/belt"), 0o700);
    refused(&["--workspace", "cache"]);
    refused(&["--workspace", "cache/belt"]);
    bench.write("work/.keep", "");
    bench.pipeline("", &["{driver: files, with: {do: []}}"]);
    refused(&["--workspace", "work", "--out", "cache"]);
    refused(&["--workspace", "work", "--out", "cache/belt"]);
}

/// It is run from a copy: whatever becomes of the file.
#[test]
fn an_entry_that_is_cut_short_under_a_run_that_has_loaded_it() {
    let bench = Bench::with_steps(&["say", "gate"], &["{driver: gate}", "{driver: say}"]);
    let mut args = vec!["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
    args.extend(["--state", "state", "--workspace", "work"]);
    fs::create_dir_all(bench.path("work")).unwrap();
    let command = |bench: &Bench| {
        let mut command = bench.command(&args);
        command.env("XDG_CACHE_HOME", bench.path("cache"));
        command
    };
    bench.write("work/gate.open", "");
    assert_eq!(said(command(&bench)).code, 0);
    fs::remove_file(bench.path("work/gate.open")).unwrap();
    let mut live = Live::start(command(&bench));
    live.until("at the gate");
    for entry in fs::read_dir(bench.path("cache/belt")).unwrap() {
        fs::write(entry.unwrap().path(), "").unwrap();
    }
    bench.write("work/gate.open", "");
    let said = live.end();
    assert_eq!(said.code, 0, "{}", said.stderr);
}
