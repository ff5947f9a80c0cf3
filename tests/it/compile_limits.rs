//! The limits of a compilation, and answers that are none: straight at the sandbox, with a compiler of the test's
//! making or the real one with little to spend.

use crate::belt::{Bench, guest};
use crate::compile_made::{branches, in_minutes, long, many_functions, nested, with_all_memory};
use beltline::digest::Digest;
use beltline::text;
use beltline::wasm::{
    CompileLimit, CompileLimits, Compiler, HostSettings, Limits, LoadError, Loaded, Notice,
    WasmHost,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(100);

const BELT: &str = env!("CARGO_BIN_EXE_belt");

/// A host, and the names of the drivers that it compiles, as it begins.
struct Host {
    wasm: WasmHost,
    compiling: Mutex<Receiver<String>>,
}

impl Host {
    fn new(executable: impl Into<PathBuf>, limits: CompileLimits) -> Self {
        let settings = HostSettings {
            compiler: Some(Compiler {
                executable: executable.into(),
                limits,
            }),
            ..HostSettings::default()
        };
        let (tell, compiling) = channel();
        let tell = Mutex::new(tell);
        let tell = move |notice| {
            if let Notice::Compiling(name) = notice {
                tell.lock().unwrap().send(name).unwrap();
            }
        };
        let wasm = WasmHost::new(settings, Arc::new(tell)).unwrap();
        let compiling = Mutex::new(compiling);
        Host { wasm, compiling }
    }

    /// Waits until it begins to compile one more.
    #[track_caller]
    fn begins(&self) {
        let compiling = self.compiling.lock().unwrap();
        compiling.recv_timeout(PATIENCE).unwrap();
    }

    fn has_begun_another(&self) -> bool {
        self.compiling.lock().unwrap().try_recv().is_ok()
    }

    fn load(&self, name: &str, bytes: &[u8]) -> Result<Loaded, LoadError> {
        let digest = Digest::of(bytes);
        let limits = Limits::default();
        self.wasm.load(name, digest, bytes, limits, Arc::default())
    }

    #[track_caller]
    fn fails(&self, bytes: &[u8]) -> LoadError {
        self.load("bad", bytes).map(drop).unwrap_err()
    }

    /// Which limit, and that the host is none the worse.
    #[track_caller]
    fn over(&self, bytes: &[u8]) -> (CompileLimit, String) {
        let error = self.fails(bytes);
        let words = error.to_string();
        let LoadError::CompileLimit(limit) = error else {
            panic!("{}", text::chain(&error));
        };
        self.load("good", &bytes_of("noop")).unwrap();
        (limit, words)
    }
}

fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(guest(name)).unwrap()
}

fn limits() -> CompileLimits {
    CompileLimits::default()
}

/// An executable of these lines of shell. It is written by another process: while another thread of this one starts
/// a child, that would have it open for writing, and nobody could run it.
fn script(bench: &Bench, lines: &str) -> PathBuf {
    let path = bench.path("compiler");
    let text = format!("#!/bin/sh\n{lines}\n");
    let write = "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"";
    let written = Command::new("sh")
        .args(["-c", write, "sh", &text])
        .arg(&path)
        .status();
    assert!(written.unwrap().success());
    path
}

#[test]
fn more_memory_than_it_may_use() {
    let memory_bytes = 256 << 20;
    let host = Host::new(
        BELT,
        CompileLimits {
            memory_bytes,
            ..limits()
        },
    );
    let (limit, words) = host.over(&with_all_memory());
    assert_eq!(limit, CompileLimit::Memory(memory_bytes));
    assert_eq!(
        words,
        "compiling it takes more than its memory limit of 256 MiB; build it with less code in it, or as several drivers"
    );
}

#[test]
fn more_cpu_time_than_it_may_use() {
    let cpu = Duration::from_secs(1);
    let host = Host::new(BELT, CompileLimits { cpu, ..limits() });
    let (limit, words) = host.over(&in_minutes());
    assert_eq!(limit, CompileLimit::Cpu(1));
    assert!(words.contains("its CPU time limit of 1.0 s; "), "{words}");
}

