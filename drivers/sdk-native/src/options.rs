//! The flags of a native driver and their variables.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use beltline_wire::BrokerUrls;
use clap::Args;
use log::LevelFilter;

/// How a native driver is started; to be flattened into flags of one's own.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The broker: URLs, with commas between them; user and password or a token may stand in front of the host
    #[arg(
        long,
        value_name = "URL",
        env = "NATS_URL",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats: String,
    /// A file with the broker's credentials (JWT and seed)
    #[arg(long, value_name = "FILE", env = "NATS_CREDS")]
    pub creds: Option<PathBuf>,
    /// Trust those whose certificates are in this file (PEM) instead of the system's, and speak TLS only
    #[arg(long, value_name = "FILE", env = "NATS_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// The file with this driver's own certificate
    #[arg(long, value_name = "FILE", env = "NATS_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The file with its key
    #[arg(long, value_name = "FILE", env = "NATS_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How many attempts may be worked on at once; as many as there are cores unless said
    #[arg(long, value_name = "N", env = "BELT_CONCURRENCY")]
    pub concurrency: Option<NonZero<usize>>,
    /// The name to listen under, where it is not the driver's own
    #[arg(long, env = "BELT_DRIVER_NAME")]
    pub name: Option<String>,
    /// The least important level of the driver's lines that reaches a run's log
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BELT_LOG_LEVEL",
        default_value = "info",
        value_parser = level
    )]
    pub log_level: LevelFilter,
    /// Takes work only from a broker that asks who one is
    #[arg(skip)]
    pub only_guarded: bool,
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| "one of off, error, warn, info, debug, trace is wanted".to_owned())
}

impl Options {
    /// How many attempts may be worked on at once.
    pub(crate) fn room(&self) -> usize {
        let cores = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.concurrency.unwrap_or_else(cores).get()
    }

    /// Whether the broker is shown anything that says who this is.
    pub fn has_credentials(&self) -> bool {
        self.creds.is_some()
            || self.tls_cert.is_some()
            || BrokerUrls::parse(&self.nats).login.is_some()
    }
}
