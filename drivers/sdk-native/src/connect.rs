//! The connection to the broker: who this is, what is trusted, and that it comes back.

use std::error::Error as _;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use beltline_wire::{BrokerUrls, Login};
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
    Url { url: String, source: io::Error },
    #[error("the credentials file {path} cannot be read: {source}")]
    Credentials { path: String, source: io::Error },
    #[error("there is no way into the broker at {shown}: {source}")]
    Refused {
        shown: String,
        source: async_nats::ConnectError,
    },
    #[error(
        "the broker at {shown} asks nobody who they are, so anyone who reaches it could give this driver work"
    )]
    Open { shown: String },
}

/// A connection that answers nothing for two of these is one no more.
const PING: Duration = Duration::from_secs(5);

/// Connects, and tries on while there is no broker: drivers and broker may be started in any order.
pub(crate) async fn connect(options: &Options, name: &str) -> Result<Broker, ConnectError> {
    let urls = BrokerUrls::parse(&options.nats);
    let (servers, shown) = (servers(&urls)?, urls.shown());
    let (count, connected) = watch::channel(0);
    let mut wait = Duration::from_millis(250);
    let mut told = false;
    loop {
        let count = Arc::new(Lost {
            again: count.clone(),
            is: AtomicBool::new(false),
        });
        let required = options;
        let options = with_identity(options, &urls)
            .await?
            .name(format!("belt-driver {name}"))
            // Its own: with the common one it would have to be let read what is others'.
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .ping_interval(PING)
            .max_reconnects(None)
            .event_callback(move |event| {
                let count = count.clone();
                async move { on_event(&event, &count) }
            });
        match options.connect(&servers).await {
            Ok(client) => {
                // Of a certificate nobody can see whether it was asked for.
                let asks = client.server_info().auth_required || required.tls_cert.is_some();
                if required.only_guarded && !asks {
                    return Err(ConnectError::Open { shown });
                }
                console::info("connected", &[("nats", &shown), ("driver", &name)]);
                let jetstream = ContextBuilder::new().timeout(ANSWER).build(client.clone());
                return Ok(Broker {
                    client,
                    jetstream,
                    connected,
                });
            }
            Err(source) if is_final(&source) => {
                return Err(ConnectError::Refused { shown, source });
            }
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

fn is_final(error: &async_nats::ConnectError) -> bool {
    match error.kind() {
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Tls => true,
        // A certificate that is not trusted, on either side.
        ConnectErrorKind::Io => {
            let source = error.source().and_then(|source| source.downcast_ref());
            source.is_some_and(|source: &io::Error| source.kind() == io::ErrorKind::InvalidData)
        }
        ConnectErrorKind::Dns | ConnectErrorKind::TimedOut | ConnectErrorKind::MaxReconnects => {
            false
        }
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
    urls: &BrokerUrls,
) -> Result<ConnectOptions, ConnectError> {
    let mut connect = ConnectOptions::new();
    if let Some(path) = &options.creds {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|source| ConnectError::Credentials {
            path: path.display().to_string(),
            source,
        })?;
    }
    connect = match &urls.login {
        None => connect,
        Some(Login::User(user, password)) => {
            connect.user_and_password(user.clone(), password.clone())
        }
        Some(Login::Token(token)) => connect.token(token.clone()),
    };
    if let Some(path) = &options.tls_ca {
        connect = connect
            .add_root_certificates(path.clone())
            .require_tls(true);
    }
    if let Some((certificate, key)) = options.tls_cert.clone().zip(options.tls_key.clone()) {
        connect = connect
            .add_client_certificate(certificate, key)
            .require_tls(true);
    }
    Ok(connect)
}

fn servers(urls: &BrokerUrls) -> Result<Vec<ServerAddr>, ConnectError> {
    let parse = |url: &String| {
        ServerAddr::from_str(url).map_err(|source| ConnectError::Url {
            url: url.clone(),
            source,
        })
    };
    urls.servers.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_named_without_its_password() {
        let urls = BrokerUrls::parse("ftp://me:secret@host");
        let error = servers(&urls).unwrap_err().to_string();
        assert!(
            error.contains("`ftp://host`") && !error.contains("secret"),
            "{error}"
        );
    }
}
