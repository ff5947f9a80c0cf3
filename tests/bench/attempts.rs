//! An attempt through the host against wasmtime by itself.

use super::bare::Bare;
use super::material::{attempt, driver, folders, guest, host, load, root};
use super::rounds::{Effort, medians, timed};
use super::table::{Goal, Table};
use beltline::wasm::{Ended, Folder, Loaded, OUT, WORKSPACE};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};
use wasmtime_wasi::FsPerms;

/// Attempts that are under way at once.
const IN_FLIGHT: u32 = 64;

fn cores() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(1)
}

/// So many attempts of wasmtime alone, in a loop on each core.
pub fn on_every_core(bare: &Bare, attempts: u32) {
    let cores = cores();
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| (0..attempts / cores).for_each(|_| bare.attempt("{}")));
        }
    });
}

/// A thread for each core, and tasks on them.
pub fn workers() -> Runtime {
    let mut threads = Builder::new_multi_thread();
    let built = threads
        .worker_threads(cores() as usize)
        .enable_all()
        .build();
    built.expect("threads can be had")
}

pub fn runtime() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a runtime needs but an epoll")
}

pub async fn succeed(loaded: &Loaded, with: &str, folders: &Arc<[Folder]>) {
    let ended = loaded.attempt(attempt(with, folders)).await;
    assert!(matches!(ended.expect("no fault"), Ended::Outcome { .. }));
}

pub fn measure(effort: Effort, table: &mut Table) {
    let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
    let (noop, host, none) = (guest("noop"), host(), Arc::from([]));
    let granted = folders(folder.path());
    let preopens = preopens(folder.path());
    let (bare, bare_granted) = (Bare::new(&noop, Vec::new()), Bare::new(&noop, preopens));
    let loaded = load(&host, &noop);
    let (turns, runtime) = (effort.turns(2_000), runtime());
    let through_host = |folders: Arc<[Folder]>| {
        let (runtime, loaded) = (&runtime, &loaded);
        timed(move || {
            runtime.block_on(async {
                for _ in 0..turns {
                    succeed(loaded, "{}", &folders).await;
                }
            });
        })
    };
    let by_itself = |bare| timed(move || (0..turns).for_each(|_| Bare::attempt(bare, "{}")));
    let handed_over = timed(|| hand_over(&loaded, turns));
    let all = medians(
        effort,
        [
            by_itself(&bare),
            through_host(Arc::clone(&none)),
            by_itself(&bare_granted),
            through_host(Arc::clone(&granted)),
            handed_over,
        ],
    );
    let [alone, ours, alone_granted, ours_granted, over] = all.map(|us| us / f64::from(turns));
    let goal = Some(Goal::AtMost(1.5));
    table.figure("attempt, wasmtime alone", alone, "µs");
    table.ratio("attempt", (ours, "µs"), (alone, "wasmtime alone"), goal);
    table.figure(
        "attempt with two folders, wasmtime alone",
        alone_granted,
        "µs",
    );
    table.ratio(
        "attempt with two folders",
        (ours_granted, "µs"),
        (alone_granted, "wasmtime alone"),
        goal,
    );
    table.figure("hand-over to a thread and back", over - ours, "µs");

    let each = effort.turns(20_000);
    let loops = timed(|| on_every_core(&bare, each));
    let workers = workers();
    let in_flight = timed(|| {
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (loaded, none) = (Arc::clone(&loaded), Arc::clone(&none));
                workers.spawn(async move {
                    for _ in 0..each / IN_FLIGHT {
                        succeed(&loaded, "{}", &none).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        workers.block_on(async {
            for task in tasks {
                task.await.expect("no attempt panics");
            }
        });
    });
    let [loops, in_flight] = medians(effort, [loops, in_flight]);
    let rate = |us: f64| f64::from(each) / us * 1e6;
    table.figure(
        "attempts a second, wasmtime alone on every core",
        rate(loops),
        "a second",
    );
    table.ratio(
        "attempts a second, 64 in flight",
        (rate(in_flight), "a second"),
        (rate(loops), "wasmtime alone"),
        Some(Goal::AtLeast(1.0 / 1.5)),
    );
}

/// The same folders as [`folders`] makes.
fn preopens(under: &Path) -> Vec<(PathBuf, &'static str, FsPerms)> {
    vec![
        (under.join("work"), WORKSPACE, FsPerms::ReadOnly),
        (under.join("out"), OUT, FsPerms::ReadWrite),
    ]
}

/// Each attempt on another thread than the one that waits for it.
fn hand_over(loaded: &Arc<Loaded>, turns: u32) {
    let (ask, asked) = std::sync::mpsc::channel::<tokio::sync::oneshot::Sender<()>>();
    let loaded = Arc::clone(loaded);
    let other = thread::spawn(move || {
        let (runtime, none) = (runtime(), Arc::from([]));
        for answer in asked {
            runtime.block_on(succeed(&loaded, "{}", &none));
            answer.send(()).expect("somebody waits");
        }
    });
    runtime().block_on(async {
        for _ in 0..turns {
            let (answer, answered) = tokio::sync::oneshot::channel();
            ask.send(answer).expect("the other thread is there");
            answered.await.expect("it answers");
        }
    });
    drop(ask);
    other.join().expect("it does not panic");
}

/// What guests cost that do more than nothing.
pub fn measure_guests(effort: Effort, table: &mut Table) {
    let (host, runtime, none) = (host(), runtime(), Arc::from([]));
    let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
    let (granted, preopens) = (folders(folder.path()), preopens(folder.path()));
    let lockfile = folder.path().join("work/Cargo.lock");
    std::fs::copy(root().join("Cargo.lock"), lockfile).expect("it is the repository's own");
    let text = json!({"name": "thing", "spec": {"list": [1, 2.5, true, null], "text": "words"}});
    let guests = [
        (driver("sbom"), json!({}), Some(1.15)),
        (
            guest("parse"),
            json!({"text": text, "times": effort.turns(5_000)}),
            None,
        ),
        (
            guest("sieve"),
            json!({"below": effort.turns(5_000_000)}),
            None,
        ),
    ];
    let names = [
        "`sbom` of this repository",
        "parsing JSON",
        "a sieve of primes",
    ];
    for (name, (component, with, most)) in names.into_iter().zip(guests) {
        let bare = Bare::new(&component, preopens.clone());
        let (loaded, with) = (load(&host, &component), with.to_string());
        let [alone, ours] = medians(
            effort,
            [
                timed(|| bare.attempt(&with)),
                timed(|| runtime.block_on(succeed(&loaded, &with, &granted))),
            ],
        );
        table.ratio(
            format!("guest that computes: {name}"),
            (ours / 1e3, "ms"),
            (alone / 1e3, "wasmtime alone, without epochs"),
            most.map(Goal::AtMost),
        );
    }

    let grow = load(&host, &guest("memory"));
    let exhaust = |times: u32| {
        for _ in 0..times {
            let ended = runtime.block_on(grow.attempt(attempt("{}", &none)));
            assert!(matches!(ended.expect("no fault"), Ended::Limit(..)));
        }
        resident_bytes()
    };
    // What the process itself has come to need by now counts for neither.
    exhaust(50);
    let early = exhaust(100);
    let late = exhaust(900);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    table.ratio(
        "resident after 1,000 attempts that exhaust their memory",
        (mib(late), "MiB"),
        (mib(early), "after 100"),
        Some(Goal::AtMost(1.1)),
    );
}

/// Of this process.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}
