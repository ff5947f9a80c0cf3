//! The durable consumer of each native driver: there before anything is published for it, and read back.
//!
//! A driver of Conveyor's takes the consumer that it finds for its own and makes it one that vanishes with the driver, or
//! with a restart of the broker. So it is looked at again whenever something is out, and made durable again.

use super::streams::stamp_ms;
use super::{Bridge, BridgeError, NativeState, request};
use crate::clock;
use crate::documents::{NativeDriver, Wire};
use crate::owner::Owner;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, pull};
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use beltline_wire::subjects::{
    MESSAGES_STREAM, conveyor_subject, driver_subjects, resource_subject,
};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::RwLock;

/// How often a consumer is looked at while something is out. What was seen counts for two of these, so that nobody who
/// publishes has to look for himself.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// How long a driver may have a message without a sign of life.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How often a message is delivered: a driver that dies of it is not given it for ever.
const DELIVERIES_MAX: i64 = 5;

/// A driver that has not been there for so long finds its messages gone. It has to be said: a broker that has had a shorter
/// one of a driver of Conveyor's keeps it where nothing is said.
const FORGOTTEN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Messages that all programs of a driver may have at once.
const ACKS_PENDING_MAX: i64 = 1_000;

/// What this host knows of the consumers of its drivers.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    known: Mutex<HashMap<String, Known>>,
    /// Held by those who make sure of one, for its driver is registered, and alone by whoever removes one, for it is no more.
    pub(super) registered: RwLock<()>,
}

/// A consumer, as it was last seen.
#[derive(Debug, Clone, Default)]
struct Known {
    seen: Seen,
    filters: Vec<String>,
    looked_ms: u64,
    connected: usize,
    redelivered: usize,
    trouble: Option<String>,
}

/// What tells how far a consumer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it was made, by the broker's clock: what was published before never reaches a younger one.
    pub(super) made_ms: i64,
    /// The message that it delivered last.
    pub(super) delivered: u64,
    /// Whether nothing waits in it that was not delivered.
    pub(super) is_drained: bool,
    /// How many messages it delivers no more though they were not acknowledged; known where nobody has one in hand.
    pub(super) given_up: usize,
    /// When it was asked, by this host's clock.
    pub(super) asked_ms: u64,
}

impl Consumers {
    /// Nothing that is known counts any more: the broker may have lost it.
    pub(super) fn forget(&self) {
        for known in self.known.lock().values_mut() {
            known.looked_ms = 0;
        }
    }

    /// What is known of this one does not count any more.
    pub(super) fn forget_one(&self, driver: &str) {
        if let Some(known) = self.known.lock().get_mut(driver) {
            known.looked_ms = 0;
        }
    }

    /// Whether this host has made sure of it, or has said why it cannot.
    pub(super) fn is_known(&self, driver: &str) -> bool {
        self.known.lock().contains_key(driver)
    }

    /// Messages that are open and were delivered more than once.
    pub(super) fn redelivered(&self) -> usize {
        self.known
            .lock()
            .values()
            .map(|known| known.redelivered)
            .sum()
    }

    pub(super) fn state_of(&self, driver: &str) -> NativeState {
        let known = self.known.lock();
        known
            .get(driver)
            .map_or_else(NativeState::default, |known| NativeState {
                connected: known.connected,
                redelivered: known.redelivered,
                trouble: known.trouble.clone(),
                ..NativeState::default()
            })
    }

    /// How far the consumer was when it was last seen, where that was a moment ago and it takes these subjects.
    fn fresh(&self, driver: &str, filters: &[String]) -> Option<Seen> {
        let known = self.known.lock();
        let known = known.get(driver)?;
        let is_fresh = clock::now_ms() < known.looked_ms + 2 * clock::millis(LOOK);
        let takes = filters.iter().all(|filter| known.filters.contains(filter));
        (is_fresh && takes && known.trouble.is_none()).then_some(known.seen)
    }

