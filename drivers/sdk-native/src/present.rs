//! Answers whoever asks which programs of a driver are there.

use std::sync::Arc;

use beltline_wire::subjects::present_subject;
use futures::StreamExt as _;

use crate::console;
use crate::listener::Shop;

/// Answers for as long as the program is connected. A broker that does not let it has it counted by its requests for messages.
pub(crate) async fn answer(shop: Arc<Shop>) {
    let client = &shop.broker().client;
    let mut asked = match client.subscribe(present_subject(shop.name())).await {
        Ok(asked) => asked,
        Err(error) => {
            return console::warn("nobody can ask whether it is there", &[("error", &error)]);
        }
    };
    while let Some(message) = asked.next().await {
        if let Some(reply) = message.reply {
            // Whoever asked counts who answers; one less is no harm.
            let _ = client.publish(reply, "".into()).await;
        }
    }
}