/// Whoever finds that there is no memory says so in a way of its own: an abort, or a panic on a thread of cranelift's.
#[test]
fn however_it_is_said_that_memory_was_not_to_be_had() {
    let bench = Bench::new(&[]);
    for (words, end) in [
        ("memory allocation of 64 bytes failed", "kill -ABRT $$"),
        ("thread panicked at lib.rs:2:5:\nout of memory", "exit 101"),
        (
            "thread panicked at lib.rs:2:5:\nout of memory",
            "kill -ABRT $$",
        ),
    ] {
        let ends = script(&bench, &format!("printf '{words}\\n' >&2; {end}"));
        let error = Host::new(ends, limits()).fails(&bytes_of("noop"));
        let limit = CompileLimit::Memory(limits().memory_bytes);
        let is_over = matches!(&error, LoadError::CompileLimit(over) if *over == limit);
        assert!(is_over, "{words}, {end}: {}", text::chain(&error));
    }
    // Another end, or other words.
    for (words, end) in [
        ("out of memory", "exit 7"),
        ("memory allocation of 64 bytes failed", "kill -KILL $$"),
        (
            "thread panicked at lib.rs:2:5:\nit ran out of memory types",
            "exit 101",
        ),
    ] {
        let ends = script(&bench, &format!("printf '{words}\\n' >&2; {end}"));
        let error = Host::new(ends, limits()).fails(&bytes_of("noop"));
        let has_ended = matches!(&error, LoadError::CompilerEnded { .. });
        assert!(has_ended, "{words}, {end}: {}", text::chain(&error));
    }
}

/// And nothing of it is left.
#[test]
fn more_time_than_it_has() {
    let bench = Bench::new(&[]);
    let pid = bench.path("pid");
    let waits = format!("echo $$ > {}; exec sleep 1000", pid.display());
    let wall = Duration::from_millis(1_500);
    let host = Host::new(script(&bench, &waits), CompileLimits { wall, ..limits() });
    // More than a pipe holds: nobody reads it.
    let error = host.fails(&vec![0; 1 << 20]);
    assert_eq!(
        error.to_string(),
        "compiling it takes more than its time limit of 1.5 s; build it with less code in it, or as several drivers"
    );
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let gone = test_kill_process(Pid::from_raw(pid).unwrap());
    assert_eq!(gone, Err(Errno::SRCH));
}

#[test]
fn more_code_than_is_taken() {
    let code_bytes = 300 << 10;
    let host = Host::new(
        BELT,
        CompileLimits {
            code_bytes,
            ..limits()
        },
    );
    let (limit, words) = host.over(&bytes_of("files"));
    assert_eq!(limit, CompileLimit::Code(code_bytes));
    assert!(
        words.contains("its limit of 300 KiB of compiled code; "),
        "{words}"
    );

    let bench = Bench::new(&[]);
    let endless = script(&bench, "exec cat /dev/zero");
    let error = Host::new(endless, limits()).fails(&bytes_of("noop"));
    assert!(
        error
            .to_string()
            .contains("its limit of 512 MiB of compiled code; "),
        "{error}"
    );
}

/// Whatever is given to it: code, wasmtime's refusal, or a limit; never a compiler that breaks.
#[test]
fn hostile_components_get_a_typed_answer() {
    let least = CompileLimits {
        memory_bytes: 512 << 20,
        cpu: Duration::from_secs(5),
        ..limits()
    };
    let host = Host::new(BELT, least);
    for (name, bytes) in [
        ("100,000 functions", many_functions(100_000)),
        ("nested", nested(100_000)),
        ("more nested", nested(3_000_000)),
        ("branches", branches(300_000)),
        ("long", long(1_000_000)),
    ] {
        match host.load(name, &bytes).map(drop) {
            Ok(()) | Err(LoadError::Compile(_) | LoadError::CompileLimit(_)) => {}
            Err(error) => panic!("{name}: {}", text::chain(&error)),
        }
    }
    host.load("good", &bytes_of("noop")).unwrap();
}