    fn keep(&self, driver: &str, info: &Info, asked_ms: u64) -> Seen {
        let seen = Seen {
            made_ms: stamp_ms(info.created),
            delivered: info.delivered.stream_sequence,
            is_drained: info.num_pending == 0,
            given_up: match info.num_ack_pending == 0 && info.config.max_deliver > 0 {
                true => info.num_redelivered,
                false => 0,
            },
            asked_ms,
        };
        let known = Known {
            seen,
            filters: filters(info),
            looked_ms: clock::now_ms(),
            connected: info.num_waiting,
            redelivered: info.num_redelivered,
            trouble: None,
        };
        self.known.lock().insert(driver.to_owned(), known);
        seen
    }

    /// There is nothing to make sure of yet.
    fn nothing_yet(&self, driver: &str) {
        self.known.lock().entry(driver.to_owned()).or_default();
    }

    /// Whether what is known of this one is as old as a look.
    pub(super) fn is_stale(&self, driver: &str) -> bool {
        let known = self.known.lock();
        let looked_ms = known.get(driver).map_or(0, |known| known.looked_ms);
        looked_ms + clock::millis(LOOK) < clock::now_ms()
    }

    /// What was known of this one is forgotten.
    pub(super) fn drop_one(&self, driver: &str) {
        self.known.lock().remove(driver);
    }

    fn trouble(&self, driver: &str, error: &BridgeError) {
        let trouble = Some(crate::text::chain(error));
        let mut known = self.known.lock();
        let known = known.entry(driver.to_owned()).or_default();
        if known.trouble != trouble {
            tracing::warn!(
                driver,
                error = trouble,
                "the driver's consumer cannot be used"
            );
        }
        known.looked_ms = 0;
        known.trouble = trouble;
    }
}

/// The subjects that a consumer takes.
fn filters(info: &Info) -> Vec<String> {
    let config = &info.config;
    match config.filter_subject.as_str() {
        "" => config.filter_subjects.clone(),
        one => vec![one.to_owned()],
    }
}

/// The subjects on which a driver is reached, for resources of this kind and of those that it lists.
fn wanted(driver: &str, entry: &NativeDriver, kinds: &BTreeSet<String>) -> Vec<String> {
    match entry.wire {
        Wire::Default => vec![driver_subjects(driver)],
        Wire::Conveyor => {
            let all = entry.kinds.iter().chain(kinds).collect::<BTreeSet<_>>();
            let both = |kind: &&String| [resource_subject(kind), conveyor_subject(driver, kind)];
            all.iter().flat_map(both).collect()
        }
    }
}

impl Bridge {
    /// Makes sure of a driver's consumer, and says how far it is.
    pub(super) async fn make_sure_of_consumer(
        &self,
        driver: &str,
        entry: &NativeDriver,
        kinds: &BTreeSet<String>,
    ) -> Result<Seen, BridgeError> {
        let wanted = wanted(driver, entry, kinds);
        if wanted.is_empty() {
            // One of Conveyor's that lists no kind: its subjects are known when there is something for it.
            self.consumers.nothing_yet(driver);
            return Ok(Seen::default());
        }
        if let Some(seen) = self.consumers.fresh(driver, &wanted) {
            return Ok(seen);
        }
        let asked_ms = clock::now_ms();
        let made = self.looked_at(driver, entry, wanted).await;
        match made {
            Ok(info) => Ok(self.consumers.keep(driver, &info, asked_ms)),
            Err(error) => {
                self.consumers.trouble(driver, &error);
                Err(error)
            }
        }
    }

    /// Makes sure of the consumer of a driver that nothing may be out for, unless it is registered no more. What is wrong with it
    /// is kept with it.
    pub(super) async fn keep_ready(&self, owner: &Owner, driver: &str, entry: &NativeDriver) {
        let _registered = self.consumers.registered.read().await;
        if owner.registry().is_native(driver) {
            let kinds = BTreeSet::new();
            let _ = self.make_sure_of_consumer(driver, entry, &kinds).await;
        }
    }

