//! The three streams: made where they are not there, read back, and refused by name where they are not as they must be.

use super::{Bridge, BridgeError, request};
use async_nats::jetstream::context::CreateStreamError;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream,
};
use beltline_wire::subjects::{LOGS_STREAM, MESSAGES_STREAM, RESULTS_STREAM, driver_subjects};
use std::time::Duration;

/// How long answers and lines are kept on the broker: for hosts that were away, and for those who watch.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that answers, and lines, take there.
const KEPT_BYTES: i64 = 1 << 30;

/// How long a stream that was deleted is left alone.
const SETTLE: Duration = Duration::from_secs(1);

/// The streams that this host has made sure of.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// When `messages` was made, by the broker's clock: a message of an older one is gone.
    pub(super) messages_ms: i64,
    subjects: Vec<String>,
}

/// Milliseconds since the Unix epoch.
pub(super) fn stamp_ms(time: async_nats::datetime::DateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

impl Bridge {
    /// Makes sure of the streams, and that the messages of these drivers go into theirs.
    pub(super) async fn make_sure_of_streams(&self, drivers: &[String]) -> Result<(), BridgeError> {
        let mut subjects: Vec<String> = ["resources.>", "events.>", "drivers.>"]
            .map(str::to_owned)
            .into();
        subjects.extend(drivers.iter().map(|driver| driver_subjects(driver)));
        let messages = Config {
            name: MESSAGES_STREAM.to_owned(),
            subjects,
            retention: RetentionPolicy::Interest,
            storage: StorageType::File,
            ..Config::default()
        };
        let messages = self.stream(messages).await?;
        for (name, subject) in [(RESULTS_STREAM, "pipelines.>"), (LOGS_STREAM, "logs.>")] {
            let config = Config {
                name: name.to_owned(),
                subjects: vec![subject.to_owned()],
                retention: RetentionPolicy::Limits,
                storage: StorageType::File,
                discard: DiscardPolicy::Old,
                max_age: KEPT,
                max_bytes: KEPT_BYTES,
                ..Config::default()
            };
            self.stream(config).await?;
        }
        *self.streams.lock() = Known {
            messages_ms: stamp_ms(messages.created),
            subjects: messages.config.subjects,
        };
        Ok(())
    }

    /// Makes sure that the messages of a driver go into the stream.
    pub(super) async fn make_sure_of_subject(&self, driver: &str) -> Result<(), BridgeError> {
        let subject = driver_subjects(driver);
        if self.streams.lock().subjects.contains(&subject) {
            return Ok(());
        }
        self.make_sure_of_streams(&[driver.to_owned()]).await
    }

    /// The one that is there, or a new one. A stream that was there and is gone is waited for: a server that is still removing
    /// its files takes those of a new one of that name with them, and what is published then is never acknowledged.
    async fn found_or_made(&self, wanted: &Config) -> Result<Stream, CreateStreamError> {
        if let Ok(found) = self.jetstream.get_stream(&wanted.name).await {
            return Ok(found);
        }
        if self.streams.lock().messages_ms != 0 {
            tokio::time::sleep(SETTLE).await;
        }
        self.jetstream.get_or_create_stream(wanted.clone()).await
    }

    /// Makes one, or adds the subjects that it lacks; other hosts have theirs in it.
    async fn stream(&self, wanted: Config) -> Result<Info, BridgeError> {
        let name = wanted.name.clone();
        let found = self.found_or_made(&wanted).await;
        let found = found.map_err(|error| request(format!("make stream `{name}`"))(&error))?;
        let mut info = found.cached_info().clone();
        check(&wanted, &info.config)?;
        let lacks = |info: &Info| {
            let has = |subject: &String| info.config.subjects.contains(subject);
            let lacking = wanted.subjects.iter().filter(|subject| !has(subject));
            lacking.cloned().collect::<Vec<_>>()
        };
        let lacking = lacks(&info);
        if !lacking.is_empty() {
            let mut config = info.config.clone();
            config.subjects.extend(lacking);
            let updated = self.jetstream.update_stream(config).await;
            info = updated.map_err(|error| {
                request(format!("add the subjects of drivers to stream `{name}`"))(&error)
            })?;
            if let Some(subject) = lacks(&info).first() {
                return Err(differs(&name, format!("does not take `{subject}`")));
            }
        }
        Ok(info)
    }
}

/// Whether a stream is as it has to be. Bounds and age of answers and lines are the operator's; attempts that wait are not to be
/// dropped for younger ones, nor for their age; and all answers have one subject,
/// as have all lines of a run, so none is dropped for the next.
fn check(wanted: &Config, found: &Config) -> Result<(), BridgeError> {
    let name = &wanted.name;
    let retention = |config: &Config| format!("{:?}", config.retention).to_lowercase();
    let other_retention = format!(
        "has retention `{}` and needs `{}`",
        retention(found),
        retention(wanted)
    );
    let waits = wanted.name == MESSAGES_STREAM;
    let is_bounded = found.max_messages > 0 || found.max_bytes > 0;
    let reasons = [
        (
            found.retention != wanted.retention,
            other_retention.as_str(),
        ),
        (
            waits && !found.max_age.is_zero(),
            "drops what waits too long (`max_age`)",
        ),
        (
            found.max_messages_per_subject > 0,
            "drops what waits for what comes after (`max_msgs_per_subject`)",
        ),
        (
            waits && is_bounded && found.discard == DiscardPolicy::Old,
            "drops what waits where it is full (`discard: old`)",
        ),
        (found.sealed, "is sealed"),
        (found.no_ack, "acknowledges nothing"),
        (found.deny_delete, "lets no message be deleted"),
        (
            found.storage != StorageType::File,
            "is kept in memory alone",
        ),
    ];
    super::check("stream", name, &reasons, &format!("stream rm {name}"))
}

fn differs(name: &str, why: String) -> BridgeError {
    BridgeError::Differs {
        what: "stream",
        name: name.to_owned(),
        why,
    }
}
