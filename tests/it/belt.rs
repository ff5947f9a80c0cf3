//! A folder of its own for each test, and the real `belt` in it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The file of a guest. `make test` builds them.
pub fn guest(name: &str) -> PathBuf {
    built(
        root().join("target/guests").join(format!("{name}.wasm")),
        "make guests",
    )
}

/// The file of a stock driver.
pub fn driver(name: &str) -> PathBuf {
    built(
        root().join("drivers/out").join(format!("{name}.wasm")),
        "make drivers",
    )
}

fn built(path: PathBuf, how: &str) -> PathBuf {
    assert!(
        path.is_file(),
        "{} is not there; build it with `{how}`",
        path.display()
    );
    path
}

/// A folder with what a run needs: `pipeline.yaml`, `resource.yaml`, `belt.yaml`, and a state folder `state`.
pub struct Bench {
    folder: TempDir,
}

/// What `belt` said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    /// A resource, and a configuration that has these guests as drivers, each granted everything it wants.
    pub fn new(guests: &[&str]) -> Self {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
        };
        bench.write(
            "resource.yaml",
            "name: thing\nresource: app\nspec: {size: 3}\n",
        );
        let mut config = "drivers:\n".to_owned();
        for name in guests {
            let path = guest(name);
            config.push_str(&format!(
                "  {name}: {{path: {}, grants: {{workspace: rw, out: rw}}}}\n",
                path.display()
            ));
        }
        if guests.is_empty() {
            config = "drivers: {}\n".to_owned();
        }
        bench.write("belt.yaml", &config);
        bench
    }

    /// The same, with a pipeline of these steps, as YAML list items or flow mappings.
    pub fn with_steps(guests: &[&str], steps: &[&str]) -> Self {
        let bench = Bench::new(guests);
        bench.pipeline("", steps);
        bench
    }

    /// Writes the pipeline: more of its keys, and its steps.
    pub fn pipeline(&self, keys: &str, steps: &[&str]) {
        let mut text = format!("name: line\nresource: app\n{keys}\nsteps:\n");
        if steps.is_empty() {
            text = text.replace("steps:\n", "steps: []\n");
        }
        for step in steps {
            text.push_str(&format!("  - {step}\n"));
        }
        self.write("pipeline.yaml", &text);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file is there as a whole or not at all: a host may read it at any moment.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let (path, aside) = (self.path(name), self.path("aside"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&aside, text).unwrap();
        fs::rename(aside, &path).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A command that is about to run in the folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belt"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        for name in ["NO_COLOR", "BELT_SERVER", "BELT_TOKEN_FILE"] {
            command.env_remove(name);
        }
        // What one test compiles the others load, and nobody's own cache is touched.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command
    }

    /// Runs `belt` to its end.
    pub fn belt(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `belt run` of the folder's files, with the folder `work` as workspace.
    pub fn run(&self, more: &[&str]) -> Said {
        fs::create_dir_all(self.path("work")).unwrap();
        self.run_on("work", more)
    }

    /// The same with another workspace.
    pub fn run_on(&self, workspace: &str, more: &[&str]) -> Said {
        let files = ["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
        let folders = ["--state", "state", "--workspace", workspace];
        self.belt(&[&files[..], &folders, more].concat())
    }

    /// The run, as `belt runs get` has it.
    pub fn latest(&self) -> Value {
        let said = self.belt(&["runs", "get", "--state", "state", "-o", "json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        serde_json::from_str(&said.stdout).unwrap()
    }

    /// Everything in the folder's state, by path and content: to see that nothing has changed. But for the lock, which
    /// tells people who had the state last.
    pub fn state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.path("state"), &mut found);
        found.sort();
        found
    }
}

impl Said {
    /// Of a run that was printed as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "no JSON on stdout: {error}\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            let bytes = fs::read(&path).unwrap_or_default();
            found.push((path, bytes));
        }
    }
}
