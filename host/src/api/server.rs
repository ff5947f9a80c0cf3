//! Listeners: connections taken within bounds, each request guarded and timed, and all of them ended in good time.

#[cfg(test)]
mod tests;

use super::guard::{Guard, Via};
use super::without_trailing_slash;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

/// Connections at once over the network; further ones wait to be taken.
pub const CONNECTIONS_MAX: usize = 20_000;

/// Connections at once over the socket, which have places of their own.
const LOCALS_MAX: usize = 2_000;

/// Connections that wait to be taken. Where there are more, TCP has the client ask again after a second.
const BACKLOG: u32 = 4_096;

/// How long the head of a request may take, from the end of the one before.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long a client may not read what it is sent.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);

/// After a connection could not be taken: no files are left, or no memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The socket's name in a state folder.
pub const SOCKET: &str = "belt.sock";

/// Where requests come in.
pub enum Listening {
    /// From anybody, past a guard.
    Tcp(TcpListener, Guard),
    /// From the same user, on the same machine.
    Socket(UnixListener),
}

/// How long clients may take.
#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    write: Duration,
}

/// Takes connections until it is told to end.
#[derive(Clone)]
pub struct Server {
    service: Router,
    times: Times,
    /// Of those from the network.
    places: Places,
    /// Of those over the socket.
    locals: Places,
    ends: watch::Receiver<bool>,
}

impl Server {
    /// Of a service; ends when `ends` becomes true.
    pub fn new(service: Router, ends: watch::Receiver<bool>) -> Self {
        Server {
            service,
            times: Times {
                head: HEAD_TIME_MAX,
                write: WRITE_TIME_MAX,
            },
            places: Places::new(CONNECTIONS_MAX, 3, 4),
            locals: Places::new(LOCALS_MAX, 1, 8),
            ends,
        }
    }

    /// Waits until every connection has ended.
    pub async fn until_quiet(&self) {
        self.places.until_free().await;
        self.locals.until_free().await;
    }

    /// Serves a listener until the end; then no connection is taken any more, and those there are end with their request.
    pub async fn serve(&self, listening: Listening) {
        let mut ends = self.ends.clone();
        loop {
            let places = match listening {
                Listening::Tcp(..) => &self.places,
                Listening::Socket(_) => &self.locals,
            };
            let Ok(place) = Arc::clone(&places.free).acquire_owned().await else {
                return;
            };
            let taken = tokio::select! {
                _ = ends.wait_for(|ends| *ends) => return,
                taken = listening.accept() => taken,
            };
            let (service, ends) = (self.service.clone(), self.ends.clone());
            let times = self.times;
            match taken {
                Ok(Taken::Tcp(stream, guard)) => {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(async move {
                        serve(stream, service, Some(guard), times, ends).await;
                        drop(place);
                    });
                }
                Ok(Taken::Socket(stream)) => {
                    tokio::spawn(async move {
                        serve(stream, service, None, times, ends).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Places for connections.
#[derive(Clone)]
struct Places {
    free: Arc<Semaphore>,
    count: usize,
}

impl Places {
    /// So many, but no more than this share of the files that the process may have open: runs need theirs.
    fn new(most: usize, parts: u64, of: u64) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        let files = files.map_or(u64::MAX, |files| files / of * parts);
        let count = usize::try_from(files).map_or(most, |files| files.min(most));
        Places {
            free: Arc::new(Semaphore::new(count)),
            count,
        }
    }

    async fn until_free(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        // It fails only where the semaphore is closed, which it never is.
        let _ = self.free.acquire_many(all).await;
    }
}

enum Taken {
    Tcp(tokio::net::TcpStream, Guard),
    Socket(UnixStream),
}

impl Listening {
    async fn accept(&self) -> io::Result<Taken> {
        match self {
            Listening::Tcp(listener, guard) => {
                let (stream, _) = listener.accept().await?;
                Ok(Taken::Tcp(stream, guard.clone()))
            }
            Listening::Socket(listener) => Ok(Taken::Socket(listener.accept().await?.0)),
        }
    }

    /// Listens on an address, with what it asks of requests.
    ///
    /// # Errors
    /// The system's.
    pub async fn tcp(
        address: SocketAddr,
        token: Option<Arc<str>>,
    ) -> io::Result<(Self, SocketAddr)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // What a host that has just ended leaves of its connections keeps nobody from its address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((
            Listening::Tcp(listener, Guard::new(address, token)),
            address,
        ))
    }

    /// Listens on the socket of a state folder, in the place of one that a dead owner has left. For whoever has the
    /// folder's store open to write.
    ///
    /// # Errors
    /// The system's.
    pub fn socket(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (held, short) = short_path(folder)?;
        // Nobody can connect before its mode is right: the folder's own name for it is set last.
        let new = short.join(format!("{SOCKET}.new"));
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, short.join(SOCKET))?;
        drop(held);
        Ok(Listening::Socket(listener))
    }
}

/// Connects to the owner of a state folder.
///
/// # Errors
/// The system's: `NotFound` and `ConnectionRefused` where there is none.
pub async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let (_held, short) = short_path(folder)?;
    UnixStream::connect(short.join(SOCKET)).await
}

/// A path to a folder that is short enough for the address of a socket, which has 108 bytes, for as long as the other is
/// held.
fn short_path(folder: &Path) -> io::Result<(rustix::fd::OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(folder, flags, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    Ok((held, path))
}

async fn serve<S>(
    stream: S,
    service: Router,
    guard: Option<Guard>,
    times: Times,
    mut ends: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(times.write));
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let request = request.map(Body::new);
        answer(service.clone(), guard.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    let mut connection = std::pin::pin!(connection);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // How a connection fails is its client's.
            _ = connection.as_mut() => return,
            _ = ends.wait_for(|ends| *ends), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Guards a request and has it answered.
pub(super) async fn answer(
    service: Router,
    guard: Option<Guard>,
    mut request: Request,
) -> Result<Response, Infallible> {
    let via = match &guard {
        Some(_) => Via::Network,
        None => Via::Local,
    };
    let admitted = guard.map_or(Ok(()), |guard| guard.admit(&request));
    if let Err(problem) = admitted {
        return Ok(problem.into_response());
    }
    request.extensions_mut().insert(via);
    service.oneshot(without_trailing_slash(request)).await
}