    async fn looked_at(
        &self,
        driver: &str,
        entry: &NativeDriver,
        wanted: Vec<String>,
    ) -> Result<Info, BridgeError> {
        if entry.wire == Wire::Conveyor && !self.connection.has_filters() {
            return Err(BridgeError::Old {
                driver: driver.to_owned(),
                version: self.connection.version(),
            });
        }
        self.make_sure_of_subject(driver).await?;
        let stream = self.jetstream.get_stream_no_info(MESSAGES_STREAM).await;
        let stream = stream.map_err(|error| request("name its streams")(&error))?;
        let found = match stream.consumer_info(driver).await {
            Ok(info) => Some(info),
            Err(error) if is_missing(&error) => None,
            Err(error) => {
                return Err(request(format!("show consumer `{driver}`"))(&error));
            }
        };
        let is_right = |info: &Info| {
            let takes = filters(info);
            let all = wanted.iter().all(|filter| takes.contains(filter));
            let stays = info.config.inactive_threshold;
            let is_durable = info.config.durable_name.is_some();
            all && is_durable && (stays.is_zero() || stays >= FORGOTTEN)
        };
        if let Some(info) = found.as_ref().filter(|info| is_right(info)) {
            check(driver, entry, info)?;
            return Ok(info.clone());
        }
        // Subjects that others have added stay: they may be of kinds that this host has not met.
        let mut subjects: BTreeSet<String> = wanted.iter().cloned().collect();
        if entry.wire == Wire::Conveyor {
            subjects.extend(found.iter().flat_map(filters));
        }
        let config = config(driver, entry, subjects.into_iter().collect());
        let made = stream.create_consumer(config).await;
        let made = made.map_err(|error| request(format!("make consumer `{driver}`"))(&error))?;
        let info = made.cached_info().clone();
        check(driver, entry, &info)?;
        match is_right(&info) {
            true => Ok(info),
            false => Err(differs(driver, "was not made as it was asked for")),
        }
    }
}

fn config(driver: &str, entry: &NativeDriver, mut subjects: Vec<String>) -> pull::Config {
    let one = (subjects.len() == 1).then(|| subjects.pop()).flatten();
    let (max_deliver, max_ack_pending) = match entry.wire {
        Wire::Default => (DELIVERIES_MAX, ACKS_PENDING_MAX),
        // As Conveyor's own drivers have it.
        Wire::Conveyor => (-1, 1),
    };
    pull::Config {
        durable_name: Some(driver.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver,
        max_ack_pending,
        filter_subject: one.unwrap_or_default(),
        filter_subjects: subjects,
        inactive_threshold: FORGOTTEN,
        ..pull::Config::default()
    }
}

/// Whether a consumer is one that delivers everything, and whole, to whoever pulls, and waits for the acknowledgement. How long it
/// waits for that, and how often it delivers, are the operator's.
fn check(driver: &str, entry: &NativeDriver, info: &Info) -> Result<(), BridgeError> {
    let config = &info.config;
    let takes_others = entry.wire == Wire::Default
        && filters(info)
            .iter()
            .any(|filter| *filter != driver_subjects(driver));
    let reasons = [
        (
            config.deliver_subject.is_some(),
            "pushes, and has to be pulled from",
        ),
        (
            config.ack_policy != AckPolicy::Explicit,
            "does not wait for each acknowledgement",
        ),
        (
            config.deliver_policy != DeliverPolicy::All,
            "does not deliver everything from the first message on",
        ),
        (config.headers_only, "delivers headers alone"),
        (takes_others, "takes messages of others"),
    ];
    let removal = format!("consumer rm {MESSAGES_STREAM} {driver}");
    super::check("consumer", driver, &reasons, &removal)
}

fn differs(driver: &str, why: &str) -> BridgeError {
    BridgeError::Differs {
        what: "consumer",
        name: driver.to_owned(),
        why: why.to_owned(),
    }
}

pub(super) fn is_missing(error: &ConsumerInfoError) -> bool {
    matches!(
        error.kind(),
        ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound
    )
}
