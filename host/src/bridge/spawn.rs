//! A nats-server of the host's own: a child on loopback with a random password, its data under the state folder.
//!
//! It ends with the host, and one that ends before is started again. One that a killed host has left is taken over; its
//! address and its password stay the same, so that drivers find it again.
//!
//! There is one at most in a folder. It has the folder's lock as its standard input, from its first moment to its last, so
//! that one is known of which does not answer yet, and has said nothing.

mod kept;

use self::kept::{Kept, Server};
use super::{BridgeError, random};
use crate::state::StateFolder;
use crate::{clock, durable};
use rustix::io::Errno;
use rustix::process::Pid;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the server may take to answer: it reads what it has first.
const START_MAX: Duration = Duration::from_secs(30);

/// How long it may take to end, and for one word.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Before the name in the settings.
const NAMED: &str = "server_name: ";

/// The longest greeting of a server.
const GREETING_BYTES_MAX: u64 = 64 << 10;

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// How often another port is tried.
const PORTS_MAX: usize = 5;

/// The longest message: a resource, outputs, and both once more as text in JSON.
const PAYLOAD_MAX: &str = "8MB";

/// A server that is there for as long as this is.
#[derive(Debug)]
pub struct Spawned {
    /// Where, password included.
    pub url: String,
    /// The file that has it.
    pub url_file: PathBuf,
    /// Whether it was there before.
    pub is_adopted: bool,
    _kept: Kept,
}

/// Where and by what password it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    port: u16,
    password: String,
}

impl Address {
    fn url(&self) -> String {
        format!("nats://belt:{}@127.0.0.1:{}", self.password, self.port)
    }

    fn parse(url: &str) -> Option<Address> {
        let (password, port) = url
            .trim()
            .strip_prefix("nats://belt:")?
            .rsplit_once("@127.0.0.1:")?;
        Some(Address {
            port: port.parse().ok()?,
            password: password.to_owned(),
        })
    }
}

/// Starts a server, or takes over the one that is left.
///
/// # Errors
/// Where there is none on PATH, or it does not start.
pub fn spawn(state: &StateFolder) -> Result<Spawned, BridgeError> {
    let folder = state.root().join("nats");
    durable::make_folder(&folder).map_err(io("make", &folder))?;
    let url_file = folder.join("url");
    let known = fs::read_to_string(&url_file).ok();
    let known = known.as_deref().and_then(Address::parse);
    if let Some(server) = left(&folder, known.as_ref())?
        && let Some(address) = &known
    {
        return spawned(address, url_file, true, server, &folder);
    }
    let password = match &known {
        Some(address) => address.password.clone(),
        None => random()?.hex(),
    };
    let mut port = known.map(|address| address.port);
    for _ in 0..PORTS_MAX {
        let address = Address {
            port: match port.take() {
                Some(port) => port,
                None => free_port().map_err(io("listen in", &folder))?,
            },
            password: password.clone(),
        };
        // Whoever comes after a host that is killed now reaches it by this.
        write_secret(&url_file, &address.url())?;
        if let Some(server) = start(&folder, &address, &|| false)? {
            return spawned(&address, url_file, false, server, &folder);
        }
    }
    Err(BridgeError::Settings(format!(
        "nats-server does not start; `{}` says why",
        folder.join("log").display()
    )))
}

fn spawned(
    address: &Address,
    url_file: PathBuf,
    is_adopted: bool,
    server: Server,
    folder: &Path,
) -> Result<Spawned, BridgeError> {
    let again = {
        let (folder, address) = (folder.to_owned(), address.clone());
        move |is_told: &dyn Fn() -> bool| start(&folder, &address, is_told)
    };
    Ok(Spawned {
        url: address.url(),
        url_file,
        is_adopted,
        _kept: Kept::new(server, again).map_err(io("look after", folder))?,
    })
}

/// The folder's lock; `None` while there is a server.
fn lock(folder: &Path) -> Result<Option<File>, BridgeError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io("lock", &path)(error)),
    }
}

/// For a server that is about to be there. The one before has ended, and may be about to let it go.
fn its_lock(folder: &Path, is_told: &dyn Fn() -> bool) -> Result<Option<File>, BridgeError> {
    let give_up = clock::monotonic() + TIME_MAX;
    loop {
        let lock = lock(folder)?;
        if lock.is_some() || is_told() {
            return Ok(lock);
        }
        if clock::monotonic() >= give_up {
            return Err(BridgeError::Settings(format!(
                "there is a nats-server in `{}` already; end it",
                folder.display()
            )));
        }
        clock::pause(PAUSE);
    }
}

fn is_there(folder: &Path) -> Result<bool, BridgeError> {
    Ok(lock(folder)?.is_none())
}

