//! A client of the API: over TCP, over a state folder's socket, or of an owner in this very process.
//!
//! Owns how a request gets there and how an answer comes back. Never knows what a verb means.

mod events;

pub use events::{Incoming, Stream};

use crate::api::{Problem, SOCKET, Via};
use crate::text;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The largest answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Speaks to an owner.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

#[derive(Clone)]
enum Transport {
    Http {
        http: reqwest::Client,
        base: String,
        token: Option<Arc<str>>,
        /// Keeps the short path to a socket.
        _folder: Option<Arc<OwnedFd>>,
    },
    InProcess(Router),
}

/// What a request brings.
pub enum Payload {
    /// Nothing.
    None,
    /// JSON text.
    Json(Vec<u8>),
    /// Something else, piece by piece: its content type, and its bytes.
    Stream(&'static str, BoxStream<'static, io::Result<Bytes>>),
}

/// Why a request has no answer of the kind that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The owner says why not.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// It did not get there, or its answer did not come back.
    #[error("cannot reach {place}: {why}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why, with all that led to it.
        why: String,
    },
    /// The answer is not what this client knows.
    #[error("{place} answers what this client does not know: {why}")]
    Foreign {
        /// Who.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address is none.
    #[error("`{0}` is no address of a server; one is http://HOST:PORT")]
    Address(String),
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: BoxStream<'static, Result<Bytes, String>>,
    place: String,
}

impl Client {
    /// Of a server at an address, `http://HOST:PORT`; with a token where it wants one.
    ///
    /// # Errors
    /// An address that is none.
    pub fn of_server(url: &str, token: Option<Arc<str>>) -> Result<Self, ClientError> {
        let not = || ClientError::Address(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| not())?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(not());
        }
        // A second call finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unreachable(url, &error))?;
        Ok(Client {
            transport: Transport::Http {
                http,
                base: url.trim_end_matches('/').to_owned(),
                token,
                _folder: None,
            },
        })
    }

    /// Of the owner of a state folder, by its socket. Whether there is one shows when something is sent.
    ///
    /// # Errors
    /// A folder that cannot be opened.
    pub fn of_folder(folder: &Path) -> Result<Self, ClientError> {
        let place = folder.display().to_string();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = rustix::fs::open(folder, flags, Mode::empty());
        let held = held.map_err(|error| unreachable(&place, &io::Error::from(error)))?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The address of a socket has 108 bytes, and folders may lie deeper.
        let socket = format!("/proc/self/fd/{}/{SOCKET}", held.as_raw_fd());
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .build()
            .map_err(|error| unreachable(&place, &error))?;
        Ok(Client {
            transport: Transport::Http {
                http,
                base: "http://localhost".to_owned(),
                token: None,
                _folder: Some(Arc::new(held)),
            },
        })
    }

    /// Where it speaks to.
    pub fn place(&self) -> &str {
        match &self.transport {
            Transport::Http { base, .. } => base,
            Transport::InProcess(_) => "this process",
        }
    }

    /// Of an owner in this process.
    pub fn of_service(service: Router) -> Self {
        Client {
            transport: Transport::InProcess(service),
        }
    }

    /// Sends a request and returns its answer, whatever that says.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        payload: Payload,
    ) -> Result<Answer, ClientError> {
        match &self.transport {
            Transport::Http {
                http, base, token, ..
            } => {
                let mut request = http.request(method, format!("{base}{path}"));
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let request = match payload {
                    Payload::None => request,
                    Payload::Json(bytes) => request
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(bytes),
                    Payload::Stream(kind, stream) => request
                        .header(header::CONTENT_TYPE, kind)
                        .body(reqwest::Body::wrap_stream(stream)),
                };
                let answer = request
                    .send()
                    .await
                    .map_err(|error| unreachable(base, &error))?;
                Ok(Answer {
                    status: answer.status(),
                    headers: answer.headers().clone(),
                    body: answer
                        .bytes_stream()
                        .map(|piece| piece.map_err(|error| text::chain(&error)))
                        .boxed(),
                    place: base.clone(),
                })
            }
            Transport::InProcess(service) => {
                let mut request = Request::builder().method(method).uri(path);
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                let body = match payload {
                    Payload::None => Body::empty(),
                    Payload::Json(bytes) => {
                        request = request.header(header::CONTENT_TYPE, "application/json");
                        Body::from(bytes)
                    }
                    Payload::Stream(kind, stream) => {
                        request = request.header(header::CONTENT_TYPE, kind);
                        Body::from_stream(stream)
                    }
                };
                let place = "this process";
                let mut request = request
                    .body(body)
                    .map_err(|error| unreachable(place, &error))?;
                request.extensions_mut().insert(Via::Local);
                let answer = match service.clone().oneshot(request).await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                };
                let (parts, body) = answer.into_parts();
                Ok(Answer {
                    status: parts.status,
                    headers: parts.headers,
                    body: body
                        .into_data_stream()
                        .map(|piece| piece.map_err(|error| text::chain(&error)))
                        .boxed(),
                    place: place.to_owned(),
                })
            }
        }
    }

    /// What GET answers.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, &[], Payload::None).await?;
        answer.json().await
    }

    /// What POST of this answers.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
        headers: &[(&'static str, String)],
    ) -> Result<T, ClientError> {
        let payload = Payload::Json(json(value));
        let answer = self.send(Method::POST, path, headers, payload).await?;
        answer.json().await
    }

    /// The stream of events at that path.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn stream(&self, path: &str, after: Option<&str>) -> Result<Stream, ClientError> {
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        headers.extend(after.map(|id| ("last-event-id", id.to_owned())));
        let answer = self
            .send(Method::GET, path, &headers, Payload::None)
            .await?;
        let answer = answer.successful().await?;
        Ok(Stream::new(answer.body, answer.place))
    }
}

/// The JSON of what is sent.
///
/// # Panics
/// Never: what is sent has string keys.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is sent has string keys")
}

impl Answer {
    /// Itself, where it is one of success.
    ///
    /// # Errors
    /// [`ClientError::Problem`], or that what it says is unknown here.
    pub async fn successful(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let (status, place) = (self.status, self.place.clone());
        let bytes = self.bytes().await?;
        let problem = serde_json::from_slice::<Problem>(&bytes);
        Err(problem.map_or_else(
            |_| ClientError::Foreign {
                place,
                why: format!("status {status}"),
            },
            |problem| ClientError::Problem(Box::new(problem)),
        ))
    }

    /// What it says, as JSON.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let answer = self.successful().await?;
        let place = answer.place.clone();
        let bytes = answer.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Foreign {
            place,
            why: error.to_string(),
        })
    }

    /// All of its body.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] where it breaks off.
    pub async fn bytes(mut self) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece.map_err(|why| ClientError::Unreachable {
                place: self.place.clone(),
                why,
            })?;
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Foreign {
                    place: self.place,
                    why: format!("more than {}", text::size(ANSWER_BYTES_MAX as u64)),
                });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

fn unreachable(place: &str, error: &dyn std::error::Error) -> ClientError {
    ClientError::Unreachable {
        place: place.to_owned(),
        why: text::chain(error),
    }
}
