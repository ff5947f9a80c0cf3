//! Compiling in a child process: what the child is, and what becomes of it, its host and the driver when it is
//! hostile, killed, orphaned or broken.

use crate::belt::{Bench, guest};
use crate::compile_made::{in_minutes, many_functions, with_all_memory};
use crate::driver_files;
use crate::live::Live;
use expect_test::expect;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::thread;

/// For what the kernel does at once, and much less than the compiler would go on for.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// The compiler of a `belt` that is under way, stopped, so that it stays under way.
struct Compiler {
    pid: Pid,
    process: OwnedFd,
}

impl Compiler {
    #[track_caller]
    fn stopped(live: &Live) -> Self {
        let pid = loop {
            match child_of(live.pid()) {
                Some(pid) => break Pid::from_raw(pid).unwrap(),
                None => thread::yield_now(),
            }
            let host = fs::read_to_string(format!("/proc/{}/status", live.pid())).unwrap();
            assert!(!host.contains("State:\tZ"), "it has no compiler");
        };
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let compiler = Compiler { pid, process };
        // Before it has more than one it does not compile, and may not have set its limits.
        while compiler.read("status").contains("Threads:\t1\n") {
            thread::yield_now();
        }
        compiler.signal(Signal::STOP);
        compiler
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    fn read(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid.as_raw_pid());
        String::from_utf8(fs::read(path).unwrap()).unwrap()
    }

    #[track_caller]
    fn ends(&self) {
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        assert_eq!(poll(&mut ended, Some(&PATIENCE)).unwrap(), 1, "it goes on");
    }
}

/// The child of a process that was called to compile.
fn child_of(parent: u32) -> Option<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|found| found.file_name().to_str()?.parse().ok());
    pids.find(|pid: &i32| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let status = read("status").unwrap_or_default();
        let is_child = status.contains(&format!("PPid:\t{parent}\n"));
        is_child && read("cmdline").is_ok_and(|line| line.contains("compile-driver"))
    })
}

/// A field of `/proc/PID/stat`, counted from 1 as the manual does; those from the third on, behind the name.
fn field(stat: &str, number: usize) -> &str {
    let behind_the_name = stat.rsplit(") ").next().unwrap();
    behind_the_name.split(' ').nth(number - 3).unwrap()
}

/// Links of the open files of a process, by number.
fn open_files(process: &str) -> Vec<(u32, String)> {
    let files = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .flatten();
    let mut files: Vec<_> = files
        .filter_map(|file| {
            let number = file.file_name().to_str()?.parse().ok()?;
            let to = fs::read_link(file.path()).ok()?;
            Some((number, to.display().to_string()))
        })
        .collect();
    files.sort();
    files
}

/// A `belt run` of a driver that takes minutes to compile, with a cache of its own.
fn compiling() -> (Bench, Live) {
    let bench = driver_files::bench(&in_minutes());
    let live = run(&bench, Path::new(env!("CARGO_BIN_EXE_belt")));
    (bench, live)
}

fn run(bench: &Bench, belt: &Path) -> Live {
    let mut command = Command::new(belt);
    command
        .args([
            "run",
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--state",
            "state",
        ])
        .current_dir(bench.path(""))
        .env("XDG_CACHE_HOME", bench.path("cache"));
    Live::start(command)
}

#[test]
fn it_is_a_process_that_has_nothing_of_its_hosts() {
    let (_bench, live) = compiling();
    let compiler = Compiler::stopped(&live);
    let pid = compiler.pid.as_raw_pid().to_string();
    let our_files = open_files("self");
    let files = open_files(&pid);
    let (pipes, more) = files.split_at(3);
    for (number, to) in pipes {
        assert!(*number < 3 && to.starts_with("pipe:"), "{files:?}");
    }
    // What this very process was started with, all its children have.
    let more: Vec<_> = more
        .iter()
        .filter(|file| !our_files.contains(file))
        .collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        Path::new("/")
    );
    let environment = compiler.read("environ");
    let mut names: Vec<_> = environment
        .split_terminator('\0')
        .filter_map(|variable| variable.split('=').next())
        .collect();
    names.sort();
    assert_eq!(names, ["MIMALLOC_ARENA_RESERVE", "RAYON_NUM_THREADS"]);
    let exe = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(exe(&pid), exe(&live.pid().to_string()));
    let limits = compiler.read("limits");
    for limit in [
        "Max cpu time              120                  121 ",
        "Max data size             2147483648           2147483648 ",
        "Max core file size        0                    0 ",
    ] {
        assert!(limits.contains(limit), "no `{limit}` in\n{limits}");
    }
    let host = fs::read_to_string(format!("/proc/{}/stat", live.pid())).unwrap();
    let [theirs, ours] = [compiler.read("stat"), host].map(|stat| {
        let nice: i32 = field(&stat, 19).parse().unwrap();
        nice
    });
    assert_eq!(theirs, (ours + 5).min(19));
    assert_eq!(compiler.read("oom_score_adj").trim(), "1000");
    compiler.signal(Signal::KILL);
    drop(live);
}