#[test]
fn answers_that_are_none() {
    let component = bytes_of("noop");
    let large = [&component[..], &vec![0; 1 << 20]].concat();
    for (lines, expected) in [
        ("kill -9 $$", "(signal: 9 (SIGKILL))"),
        ("kill -SEGV $$", "(signal: 11 (SIGSEGV))"),
        ("kill -ABRT $$", "(signal: 6 (SIGABRT))"),
        ("echo '\x1b[31mlast words' >&2; exit 7", "(exit status: 7)"),
        ("echo no luck >&2; exit 101", "(exit status: 101)"),
        ("exit 0", "it does not compile; build it or fetch it again"),
        ("cat >/dev/null; echo code", "it does not compile"),
        ("exec <&- >&- 2>&-; exit 9", "(exit status: 9)"),
    ] {
        let bench = Bench::new(&[]);
        let host = Host::new(script(&bench, lines), limits());
        for bytes in [&component, &large] {
            let error = host.fails(bytes);
            let words = text::chain(&error);
            assert!(words.contains(expected), "{lines}: {words}");
            assert_eq!(
                words.ends_with(r": \u{1b}[31mlast words"),
                lines.contains("last words"),
                "{words}"
            );
        }
    }
}

#[test]
fn where_no_compiler_can_be_started() {
    let host = Host::new("/nowhere/belt", limits());
    let error = host.fails(&bytes_of("noop"));
    assert!(error.is_fault());
    assert_eq!(
        text::chain(&error),
        "no compiler can be started for it; see that /proc is there and that another process may be started: No such file or directory (os error 2)"
    );
}

/// A compiler that says when it starts, and waits at a gate before it goes on.
fn gated(bench: &Bench, goes_on: &str) -> Host {
    let (starts, gate) = (bench.path("starts"), bench.path("gate"));
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (starts, gate) = (starts.display(), gate.display());
    let lines = format!("echo start >> {starts}; read line < {gate}; {goes_on}");
    // A test that fails while one waits there ends all the same.
    let wall = Duration::from_secs(60);
    Host::new(script(bench, &lines), CompileLimits { wall, ..limits() })
}

/// Opens it for the one that waits there, or comes there.
fn open(bench: &Bench) {
    fs::write(bench.path("gate"), "open\n").unwrap();
}

fn starts(bench: &Bench) -> usize {
    let starts = fs::read_to_string(bench.path("starts"));
    starts.map_or(0, |lines| lines.lines().count())
}

#[test]
fn what_two_ask_for_at_once_is_compiled_once() {
    let bench = Bench::new(&[]);
    let host = gated(
        &bench,
        &format!("exec {} \"$@\"", Path::new(BELT).display()),
    );
    let bytes = bytes_of("noop");
    thread::scope(|scope| {
        let load = || host.load("one", &bytes).map(drop).unwrap();
        let all = [(); 4].map(|()| scope.spawn(load));
        host.begins();
        open(&bench);
        for one in all {
            one.join().unwrap();
        }
    });
    assert_eq!(starts(&bench), 1);
    assert!(!host.has_begun_another(), "it is said once");
}

#[test]
fn while_one_is_compiled_those_that_are_loaded_are_at_hand_and_others_wait() {
    let bench = Bench::new(&[]);
    let host = gated(
        &bench,
        &format!("exec {} \"$@\"", Path::new(BELT).display()),
    );
    let [known, first, second] = ["noop", "say", "kind"].map(bytes_of);
    let load = |bytes| host.load("one", bytes).map(drop).unwrap();
    thread::scope(|scope| {
        let known_is_loaded = scope.spawn(|| load(&known));
        open(&bench);
        known_is_loaded.join().unwrap();
        host.begins();

        let one = scope.spawn(|| load(&first));
        host.begins();
        let other = scope.spawn(|| load(&second));
        // For as long as that takes, which is more than a start.
        for _ in 0..1_000 {
            load(&known);
            thread::yield_now();
        }
        assert!(!one.is_finished());
        assert!(!host.has_begun_another(), "two are compiled at once");
        open(&bench);
        one.join().unwrap();
        host.begins();
        open(&bench);
        other.join().unwrap();
    });
    assert_eq!(starts(&bench), 3);
}
