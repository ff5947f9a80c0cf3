//! Publishing until the broker has it on disk.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use tokio::sync::watch;

/// Between two tries, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Publishes again until the broker confirms, and returns the place in its stream; ends with that alone, so give it a time
/// limit.
///
/// The connection may go and come back meanwhile. A message whose confirmation was lost is there twice, unless it has an id.
pub(crate) async fn confirmed(
    context: &Context,
    connected: &watch::Receiver<u64>,
    subject: &str,
    message: &PublishMessage,
    mut on_failure: impl FnMut(&dyn std::fmt::Display),
) -> u64 {
    let mut connected = connected.clone();
    connected.mark_unchanged();
    let mut wait = RETRY.0;
    loop {
        let sent = context
            .send_publish(subject.to_owned(), message.clone())
            .await;
        let confirmed = match sent {
            Ok(confirmation) => tokio::select! {
                confirmed = confirmation => confirmed.map(|kept| kept.sequence),
                // The one that was asked for over the old connection does not come.
                Ok(()) = connected.changed() => continue,
            },
            Err(error) => Err(error),
        };
        match confirmed {
            Ok(sequence) => return sequence,
            Err(error) => on_failure(&error),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = connected.changed() => {}
        }
        wait = (wait * 2).min(RETRY.1);
    }
}
