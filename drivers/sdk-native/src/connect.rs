//! The connection to the broker: who this is, what is trusted, and that it comes back.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use crate::{Options, console};

/// How long a request to the broker waits for its answer before it is made again.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Between two tries to reach a broker that is not there, at most.
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Broker {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    /// Counts the times that it was connected again.
    pub(crate) connected: watch::Receiver<u64>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("`{url}` is no URL of a broker: {source}")]
    Url { url: String, source: std::io::Error },
    #[error("the credentials file {path} cannot be read: {source}")]
    Credentials {
        path: String,
        source: std::io::Error,
    },
    #[error("the broker refuses the connection: {0}")]
    Refused(async_nats::ConnectError),
}

/// Connects, and tries on while there is no broker: drivers and broker may be started in any order.
pub(crate) async fn connect(options: &Options, name: &str) -> Result<Broker, ConnectError> {
    let servers = servers(&options.nats)?;
    let shown = shown(&servers);
    let (count, connected) = watch::channel(0);
    let mut wait = Duration::from_millis(250);
    let mut told = false;
    loop {
        let count = Arc::new(Lost {
            again: count.clone(),
            is: AtomicBool::new(false),
        });
        let options = with_identity(options, &servers)
            .await?
            .name(format!("belt-driver {name}"))
            .max_reconnects(None)
            .event_callback(move |event| {
                let count = count.clone();
                async move { on_event(&event, &count) }
            });
        match options.connect(&servers).await {
            Ok(client) => {
                console::info("connected", &[("nats", &shown), ("driver", &name)]);
                let jetstream = ContextBuilder::new().timeout(ANSWER).build(client.clone());
                return Ok(Broker {
                    client,
                    jetstream,
                    connected,
                });
            }
            Err(error) if is_final(error.kind()) => return Err(ConnectError::Refused(error)),
            Err(error) if !told => {
                told = true;
                console::warn(
                    "no broker there; trying on",
                    &[("nats", &shown), ("error", &error)],
                );
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

fn is_final(kind: ConnectErrorKind) -> bool {
    match kind {
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Tls => true,
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => false,
    }
}

/// Whether the connection is lost, and how often it came back.
struct Lost {
    is: AtomicBool,
    again: watch::Sender<u64>,
}

fn on_event(event: &Event, lost: &Lost) {
    match event {
        Event::Connected if lost.is.swap(false, Ordering::Relaxed) => {
            lost.again.send_modify(|count| *count += 1);
        }
        Event::Connected => {}
        Event::Disconnected => {
            lost.is.store(true, Ordering::Relaxed);
            console::warn("connection lost; it is made again", &[]);
        }
        Event::ServerError(error) => console::warn("the broker says", &[("error", error)]),
        Event::ClientError(error) => console::warn("connection", &[("error", error)]),
        Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {}
    }
}

async fn with_identity(
    options: &Options,
    servers: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let mut connect = ConnectOptions::new();
    if let Some(path) = &options.creds {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|source| ConnectError::Credentials {
            path: path.display().to_string(),
            source,
        })?;
    }
    let named = servers.iter().find(|server| server.username().is_some());
    if let Some((server, user)) = named.and_then(|server| Some((server, server.username()?))) {
        let user = percent_decoded(user);
        connect = match server.password() {
            Some(password) => connect.user_and_password(user, percent_decoded(password)),
            None => connect.token(user),
        };
    }
    if let Some(path) = &options.tls_ca {
        connect = connect
            .add_root_certificates(path.clone())
            .require_tls(true);
    }
    Ok(connect)
}

fn servers(urls: &str) -> Result<Vec<ServerAddr>, ConnectError> {
    let parse = |url: &str| {
        ServerAddr::from_str(url.trim()).map_err(|source| ConnectError::Url {
            url: url
                .rsplit_once('@')
                .map_or(url, |(_, host)| host)
                .to_owned(),
            source,
        })
    };
    urls.split(',').map(parse).collect()
}

/// The brokers, without what stands in front of their hosts.
fn shown(servers: &[ServerAddr]) -> String {
    let hosts = servers
        .iter()
        .map(|server| format!("{}:{}", server.host(), server.port()));
    hosts.collect::<Vec<_>>().join(",")
}

/// A URL's user or password as it was meant; a `%` that starts no code is one.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_decoded_and_not_shown() {
        let servers = servers("nats://me:p%40ss%2@one:4222, nats://two").unwrap();
        assert_eq!(shown(&servers), "one:4222,two:4222");
        assert_eq!(percent_decoded(servers[0].password().unwrap()), "p@ss%2");
    }

    #[test]
    fn a_url_that_is_none_is_named_without_its_password() {
        let error = servers("ftp://me:secret@host").unwrap_err().to_string();
        assert!(
            error.contains("`host`") && !error.contains("secret"),
            "{error}"
        );
    }
}
