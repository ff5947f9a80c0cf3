//! A nats-server of the test's own: a free port, its data in a folder of its own, gone when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything that is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    folder: TempDir,
    pub url: String,
}

impl Server {
    pub fn start() -> Server {
        Server::with_config("")
    }

    /// A server with more settings than the usual.
    pub fn with_config(config: &str) -> Server {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("nats.conf"), config).unwrap();
        let (child, url) = launch(folder.path(), "-1");
        Server { child, folder, url }
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same again, where it was, with what it had.
    pub fn restart(&mut self) {
        let port = self.url.rsplit_once(':').unwrap().1.to_owned();
        let (child, url) = launch(self.folder.path(), &port);
        assert_eq!(url, self.url);
        self.child = child;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(folder: &Path, port: &str) -> (Child, String) {
    let child = Command::new(binary())
        .args(["-js", "-a", "127.0.0.1", "-p", port, "-c"])
        .arg(folder.join("nats.conf"))
        .arg("-sd")
        .arg(folder.join("data"))
        .arg("--ports_file_dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = folder.join(format!("nats-server_{}.ports", child.id()));
    let url = wait_for("the server's ports", || {
        let ports: Value = serde_json::from_slice(&fs::read(&ports).ok()?).ok()?;
        Some(ports["nats"][0].as_str()?.to_owned())
    });
    (child, url)
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/nats/current/nats-server");
    assert!(
        installed.is_file(),
        "there is no nats-server to test with: run tests/nats/install, or name one in NATS_SERVER"
    );
    installed
}

/// Looks again and again until there is something to see.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(now() < until, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
pub fn now() -> Instant {
    Instant::now()
}
