//! `belt up` in a process of its own.

use super::http::{Answer, Connection, get, post};
use super::{KIND, LINE, pause};
use crate::material::{guest, root};
use beltline::clock;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The folder of a server: its state, its file, the compiled code.
pub struct Place(tempfile::TempDir);

/// A server; it is killed when this is dropped.
pub struct Up {
    process: Child,
    pub address: SocketAddr,
    /// From the start of the process until it said that it is up.
    pub took: Duration,
}

impl Place {
    /// On the disk that the checkout is on.
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in(root().join("target")).expect("target is there");
        let driver = |name: &str, limits: &str| {
            drop(guest(name));
            let path = root().join(format!("target/guests/{name}.wasm"));
            format!("  {name}: {{path: {}{limits}}}\n", path.display())
        };
        let config = format!(
            "drivers:\n{}{}",
            driver("noop", ""),
            driver("linger", ", limits: {memory: 4MiB}")
        );
        let written = fs::write(folder.path().join("belt.yaml"), config);
        written.expect("a temporary folder can be written to");
        Place(folder)
    }

    /// One with these native drivers beside.
    pub fn with_natives(names: &[&str]) -> Self {
        let place = Place::new();
        let path = place.path().join("belt.yaml");
        let mut config = fs::read_to_string(&path).expect("it was written");
        for name in names {
            config.push_str(&format!("  {name}: {{placement: native}}\n"));
        }
        fs::write(path, config).expect("a temporary folder can be written to");
        place
    }

    /// One whose state somebody else has made.
    pub fn of(folder: tempfile::TempDir) -> Self {
        let place = Place::new();
        let state = place.path().join("state");
        fs::rename(folder.path().join("state"), state).expect("both are on one disk");
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn up(&self) -> Up {
        self.up_with(&[])
    }

    pub fn up_with(&self, more: &[&str]) -> Up {
        let before = clock::monotonic();
        let mut process = Command::new(root().join("target/debug/belt"))
            .args(["up", "--listen", "127.0.0.1:0", "--state", "state"])
            .args(more)
            .current_dir(self.path())
            .env("XDG_CACHE_HOME", self.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("belt is built");
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let address = line.split_once("http://").map(|(_, rest)| rest);
                if line.starts_with("belt is up")
                    && let Some(address) = address.and_then(|rest| rest.split(';').next())
                {
                    let _ = tell.send((clock::monotonic(), address.to_owned()));
                } else if !line.contains(" INFO ") {
                    eprintln!("{line}");
                }
            }
        });
        let (at, address) = told.recv().expect("it comes up");
        Up {
            process,
            address: address.parse().expect("it is an address"),
            took: at.saturating_sub(before),
        }
    }
}

impl Up {
    pub fn ask(&self, request: &[u8]) -> Answer {
        Connection::new(self.address).ask(request)
    }

    /// The answer to a GET, as JSON.
    pub fn get(&self, path: &str) -> serde_json::Value {
        let answer = self.ask(&get(self.address, path));
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("it is JSON")
    }

    pub fn post(&self, path: &str, body: &str) -> serde_json::Value {
        let answer = self.ask(&post(self.address, path, body));
        assert!((200..300).contains(&answer.status), "{}", answer.body);
        serde_json::from_str(&answer.body).expect("it is JSON")
    }

    /// Applies the kind and a pipeline of these steps.
    pub fn apply(&self, pipeline: &str, steps: &[String]) {
        if self
            .ask(&get(self.address, &format!("/resource-definitions/{KIND}")))
            .status
            == 404
        {
            let schema = r#"{"type":"object","properties":{"replicas":{"type":"integer","minimum":1},"image":{"type":"string"}}}"#;
            self.post(
                "/resource-definitions",
                &format!(r#"{{"name":"{KIND}","schema":{schema}}}"#),
            );
        }
        let steps = steps.join(",");
        let body = format!(r#"{{"name":"{pipeline}","resource":"{KIND}","steps":[{steps}]}}"#);
        self.post("/pipelines", &body);
    }

    /// Applies the pipeline of three steps that do nothing.
    pub fn apply_line(&self) {
        let step = |id| format!(r#"{{"id":"s{id}","driver":"noop"}}"#);
        self.apply(LINE, &[0, 1, 2].map(step));
    }

    /// Waits until it carries no more than so many runs.
    pub fn until_carries(&self, runs: u64) {
        let give_up = clock::monotonic() + Duration::from_secs(120);
        while self.carries() > runs {
            assert!(clock::monotonic() < give_up, "its runs do not end");
            pause(Duration::from_millis(10));
        }
    }

    pub fn carries(&self) -> u64 {
        self.get("/owner")["runs"].as_u64().expect("it is a number")
    }

    /// The memory that it holds, in bytes.
    pub fn resident_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: f64 = kibibytes
            .and_then(|text| text.parse().ok())
            .expect("proc(5)");
        kibibytes * 1024.0
    }

    /// CPU time, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let nanos = threads.expect("it runs").flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        nanos.sum::<f64>() / 1e3
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
