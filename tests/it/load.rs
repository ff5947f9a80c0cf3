//! Clients that load a host until it is gone, and what has to be there after.

use crate::http::Connection;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const CLIENTS: usize = 8;
/// Acknowledged submits after which the host is ended, while more are under way.
const SUBMITS: usize = 200;

/// A request, and what it was answered with.
#[derive(Debug, Clone)]
pub struct Submit {
    path: &'static str,
    key: String,
    body: String,
    /// None where the host was gone before it answered.
    pub answer: Option<Value>,
}

impl Submit {
    /// Of a resource that others submit as well, or of one of its own that is made with it.
    fn new(client: usize, round: u32, nth: usize) -> Self {
        let resource = |name: String| json!({"name": name, "resource": "app", "pipeline": "line", "spec": {"size": nth}});
        let (path, body) = match nth % 3 {
            0 => (
                "/resources",
                resource(format!("own-{round}-{client}-{nth}")),
            ),
            _ => (
                "/runs",
                json!({"resource": resource(format!("thing-{}", nth % 20))}),
            ),
        };
        Submit {
            path,
            key: format!("{round}-{client}-{nth}"),
            body: body.to_string(),
            answer: None,
        }
    }

    /// Sends it; `None` where the host is gone, or about to go.
    fn send(&self, connection: &mut Connection) -> Option<Value> {
        let Submit {
            path, key, body, ..
        } = self;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write(head.as_bytes()).ok()?;
        let answer = connection.answer().ok()?;
        // While it drains it says that it does.
        (answer.status != 503).then(|| answer.is(201))
    }
}

/// Submits until the host is gone, and tells of each.
fn submit(mut connection: Connection, client: usize, round: u32, tell: &Sender<Submit>) {
    for nth in 0.. {
        let mut submit = Submit::new(client, round, nth);
        submit.answer = submit.send(&mut connection);
        let is_gone = submit.answer.is_none();
        if tell.send(submit).is_err() || is_gone {
            return;
        }
    }
}

/// Loads a host, has it ended after so many submits, and returns all of them.
pub fn loaded(up: Up, round: u32, end: impl FnOnce(Up)) -> Vec<Submit> {
    let (tell, told) = channel();
    let up = Mutex::new(Some(up));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let connection = up.lock().unwrap().as_ref().unwrap().connect_locally();
            let tell = tell.clone();
            scope.spawn(move || submit(connection, client, round, &tell));
        }
        drop(tell);
        let mut submits: Vec<_> = (0..SUBMITS).map(|_| told.recv().unwrap()).collect();
        end(up.lock().unwrap().take().unwrap());
        submits.extend(told.iter());
        submits
    })
}

/// The runs of these submits. Each is sent again: one that was answered has the same answer, one that was under way
/// when the host ended has one now, and the same one after.
pub fn replayed(up: &Up, submits: &[Submit]) -> BTreeSet<String> {
    let mut connection = up.connect_locally();
    let mut runs = BTreeSet::new();
    for submit in submits {
        let again = submit.send(&mut connection).unwrap();
        let before = submit.answer.clone();
        let before = before.unwrap_or_else(|| submit.send(&mut connection).unwrap());
        assert_eq!(before, again, "{submit:?}");
        assert!(runs.insert(id(&again)), "{submit:?} has the run of another");
    }
    runs
}

/// All of them are there and have ended right, also by what their steps came to.
pub fn ended_right(up: &Up, submitted: &BTreeSet<String>, check: impl Fn(&[Value])) {
    up.until("/owner", |owner| owner["runs"] == 0);
    let mut connection = up.connect();
    for run in submitted {
        let run = connection
            .ask("GET", &format!("/runs/{run}"), &[], b"")
            .is(200);
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let steps = run["steps"].as_array().unwrap();
        check(steps);
        assert!(
            steps
                .iter()
                .all(|step| step["attempts"].as_array().unwrap().len() <= 2),
            "{run:#}"
        );
    }
}
