//! The connection to the broker: credentials, TLS, and that it comes back.

use super::{BridgeError, Counts, REQUEST_TIME_MAX};
use async_nats::{Client, ConnectOptions, Event, jetstream};
use beltline_wire::{BrokerUrls, Login};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How long the first connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection that answers nothing for two of these is one no more.
const PING: Duration = Duration::from_secs(5);

/// The longest pause before the connection is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How a broker is reached.
#[derive(Debug, Clone, Default)]
pub struct NatsSettings {
    /// `nats://` or `tls://`, with user and password or token where it asks for them; several with commas.
    pub url: String,
    /// A file of credentials: a JWT and its seed.
    pub creds: Option<PathBuf>,
    /// The certificates of those who may have signed the server's, instead of the system's; then nothing but TLS is spoken.
    pub tls_ca: Option<PathBuf>,
    /// This host's own certificate and its key.
    pub tls_own: Option<(PathBuf, PathBuf)>,
}

/// A connection that is made anew when it is lost.
pub(super) struct Connection {
    pub(super) client: Client,
    /// How often it was made.
    made: watch::Sender<u64>,
}

impl Connection {
    pub(super) async fn open(
        settings: &NatsSettings,
        host: &str,
        counts: Arc<Counts>,
    ) -> Result<Self, BridgeError> {
        // The one provider of cryptography that is built in; somebody else may have named it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = watch::Sender::new(0);
        let told = made.clone();
        let mut options = ConnectOptions::new()
            .name(format!("belt {host}"))
            .connection_timeout(CONNECT_TIME_MAX)
            .request_timeout(Some(REQUEST_TIME_MAX))
            .ping_interval(PING)
            .max_reconnects(None)
            .reconnect_delay_callback(|attempts| {
                let doubled = u32::try_from(attempts).unwrap_or(u32::MAX).min(8);
                (Duration::from_millis(10) * 2_u32.pow(doubled)).min(PAUSE_MAX)
            })
            .event_callback(move |event| {
                let (told, counts) = (told.clone(), Arc::clone(&counts));
                async move { happened(&event, &told, &counts) }
            });
        if let Some(creds) = &settings.creds {
            let read = options.credentials_file(creds).await;
            options = read.map_err(|error| {
                BridgeError::Settings(format!(
                    "the credentials in `{}` cannot be read: {error}",
                    creds.display()
                ))
            })?;
        }
        if let Some(ca) = &settings.tls_ca {
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        if let Some((certificate, key)) = &settings.tls_own {
            let (certificate, key) = (certificate.clone(), key.clone());
            options = options
                .add_client_certificate(certificate, key)
                .require_tls(true);
        }
        // The client does not look for it in the URL itself.
        let urls = BrokerUrls::parse(&settings.url);
        options = match &urls.login {
            None => options,
            Some(Login::User(user, password)) => {
                options.user_and_password(user.clone(), password.clone())
            }
            Some(Login::Token(token)) => options.token(token.clone()),
        };
        let client = options.connect(&urls.servers).await;
        let client = client.map_err(|source| BridgeError::Connect {
            url: urls.shown(),
            source,
        })?;
        Ok(Connection { client, made })
    }

    pub(super) fn jetstream(&self) -> jetstream::Context {
        let mut context = jetstream::new(self.client.clone());
        context.set_timeout(REQUEST_TIME_MAX);
        context
    }

    /// How often it was made; changes with each time.
    pub(super) fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Whether it is there.
    pub(super) fn is_there(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The server's version.
    pub(super) fn version(&self) -> String {
        self.client.server_info().version
    }

    /// Whether consumers may have several subjects.
    pub(super) fn has_filters(&self) -> bool {
        self.client.is_server_compatible(2, 10, 0)
    }
}

fn happened(event: &Event, made: &watch::Sender<u64>, counts: &Counts) {
    match event {
        Event::Connected => {
            let mut times = 0;
            made.send_modify(|made| {
                *made += 1;
                times = *made;
            });
            if times > 1 {
                counts.reconnects.fetch_add(1, Ordering::Relaxed);
                tracing::info!("the broker is there again");
            }
        }
        Event::Disconnected => tracing::warn!("the broker is gone; it is tried again"),
        Event::ServerError(error) => tracing::warn!(%error, "the broker refuses"),
        Event::ClientError(error) => tracing::warn!(%error, "trouble with the broker"),
        Event::SlowConsumer(_) => tracing::warn!("the broker sends faster than is read"),
        Event::LameDuckMode | Event::Draining | Event::Closed => {}
    }
}
