//! A client of the API: over TCP, over a state folder's socket, or of an owner in this very process.
//!
//! Owns how a request gets there and how an answer comes back. Never knows what a verb means.

mod events;
mod patience;
mod silence;

pub use events::{Incoming, Stream};
pub use patience::Say;

use crate::api::{Problem, SOCKET, Via};
use crate::text;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use patience::Patience;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use silence::{SILENCE_MAX, Silence};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;
use uuid::Uuid;

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The largest answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Speaks to an owner.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    /// For a server that may be started again.
    patience: Option<Patience>,
}

#[derive(Clone)]
enum Transport {
    Http {
        http: reqwest::Client,
        base: String,
        token: Option<Arc<str>>,
        /// Of a server that is elsewhere. An owner on this machine may compile drivers before it answers, and its death is seen.
        silence_max: Option<Duration>,
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

impl ClientError {
    /// The owner has left what was followed before that had ended.
    pub fn left(place: &str) -> Self {
        ClientError::Unreachable {
            place: place.to_owned(),
            why: "the owner of the run is gone; it can be resumed".to_owned(),
        }
    }

    /// Whether whoever was asked is gone, or about to go.
    pub fn is_absence(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Problem(problem) => problem.status == 503,
            ClientError::Foreign { .. } | ClientError::Address(_) => false,
        }
    }
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
                silence_max: Some(SILENCE_MAX),
                _folder: None,
            },
            patience: None,
        })
    }

    /// The same, and from now on a request that may be repeated is, where the server has been there and is gone.
    pub fn waiting(self, say: Say) -> Self {
        Client {
            patience: Some(Patience::new(say)),
            ..self
        }
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
                silence_max: None,
                _folder: Some(Arc::new(held)),
            },
            patience: None,
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
            patience: None,
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
                http,
                base,
                token,
                silence_max,
                ..
            } => {
                let mut request = http.request(method, format!("{base}{path}"));
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let silence = Silence::new(*silence_max);
                self.over_http(base, request, payload, silence).await
            }
            Transport::InProcess(service) => {
                let mut request = Request::builder().method(method).uri(path);
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                in_process(service, request, payload).await
            }
        }
    }

    async fn over_http(
        &self,
        base: &str,
        request: reqwest::RequestBuilder,
        payload: Payload,
        silence: Silence,
    ) -> Result<Answer, ClientError> {
        let request = match payload {
            Payload::None => request,
            Payload::Json(bytes) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(bytes),
            Payload::Stream(kind, stream) => request
                .header(header::CONTENT_TYPE, kind)
                .body(reqwest::Body::wrap_stream(silence.sending(stream))),
        };
        let answer = silence.in_time(request.send()).await;
        // One that says nothing may be no server at all.
        let answer = answer.map_err(|silent| unreachable(base, &silent))?;
        let is_there = answer
            .as_ref()
            .err()
            .is_none_or(|error| !error.is_connect());
        if let Some(patience) = self.patience.as_ref().filter(|_| is_there) {
            patience.is_there();
        }
        let answer = answer.map_err(|error| unreachable(base, &error))?;
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: silence.hearing(answer.bytes_stream()),
            place: base.to_owned(),
        })
    }

    /// Whether it waits for its server.
    pub fn waits(&self) -> bool {
        self.patience.is_some()
    }

    /// What a request comes to that may be repeated.
    ///
    /// # Errors
    /// Its own.
    pub async fn repeat<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        match &self.patience {
            Some(patience) => patience.repeat(ask).await,
            None => ask().await,
        }
    }

    /// What GET answers.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let ask = async || {
            let answer = self.send(Method::GET, path, &[], Payload::None).await?;
            answer.json().await
        };
        self.repeat(ask).await
    }

    /// What POST of this answers. Where it may have to be repeated it has an `Idempotency-Key`.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let key = self.waits().then(new_key);
        self.post_under(key, path, value).await
    }

    /// The same under a key that the caller repeats it with.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn post_under<T: DeserializeOwned>(
        &self,
        key: Option<String>,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let json = json(value);
        let headers: Vec<_> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        let ask = async || {
            let payload = Payload::Json(json.clone());
            let answer = self.send(Method::POST, path, &headers, payload).await?;
            answer.json().await
        };
        self.repeat(ask).await
    }

    /// An answer of events.
    async fn open(&self, path: &str, after: Option<&str>) -> Result<Answer, ClientError> {
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        headers.extend(after.map(|id| ("last-event-id", id.to_owned())));
        let ask = async || {
            let answer = self.send(Method::GET, path, &headers, Payload::None);
            answer.await?.successful().await
        };
        self.repeat(ask).await
    }
}

async fn in_process(
    service: &Router,
    mut request: http::request::Builder,
    payload: Payload,
) -> Result<Answer, ClientError> {
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

/// An `Idempotency-Key` that nobody has used.
pub fn new_key() -> String {
    Uuid::now_v7().to_string()
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
