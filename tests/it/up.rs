//! `belt up` that is under way, and what a test asks of it.

use crate::belt::{Bench, Said};
use crate::http::{Answer, Connection, Frames};
use crate::live::Live;
use beltline::clock;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// How long a busy machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Up {
    live: Mutex<Live>,
    pub address: SocketAddr,
    socket: PathBuf,
}

impl Up {
    /// In the bench's folder, with the state folder `state`.
    pub fn start(bench: &Bench) -> Up {
        Up::with(bench, &[])
    }

    pub fn with(bench: &Bench, more: &[&str]) -> Up {
        Up::of(bench, Live::start(bench.command(&up(more))))
    }

    /// One that has been started, and may have to wait.
    pub fn of(bench: &Bench, mut live: Live) -> Up {
        let line = live.until("belt is up at http://");
        let address = line.split("http://").nth(1).unwrap();
        let address = address.split(';').next().unwrap().parse().unwrap();
        Up {
            live: Mutex::new(live),
            address,
            socket: bench.path("state/belt.sock"),
        }
    }

    /// Defines the kind `app`, and applies a pipeline of it with these steps.
    pub fn line(&self, name: &str, steps: Value) {
        let definition = json!({"name": "app", "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}});
        self.post("/resource-definitions/apply", &definition)
            .is(201);
        let pipeline = json!({"name": name, "resource": "app", "steps": steps});
        self.post("/pipelines", &pipeline).is(201);
    }

    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection::new(stream, self.address.to_string())
    }

    /// Over the state folder's own socket: as the same user on the same machine.
    pub fn connect_locally(&self) -> Connection {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection::new(stream, "belt".to_owned())
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.connect().ask(method, path, headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], body.to_string().as_bytes())
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask("PUT", path, &[], body.to_string().as_bytes())
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], b"")
    }

    /// Begins a run of the resource of this name in the pipeline `line`; its id.
    #[track_caller]
    pub fn begin(&self, name: &str) -> String {
        id(&self.post("/runs", &order(name)).is(201))
    }

    /// A run, once it has ended well.
    #[track_caller]
    pub fn succeeded(&self, id: &str) -> Value {
        let run = self.ended(id);
        assert_eq!(run["status"], "succeeded", "{run:#}");
        run
    }

    /// A run when it has ended.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Value {
        let run = self.get(&format!("/runs/{id}?wait=120s")).is(200);
        assert!(run.get("ended_at").is_some(), "{run:#}");
        run
    }

    /// Asks again and again until the answer is as it should be.
    #[track_caller]
    pub fn until(&self, path: &str, mut is_right: impl FnMut(&Value) -> bool) -> Value {
        let mut connection = self.connect();
        let give_up = clock::now_ms() + clock::millis(PATIENCE);
        loop {
            let found = connection.ask("GET", path, &[], b"");
            let value = serde_json::from_slice(&found.body).unwrap_or_default();
            if is_right(&value) {
                return value;
            }
            assert!(clock::now_ms() < give_up, "{path} stays at {value:#}");
        }
    }

    /// A driver when new runs can take it.
    #[track_caller]
    pub fn ready(&self, name: &str) -> Value {
        self.until(&format!("/drivers/{name}"), |driver| {
            driver["status"] == "ready"
        })
    }

    /// Waits until nothing is under way: a run that waits has been left.
    #[track_caller]
    pub fn rests(&self) {
        let give_up = clock::now_ms() + clock::millis(PATIENCE);
        while !self
            .get("/metrics")
            .text()
            .contains("beltline_runs_under_way 0\n")
        {
            assert!(clock::now_ms() < give_up, "it does not rest");
            std::thread::yield_now();
        }
    }

    pub fn frames(&self, path: &str, headers: &[(&str, &str)]) -> Frames {
        let mut connection = self.connect();
        let accept = [&[("accept", "text/event-stream")], headers].concat();
        connection.send("GET", path, &accept, b"");
        let (status, head) = connection.head().unwrap();
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        Frames::new(connection)
    }

    /// Waits for a line of its log that has this in it.
    #[track_caller]
    pub fn says(&self, part: &str) -> String {
        self.live.lock().unwrap().until(part)
    }

    /// The same, also where that was before it was up.
    #[track_caller]
    pub fn has_said(&self, part: &str) -> String {
        self.live.lock().unwrap().has_said(part)
    }

    pub fn pid(&self) -> u32 {
        self.live.lock().unwrap().pid()
    }

    /// SIGTERM; what it said by its end.
    pub fn terminate(self) -> Said {
        let live = self.live.into_inner().unwrap();
        live.terminate();
        live.end()
    }

    pub fn kill(self) -> Said {
        self.live.into_inner().unwrap().kill()
    }

    /// `kill -9`, and another one on the same state.
    pub fn killed_and_started(self, bench: &Bench) -> Up {
        self.killed_and_started_with(bench, &[])
    }

    /// The same at the same address, for clients that wait for it.
    pub fn started_there(bench: &Bench, address: SocketAddr) -> Up {
        let address = address.to_string();
        let args = ["up", "--listen", &address, "--state", "state"];
        Up::of(bench, Live::start(bench.command(&args)))
    }

    /// As clients name it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same, with more arguments.
    pub fn killed_and_started_with(self, bench: &Bench, more: &[&str]) -> Up {
        self.kill();
        Up::with(bench, more)
    }
}

/// The arguments of `belt up`.
pub fn up<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["up", "--listen", "127.0.0.1:0", "--state", "state"], more].concat()
}

/// The id of a run in an answer.
pub fn id(run: &Value) -> String {
    let id = run.get("run").or(run.get("runid"));
    id.and_then(Value::as_str).unwrap().to_owned()
}

/// A run of the resource of this name in the pipeline `line`, as POST /runs takes it.
pub fn order(name: &str) -> Value {
    json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}})
}
