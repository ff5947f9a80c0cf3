//! How native drivers are reached: the arguments of `belt up` and `belt run` that name a broker.

use super::output;
use super::stop::Stop;
use crate::bridge::spawn::{Spawned, spawn};
use crate::bridge::{BridgeError, NatsSettings};
use crate::owner::Owner;
use crate::state::StateFolder;
use beltline_wire::BrokerUrls;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

/// What names a broker, beside its environment variable.
const FLAGS: [(&str, &str); 5] = [
    ("nats", "--nats"),
    ("nats_creds", "--nats-creds"),
    ("nats_ca", "--nats-ca"),
    ("nats_cert", "--nats-cert"),
    ("nats_key", "--nats-key"),
];

/// The broker.
#[derive(Clone, Debug, Default)]
pub(super) struct BrokerArgs {
    named: Named,
    /// The first that stands on the command line. What the environment says is for those whom it concerns.
    flag: Option<&'static str>,
}

#[derive(Args, Clone, Debug, Default)]
struct Named {
    /// The NATS server over which native drivers are reached, or `spawn` for one of its own
    #[arg(
        long,
        value_name = "URL",
        env = "BELT_NATS",
        help_heading = "Native drivers"
    )]
    nats: Option<String>,
    /// The file with credentials for it
    #[arg(
        long,
        value_name = "FILE",
        env = "BELT_NATS_CREDS",
        requires = "nats",
        help_heading = "Native drivers"
    )]
    nats_creds: Option<PathBuf>,
    /// The file with certificates of those who may have signed its own, instead of the system's; then it is TLS or nothing
    #[arg(
        long,
        value_name = "FILE",
        env = "BELT_NATS_CA",
        requires = "nats",
        help_heading = "Native drivers"
    )]
    nats_ca: Option<PathBuf>,
    /// The file with this host's own certificate
    #[arg(
        long,
        value_name = "FILE",
        env = "BELT_NATS_CERT",
        requires = "nats_key",
        help_heading = "Native drivers"
    )]
    nats_cert: Option<PathBuf>,
    /// The file with its key
    #[arg(
        long,
        value_name = "FILE",
        env = "BELT_NATS_KEY",
        requires = "nats_cert",
        help_heading = "Native drivers"
    )]
    nats_key: Option<PathBuf>,
}

impl Args for BrokerArgs {
    fn augment_args(command: Command) -> Command {
        Named::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Named::augment_args_for_update(command)
    }
}

impl FromArgMatches for BrokerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_flag = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let flag = FLAGS.into_iter().find(|(id, _)| is_flag(id));
        Ok(BrokerArgs {
            named: Named::from_arg_matches(matches)?,
            flag: flag.map(|(_, flag)| flag),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = BrokerArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl BrokerArgs {
    /// Whether one is named.
    pub(super) fn is_given(&self) -> bool {
        self.named.nats.is_some()
    }

    /// What names one on the command line.
    pub(super) fn flag(&self) -> Option<&'static str> {
        self.flag
    }

    /// Starts the broker where it is to be one of the host's own, and connects. What is returned ends it when dropped.
    pub(super) async fn connect(
        &self,
        owner: &Arc<Owner>,
        state: &StateFolder,
    ) -> Result<Option<Spawned>, Stop> {
        let Some(url) = &self.named.nats else {
            return Ok(None);
        };
        let spawned = (url == "spawn").then(|| spawn(state)).transpose()?;
        if let Some(spawned) = &spawned {
            let (file, verb) = (
                spawned.url_file.display(),
                match spawned.is_adopted {
                    true => "was left here and goes on",
                    false => "is started",
                },
            );
            // For a person to copy; a log is read by others.
            let url = match std::io::stderr().is_terminal() {
                true => spawned.url.clone(),
                false => BrokerUrls::parse(&spawned.url).shown(),
            };
            output::notice(&format!(
                "a nats-server {verb} at {url}; its URL, password included, is in {file}"
            ));
        }
        let settings = NatsSettings {
            url: spawned
                .as_ref()
                .map_or_else(|| url.clone(), |spawned| spawned.url.clone()),
            creds: self.named.nats_creds.clone(),
            tls_ca: self.named.nats_ca.clone(),
            tls_own: self
                .named
                .nats_cert
                .clone()
                .zip(self.named.nats_key.clone()),
        };
        owner.connect(settings).await?;
        Ok(spawned)
    }
}

impl From<BridgeError> for Stop {
    fn from(error: BridgeError) -> Self {
        match error {
            BridgeError::Settings(_) => Stop::invalid(anyhow::Error::from(error)),
            BridgeError::Connect { .. }
            | BridgeError::Request { .. }
            | BridgeError::Differs { .. }
            | BridgeError::Old { .. }
            | BridgeError::Runs(_) => Stop::fault(error),
        }
    }
}
