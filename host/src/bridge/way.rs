//! An attempt on its way to the broker. Dropped before it is known to be there, it is out no more, and the message that the broker may
//! have of it is taken back: unless it was answered already, and so has been there.

use super::Bridge;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::publish::PublishAck;
use beltline_engine::RunId;
use futures::future::BoxFuture;
use std::sync::Arc;

pub(super) type Acknowledgement = BoxFuture<'static, Result<PublishAck, PublishError>>;

pub(super) struct OnItsWay {
    bridge: Arc<Bridge>,
    run: RunId,
    step: u32,
    attempt: u32,
    message: Message,
}

/// What the broker has of it.
enum Message {
    None,
    /// Perhaps its message, in the stream that was made then.
    Asked(i64, Acknowledgement),
    /// It is in the book, or its message is others' too.
    Settled,
}

impl OnItsWay {
    pub(super) fn new(bridge: &Arc<Bridge>, run: RunId, step: u32, attempt: u32) -> Self {
        OnItsWay {
            bridge: Arc::clone(bridge),
            run,
            step,
            attempt,
            message: Message::None,
        }
    }

    /// The broker is asked to take its message; waits for the word.
    pub(super) async fn asked(
        &mut self,
        stream_ms: i64,
        acknowledgement: Acknowledgement,
    ) -> Result<PublishAck, PublishError> {
        self.message = Message::Asked(stream_ms, acknowledgement);
        let Message::Asked(_, acknowledgement) = &mut self.message else {
            unreachable!("it was put there")
        };
        let answer = acknowledgement.await;
        self.message = Message::None;
        answer
    }

    /// Nothing is to be taken back any more.
    pub(super) fn settle(&mut self) {
        self.message = Message::Settled;
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let message = std::mem::replace(&mut self.message, Message::Settled);
        if matches!(message, Message::Settled) {
            return;
        }
        let out = self
            .bridge
            .is_out_no_more(self.run, self.step, self.attempt);
        let Message::Asked(stream_ms, acknowledgement) = message else {
            return;
        };
        // Whoever has answered it has it, where it has had no other message, and acknowledges it himself.
        if out.is_some_and(|out| out.is_answered && out.sent.is_none()) {
            return;
        }
        let bridge = Arc::clone(&self.bridge);
        // The runtime of a run ends with it.
        self.bridge.runtime.spawn(async move {
            if let Ok(acknowledged) = acknowledgement.await {
                let place = (stream_ms, acknowledged.sequence);
                bridge.delete_or_owe(place).await;
            }
        });
    }
}
