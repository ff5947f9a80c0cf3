//! Signs of life, with a pause that is short enough to wait for.

#![allow(clippy::unwrap_used)]

use super::*;
use http_body_util::BodyExt;

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_silent_stream_says_again_and_again_that_it_is_alive() {
    let first = stream::iter([Ok(Event::default().data("news"))]);
    let frames = first.chain(stream::pending()).boxed();
    let mut body = alive(frames, Duration::from_millis(1)).into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
        frame.unwrap().unwrap().unwrap().into_data().unwrap()
    };
    assert_eq!(next().await, "data: news\n\n");
    for _ in 0..3 {
        assert_eq!(next().await, ": heartbeat\n\n");
    }
    // What proxies cut off that say nothing of it is a minute and longer.
    assert_eq!(HEARTBEAT, Duration::from_secs(15));
}
