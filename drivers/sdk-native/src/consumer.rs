//! The driver's place on the stream of messages: a durable consumer of its name.
//!
//! The host makes it and compares it with what it should be; here it is made where the driver is first, and one that is
//! there is never changed.

use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use beltline_wire::subjects;

/// Without a sign of life for so long a message goes to the next who asks.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// So often a message is handed out: one that ends each process that gets it does so no more often.
const DELIVER_MAX: i64 = 5;

/// Messages in the hands of all replicas together.
const ACK_PENDING_MAX: i64 = 1000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsumerError {
    #[error(
        "there is no stream `{}` yet: the host makes it",
        subjects::MESSAGES_STREAM
    )]
    NoStream,
    #[error(
        "the consumer `{0}` pushes to `{1}`; a native driver wants one that is pulled from: delete it, and the host makes it again"
    )]
    Pushes(String, String),
    #[error(
        "the consumer `{0}` filters `{1}` and not `{2}`: delete it, and the host makes it again"
    )]
    Filters(String, String, String),
    #[error("the broker does not answer about the consumer `{0}`: {1}")]
    Broker(String, String),
}

impl ConsumerError {
    /// Whether waiting may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            ConsumerError::NoStream | ConsumerError::Broker(..) => true,
            ConsumerError::Pushes(..) | ConsumerError::Filters(..) => false,
        }
    }
}

/// Makes sure of the consumer; says after how long without a sign of life it hands a message to another.
pub(crate) async fn ensure(context: &Context, driver: &str) -> Result<Duration, ConsumerError> {
    let stream = context
        .get_stream_no_info(subjects::MESSAGES_STREAM)
        .await
        .map_err(|error| unanswered(driver, &error))?;
    let refused = match stream.consumer_info(driver).await {
        Ok(found) => return checked(&found.config, driver),
        Err(error) => error,
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the client's kinds grow")]
    match refused.kind() {
        ConsumerInfoErrorKind::StreamNotFound => return Err(ConsumerError::NoStream),
        ConsumerInfoErrorKind::NotFound => {}
        _ => return Err(unanswered(driver, &refused)),
    }
    match stream.create_consumer_strict(wished(driver)).await {
        Ok(made) => checked(&made.cached_info().config, driver),
        Err(error) => Err(unanswered(driver, &error)),
    }
}

fn unanswered(driver: &str, error: &dyn Display) -> ConsumerError {
    ConsumerError::Broker(driver.to_owned(), error.to_string())
}

fn wished(driver: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(driver.to_owned()),
        filter_subject: subjects::driver_subjects(driver),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: DELIVER_MAX,
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    }
}

fn checked(config: &consumer::Config, driver: &str) -> Result<Duration, ConsumerError> {
    if let Some(subject) = &config.deliver_subject {
        return Err(ConsumerError::Pushes(driver.to_owned(), subject.clone()));
    }
    let wanted = subjects::driver_subjects(driver);
    let filters = [&config.filter_subject].into_iter();
    if !filters
        .chain(&config.filter_subjects)
        .any(|filter| *filter == wanted)
    {
        let found = match config.filter_subjects.as_slice() {
            [] => config.filter_subject.clone(),
            several => several.join(", "),
        };
        return Err(ConsumerError::Filters(driver.to_owned(), found, wanted));
    }
    Ok(match config.ack_wait {
        Duration::ZERO => ACK_WAIT,
        wait => wait,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_reaches_nothing_is_refused_by_name() {
        let refused = |config: consumer::Config| checked(&config, "exec").unwrap_err().to_string();
        let pushes = refused(consumer::Config {
            deliver_subject: Some("there".to_owned()),
            ..consumer::Config::default()
        });
        assert!(
            pushes.starts_with("the consumer `exec` pushes to `there`"),
            "{pushes}"
        );
        let filters = refused(consumer::Config {
            filter_subject: "drivers.exec.resources.*".to_owned(),
            ..consumer::Config::default()
        });
        assert!(filters.contains("filters `drivers.exec.resources.*` and not `exec.resources.*`"));
    }

    #[test]
    fn its_own_wait_is_kept() {
        let config = consumer::Config {
            filter_subjects: vec!["a".to_owned(), "exec.resources.*".to_owned()],
            ack_wait: Duration::from_secs(1),
            ..consumer::Config::default()
        };
        assert_eq!(checked(&config, "exec").unwrap(), Duration::from_secs(1));
    }
}
