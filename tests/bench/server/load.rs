//! The second process: asks the server for so much, by so many at once, and says how long each answer took.

use super::http::{Connection, get, post};
use super::{KIND, pause, watched};
use beltline::clock;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What is asked for.
#[derive(Serialize, Deserialize)]
pub struct Load {
    pub address: SocketAddr,
    pub clients: usize,
    /// By all of them together.
    pub requests: usize,
    /// One at each time of a clock, whether those before are answered or not; else each client sends the next one
    /// when the one before is answered.
    pub per_second: Option<f64>,
    pub what: What,
}

#[derive(Clone, Serialize, Deserialize)]
pub enum What {
    /// New runs of that pipeline, each of a resource of its own whose name begins so; with a query.
    Submit {
        pipeline: String,
        names: String,
        query: String,
    },
    /// This path.
    Get(String),
    /// These paths in turn.
    Any(Vec<String>),
    /// The events of a run, by as many as there are clients.
    Watch(String),
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub struct Done {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Of each answer.
    pub micros: Vec<f64>,
    /// CPU time of this process a request, in microseconds.
    pub cpu_micros: f64,
}

impl Load {
    /// Done by a process of its own.
    pub fn apart(&self) -> Done {
        let load = serde_json::to_string(self).expect("it has string keys");
        let mut command = Command::new(std::env::current_exe().expect("it runs"));
        let said = command
            .args(["load", &load])
            .stderr(Stdio::inherit())
            .output()
            .expect("it can be started again");
        assert!(said.status.success(), "the load fails");
        serde_json::from_slice(&said.stdout).expect("it says what came of it")
    }
}

/// The second process's own main.
pub fn run(load: &str) {
    let load: Load = serde_json::from_str(load).expect("the first process says what to do");
    let (before, cpu) = (clock::monotonic(), process_cpu());
    let micros = match &load.what {
        What::Watch(path) => watched::watch(load.address, path, load.clients),
        What::Submit { .. } | What::Get(_) | What::Any(_) => ask(&load),
    };
    let seconds = clock::monotonic().saturating_sub(before).as_secs_f64();
    let cpu = process_cpu().saturating_sub(cpu);
    let done = Done {
        seconds,
        cpu_micros: cpu.as_secs_f64() * 1e6 / micros.len() as f64,
        micros,
    };
    println!(
        "{}",
        serde_json::to_string(&done).expect("they are numbers")
    );
}

fn ask(load: &Load) -> Vec<f64> {
    let next = AtomicUsize::new(0);
    let began = clock::monotonic();
    let client = || {
        let mut connection = Connection::new(load.address);
        let mut micros = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= load.requests {
                return micros;
            }
            let request = request(load.address, &load.what, nth);
            let mut before = clock::monotonic();
            if let Some(per_second) = load.per_second {
                let due = began + Duration::from_secs_f64(nth as f64 / per_second);
                // Who comes late from the answer before has the time count from when it was due; how late the system
                // wakes who sleeps is not the server's.
                let sleep = due.saturating_sub(before);
                pause(sleep);
                before = if sleep.is_zero() {
                    due
                } else {
                    clock::monotonic()
                };
            }
            let answer = connection.ask(&request);
            let is_right = match load.what {
                What::Submit { ref query, .. } if query.contains("wait") => {
                    answer.status == 201 && answer.body.contains(r#""status":"succeeded""#)
                }
                What::Submit { .. } => answer.status == 201,
                What::Get(_) | What::Any(_) | What::Watch(_) => answer.status == 200,
            };
            assert!(is_right, "{}: {}", answer.status, answer.body);
            micros.push(clock::monotonic().saturating_sub(before).as_secs_f64() * 1e6);
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients).map(|_| scope.spawn(client)).collect();
        let done = clients.into_iter();
        done.flat_map(|client| client.join().expect("every answer is right"))
            .collect()
    })
}

fn request(address: SocketAddr, what: &What, nth: usize) -> Vec<u8> {
    match what {
        What::Submit {
            pipeline,
            names,
            query,
        } => {
            let body = format!(
                r#"{{"pipeline":"{pipeline}","resource":{{"name":"{names}-{nth}","resource":"{KIND}","spec":{{"replicas":3,"image":"example.test/app:1"}}}}}}"#
            );
            post(address, &format!("/runs{query}"), &body)
        }
        What::Get(path) | What::Watch(path) => get(address, path),
        What::Any(paths) => {
            let path = paths.get(nth % paths.len()).expect("there is one at least");
            get(address, path)
        }
    }
}

fn process_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}
