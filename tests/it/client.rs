//! Whichever way a command reaches its runs, it says the same: as the owner of a state folder, to the owner over its
//! socket, or to a server over TCP.

mod mask;

use crate::belt::{Bench, Said, driver};
use crate::live::Live;
use crate::up::Up;
use expect_test::{ExpectFile, expect_file};
use mask::Mask;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How a command reaches its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It owns the folder itself, or the `belt run` beside it does.
    Alone,
    /// Over the socket of a `belt up`.
    Socket,
    /// Over TCP, with `--server`.
    Server,
    /// Over TCP, as the environment says.
    Environment,
}

const SERVED: [Way; 3] = [Way::Socket, Way::Server, Way::Environment];

const ALL: [Way; 4] = [Way::Alone, Way::Socket, Way::Server, Way::Environment];

/// A folder with what people write, and what was said to whom.
struct Side {
    way: Way,
    bench: Bench,
    server: String,
    up: Option<Up>,
    told: String,
}

impl Side {
    fn new(way: Way) -> Side {
        let bench = Bench::new(&["say", "fail", "latch", "wait"]);
        let config = bench.read("belt.yaml");
        let sbom = driver("sbom");
        let sbom = format!(
            "  sbom: {{path: {}, grants: {{workspace: ro, out: rw}}}}\n",
            sbom.display()
        );
        bench.write("belt.yaml", config + &sbom);
        bench.write(
            "definition.json",
            r#"{"name": "app", "schema": {"type": "object"}}"#,
        );
        bench.write("work/Cargo.lock", "version = 4\n");
        let up = (way != Way::Alone).then(|| Up::start(&bench));
        let server = up.as_ref().map(|up| format!("http://{}", up.address));
        Side {
            way,
            bench,
            server: server.unwrap_or_default(),
            up,
            told: String::new(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut all: Vec<_> = line.split(' ').collect();
        match self.way {
            Way::Alone | Way::Socket => all.extend(["--state", "state"]),
            Way::Server => all.extend(["--server", &self.server]),
            Way::Environment => {}
        }
        let mut command = self.bench.command(&all);
        if self.way == Way::Environment {
            command.env("BELT_SERVER", &self.server);
        }
        command
    }

    /// One that is under way when this returns: it has said so.
    fn live(&self, line: &str, says: &str) -> Live {
        let mut live = Live::start(self.command(line));
        live.until(says);
        live
    }

    /// A command to its end, its words and its exit code.
    fn belt(&mut self, line: &str) {
        let said = Live::start(self.command(line)).end();
        self.tell(line, &said);
    }

    /// What is on stdout, and of stderr what is no progress.
    fn tell(&mut self, line: &str, said: &Said) {
        let mask = Mask::of(&self.bench.path(""), &self.server);
        let words = said.stderr.lines();
        let words = words.filter(|line| line.starts_with("error: ") || line.starts_with("note: "));
        let _ = writeln!(self.told, "$ belt {line}");
        for line in said.stdout.lines().chain(words) {
            let _ = writeln!(self.told, "{}", mask.line(line));
        }
        let _ = writeln!(self.told, "= {}\n", said.code);
    }

    /// The pipeline `line`, with these steps.
    fn pipeline(&self, steps: &[&str]) {
        self.bench.pipeline("", steps);
    }
}

/// Does the same on every side, and compares what was told with what is expected.
fn check(ways: &[Way], expected: ExpectFile, script: impl Fn(&mut Side)) {
    let told = ways.iter().map(|way| {
        let mut side = Side::new(*way);
        script(&mut side);
        if let Some(up) = side.up.take() {
            assert_eq!(up.terminate().code, 0);
        }
        side.told
    });
    let told: Vec<_> = told.collect();
    expected.assert_eq(&told[0]);
    for (way, other) in ways.iter().zip(&told) {
        same(*way, other, ways[0], &told[0]);
    }
}

/// Compares line by line, to say of which command a difference is.
fn same(way: Way, told: &str, first: Way, by_first: &str) {
    let mut command = "";
    let mut lines = by_first.lines();
    for line in told.lines() {
        let other = lines.next().unwrap_or_default();
        assert_eq!(line, other, "{way:?} and {first:?}, after `{command}`");
        if line.starts_with("$ ") {
            command = line;
        }
    }
    assert_eq!(
        lines.next(),
        None,
        "{way:?} and {first:?}, after `{command}`"
    );
}

const RUN: &str = "run -f pipeline.yaml -f definition.json -r resource.yaml --workspace work";

#[test]
fn what_has_been_applied() {
    check(&ALL, expect_file!["client/applied.txt"], |side| {
        side.pipeline(&["{driver: say}"]);
        let apply = "apply -f definition.json pipeline.yaml";
        side.belt(apply);
        side.belt(apply);
        side.pipeline(&["{driver: say}", "{driver: fail}"]);
        side.belt(&format!("{apply} -o json"));
        side.belt(&format!("{apply} -o yaml"));
        for (sort, name) in [("definition", "app"), ("pipeline", "line")] {
            side.belt(&format!("get {sort}s"));
            side.belt(&format!("get {sort} {name}"));
            side.belt(&format!("get {sort} {name} -o json"));
            side.belt(&format!("get {sort}s -o yaml"));
            side.belt(&format!("describe {sort} {name}"));
            side.belt(&format!("describe {sort} {name} -o json"));
            side.belt(&format!("describe {sort}s"));
            side.belt(&format!("delete {sort}"));
        }
        for nothing in [
            "get app",
            "get app x",
            "get runs",
            "get pipeline x",
            "describe app x",
            "describe app",
            "describe app -o json",
        ] {
            side.belt(nothing);
        }
        for gone in ["delete pipeline line", "delete definition app"] {
            side.belt(gone);
            side.belt(gone);
        }
        side.belt("get pipelines");
        side.belt("get definitions -o json");
    });
}

/// A folder without a server serves no drivers of its own: there `belt run` alone brings resources.
#[test]
fn what_has_been_applied_to_a_server() {
    check(&SERVED, expect_file!["client/served.txt"], |side| {
        side.pipeline(&["{driver: say}"]);
        let apply = "apply -f definition.json pipeline.yaml resource.yaml";
        for size in [3, 3, 4] {
            let spec = format!("{{size: {size}}}");
            let resource = format!("name: thing\nresource: app\npipeline: line\nspec: {spec}\n");
            side.bench.write("resource.yaml", resource);
            side.belt(apply);
            side.belt("runs wait");
        }
        for format in ["", " -o json", " -o yaml"] {
            side.belt(&format!("get app{format}"));
            side.belt(&format!("get app thing{format}"));
            side.belt(&format!("describe app thing{format}"));
            side.belt(&format!("describe app{format}"));
            side.belt(&format!("get drivers{format}"));
        }
        side.belt("describe driver say");
        side.belt("describe drivers -o json");
        side.belt("delete driver say");
        side.bench
            .write("resource.yaml", "name: other\nresource: app\nspec: 3\n");
        side.belt(apply);
        side.belt("delete app thing");
        side.belt("delete app thing");
        side.belt("runs list");
    });
}

#[test]
fn a_run_that_has_ended() {
    check(&ALL, expect_file!["client/ended.txt"], |side| {
        let fail = "{id: two, driver: fail, with: {kind: permanent, reason: out of milk, before_attempt: 2}}";
        side.pipeline(&["{id: one, driver: say}", fail, "{id: three, driver: sbom}"]);
        // What the stock driver takes.
        for name in ["pipeline.yaml", "resource.yaml", "definition.json"] {
            let text = side.bench.read(name).replace("app", "workspace");
            side.bench
                .write(name, text.replace("{size: 3}", "{path: .}"));
        }
        side.belt(RUN);
        for format in ["", " -o json", " -o yaml"] {
            for look in [
                "list",
                "get",
                "logs",
                "logs --step one",
                "logs -f",
                "watch",
                "wait",
                "wait --timeout 1s",
            ] {
                side.belt(&format!("runs {look}{format}"));
            }
        }
        side.belt("runs cancel");
        side.belt("runs resume");
        side.belt("runs retry --from four");
        side.belt("runs retry");
        side.belt("runs retry --from one");
        side.belt("runs retry --from three -o json");
        side.belt("runs get -o json");
        side.belt("runs rerun");
        side.belt("runs rerun -o yaml");
        for filter in [
            "--status failed",
            "--status x",
            "--pipeline line",
            "--pipeline x",
            "--resource workspace/thing",
            "--limit 1",
        ] {
            side.belt(&format!("runs list {filter}"));
        }
        for named in ["ffff", "latest", "0", "a/b"] {
            side.belt(&format!("runs get {named}"));
        }
        side.belt("runs logs --step four");
        side.belt(&format!("{RUN} -o json --set x=1"));
        side.belt(&format!("{RUN} -o yaml"));
    });
}

#[test]
fn a_run_that_is_under_way() {
    check(&ALL, expect_file!["client/under_way.txt"], |side| {
        side.pipeline(&["{id: s, driver: latch}"]);
        let run = side.live(RUN, "at the latch");
        for look in ["list", "get", "logs", "wait --timeout 1ms", "retry"] {
            side.belt(&format!("runs {look}"));
        }
        let found = side.command("runs get -o json").output().unwrap();
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        let watch = side.live("runs watch", "at the latch");
        let followers = ["runs wait", "runs logs -f"].map(|line| Live::start(side.command(line)));
        let open = Path::new(found["out"].as_str().unwrap()).join("s.open");
        fs::write(open, "").unwrap();
        side.tell(RUN, &run.end());
        side.tell("runs watch", &watch.end());
        let [wait, logs] = followers;
        side.tell("runs wait", &wait.end());
        side.tell("runs logs -f", &logs.end());
    });
}

#[test]
fn a_run_that_is_told_to_stop() {
    check(&ALL, expect_file!["client/stopped.txt"], |side| {
        // One that listens, and one that does not.
        for (driver, says, cancel) in [
            ("wait", "waiting", ""),
            ("latch", "at the latch", " --force"),
        ] {
            side.pipeline(&[&format!("{{id: s, driver: {driver}}}"), "{driver: say}"]);
            let run = side.live(RUN, says);
            side.belt(&format!("runs cancel{cancel}"));
            side.tell(RUN, &run.end());
            let mut run = side.live(RUN, says);
            run.interrupt();
            run.until("stopping: ");
            if !cancel.is_empty() {
                run.interrupt();
                run.until("stopping now");
            }
            side.tell(RUN, &run.end());
            side.belt("runs get");
        }
    });
}