#[test]
fn a_compiler_that_is_killed_is_named_and_the_host_goes_on() {
    let (bench, live) = compiling();
    Compiler::stopped(&live).signal(Signal::KILL);
    let said = live.end();
    expect![[r#"
        compiling bad
        error: driver `bad` cannot be loaded: its compiler ended without an answer (signal: 9 (SIGKILL)); load it again, and report it if that ends the same way
    "#]]
    .assert_eq(&driver_files::said(&bench, &said));
    assert_eq!(said.code, 4);
    assert!(!bench.path("state").exists());
}

#[test]
fn who_kills_the_host_kills_its_compiler() {
    let (_bench, live) = compiling();
    let compiler = Compiler::stopped(&live);
    // One that is stopped the kernel would end by itself.
    compiler.signal(Signal::CONT);
    assert_eq!(live.kill().code, -9);
    compiler.ends();
}

/// It is no member of the terminal's process group: Ctrl-C ends the host, and the host's end the compiler.
#[test]
fn a_ctrl_c_is_for_the_host() {
    let (_bench, live) = compiling();
    let compiler = Compiler::stopped(&live);
    let pid = compiler.pid.as_raw_pid();
    let stat = compiler.read("stat");
    assert_eq!(field(&stat, 5), pid.to_string());
    compiler.signal(Signal::CONT);
    live.interrupt();
    assert_eq!(live.end().code, -2);
    compiler.ends();
}

#[test]
fn whose_host_is_gone_before_it_begins_does_not_begin() {
    let bench = Bench::new(&[]);
    // Some process, and not the one that starts it.
    let said = bench.belt(&["compile-driver", "pooling", "1", "2147483648", "120"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (1, "the host that asked for this is gone\n")
    );
}

#[test]
fn a_host_whose_executable_is_replaced_compiles_with_its_own() {
    let bench = Bench::new(&[]);
    bench.write("first.wasm", many_functions(20_000));
    let echo = guest("echo");
    let config = format!(
        "drivers: {{first: {{path: first.wasm}}, second: {{path: {}}}}}\n",
        echo.display()
    );
    bench.write("belt.yaml", config);
    bench.pipeline("", &["{driver: first}", "{driver: second}"]);
    // Not by this process: while another thread starts a child, the file would be open for writing in it.
    let belt = bench.path("belt");
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_belt"))
        .arg(&belt)
        .status();
    assert!(copied.unwrap().success());
    let live = run(&bench, &belt);
    let compiler = Compiler::stopped(&live);
    fs::remove_file(&belt).unwrap();
    bench.write("belt", "something else");
    compiler.signal(Signal::CONT);
    let said = live.end();
    // The first is no driver that does anything: the second is compiled before that is seen.
    assert!(
        said.stderr.contains("compiling second\n"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("cannot be loaded"), "{}", said.stderr);
}

#[test]
fn a_driver_that_takes_all_memory_to_compile_is_refused_by_name() {
    let bench = driver_files::bench(&with_all_memory());
    let said = bench.run(&[]);
    expect![[r#"
        compiling bad
        error: driver `bad` cannot be loaded: compiling it takes more than its memory limit of 2 GiB; build it with less code in it, or as several drivers
    "#]]
    .assert_eq(&driver_files::said(&bench, &said));
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(!bench.path("state").exists());
}

#[test]
fn it_is_no_command_of_peoples() {
    let bench = Bench::new(&[]);
    let said = bench.belt(&["compile-driver"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: `compile-driver` is for belt itself\n")
    );
    for args in [
        &["--help"][..],
        &["help"],
        &["compile"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
    ] {
        let said = bench.belt(args);
        let all = said.stdout + &said.stderr;
        assert!(!all.contains("compile-driver"), "{args:?}: {all}");
    }
}