/// The server that a killed host has left, once it answers; `None` where it ends meanwhile, or has to be ended.
fn left(folder: &Path, known: Option<&Address>) -> Result<Option<Server>, BridgeError> {
    let give_up = clock::monotonic() + START_MAX;
    let name = name(folder);
    let mut is_said = false;
    while is_there(folder)? {
        let server = running(folder)?;
        if server.is_some()
            && let Some((address, name)) = known.zip(name.as_ref())
            && address.answers_as(name)
        {
            return Ok(server);
        }
        if clock::monotonic() >= give_up {
            if let Some(server) = server {
                tracing::warn!("the nats-server that was left here does not answer, and is ended");
                server.end();
            }
            break;
        }
        if !is_said {
            tracing::warn!("a nats-server that was left here does not answer yet");
            is_said = true;
        }
        clock::pause(PAUSE);
    }
    Ok(None)
}

/// Starts it there; `None` where it ends at once, as it does where somebody else has the port, and where it is told not to.
fn start(
    folder: &Path,
    address: &Address,
    is_told: &dyn Fn() -> bool,
) -> Result<Option<Server>, BridgeError> {
    let Some(lock) = its_lock(folder, is_told)? else {
        return Ok(None);
    };
    let config = folder.join("server.conf");
    let log = folder.join("log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(io("write", &log))?;
    // Whoever else listens there does not know it.
    let name = random()?.hex();
    write_secret(&config, &settings(folder, address, &name))?;
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(&config).stdin(lock);
    command.stdout(Stdio::null()).stderr(log);
    // A Ctrl-C at the terminal is for the host, which still needs it to end well.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| {
        BridgeError::Settings(format!(
            "`--nats spawn` starts the `nats-server` on PATH, and there is none that starts ({error}); install it (Debian: nats-server), or name a server with --nats URL"
        ))
    })?;
    // What is kept of it here would keep the lock.
    drop(command);
    let give_up = clock::monotonic() + START_MAX;
    while clock::monotonic() < give_up && !is_told() {
        if address.answers_as(&name) {
            let server = Server::started(child).map_err(io("look after", folder))?;
            return Ok(Some(server));
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return Ok(None);
        }
        clock::pause(PAUSE);
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(None)
}

impl Address {
    /// Whether the server of this name listens there: it greets first, with a line that has it.
    fn answers_as(&self, name: &str) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(stream) = TcpStream::connect_timeout(&address, PAUSE) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(TIME_MAX));
        let mut greeting = String::new();
        let read = BufReader::new(stream.take(GREETING_BYTES_MAX)).read_line(&mut greeting);
        read.is_ok() && greeting.starts_with("INFO ") && greeting.contains(name)
    }
}

fn settings(folder: &Path, address: &Address, name: &str) -> String {
    let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
    format!(
        "{NAMED}{name:?}\nlisten: \"127.0.0.1:{}\"\nmax_payload: {PAYLOAD_MAX}\npid_file: {}\njetstream {{ store_dir: {} }}\nauthorization {{ user: belt, password: {:?} }}\n",
        address.port,
        quoted(folder.join("pid")),
        quoted(folder.join("data")),
        address.password,
    )
}

/// The name in the settings.
fn name(folder: &Path) -> Option<String> {
    let settings = fs::read_to_string(folder.join("server.conf")).ok()?;
    let line = settings.lines().find_map(|line| line.strip_prefix(NAMED));
    line.map(|name| name.trim_matches('"').to_owned())
}

/// The server with these settings, where it runs.
fn running(folder: &Path) -> Result<Option<Server>, BridgeError> {
    let text = fs::read_to_string(folder.join("pid")).unwrap_or_default();
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let server = match Server::adopted(pid) {
        Ok(server) => server,
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(error) => return Err(io("look after", folder)(error)),
    };
    // The number may be another's by now.
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let config = folder.join("server.conf");
    let config = config.as_os_str().as_encoded_bytes();
    let is_it = line.split(|byte| *byte == 0).any(|part| part == config);
    Ok(is_it.then_some(server))
}

fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

/// A file that nobody else reads.
fn write_secret(path: &Path, text: &str) -> Result<(), BridgeError> {
    let _ = fs::remove_file(path);
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(io("write", path))
}

fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> BridgeError {
    let doing = format!("cannot {doing} `{}`", path.display());
    move |error| BridgeError::Settings(format!("{doing}: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let address = Address {
            port: 4222,
            password: "abc".to_owned(),
        };
        assert_eq!(Address::parse(&address.url()), Some(address));
        for other in ["", "nats://127.0.0.1:1", "nats://belt:p@10.0.0.1:4222"] {
            assert_eq!(Address::parse(other), None);
        }
    }

    #[test]
    fn whoever_else_listens_there_is_not_taken_for_the_server() {
        for (greeting, is_it) in [
            ("INFO {\"server_name\":\"mine\"}\r\n", true),
            ("INFO {\"server_name\":\"other\"}\r\n", false),
            ("220 mine ESMTP\r\n", false),
            ("", false),
        ] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let greet = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(greeting.as_bytes()).unwrap();
            });
            let password = String::new();
            let address = Address { port, password };
            assert_eq!(address.answers_as("mine"), is_it, "{greeting}");
            greet.join().unwrap();
        }
    }
}
