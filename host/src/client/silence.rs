//! How long a server may be silent that has taken a request.
//!
//! Time counts from the last piece that was sent or came: an upload may take an hour, and an answer too.

use crate::{clock, text};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than the longest wait for a run that a command asks for, 60 s.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Listens to a server for the time of one request.
#[derive(Clone)]
pub(super) struct Silence {
    /// None where it may be silent for ever.
    max: Option<Duration>,
    /// Pieces that were sent.
    sent: Arc<AtomicU64>,
}

/// It was silent for so long.
#[derive(Debug, thiserror::Error)]
#[error("it took the request and has been silent for {}", text::duration(clock::millis(*.0)))]
pub(super) struct Silent(Duration);

impl Silence {
    pub(super) fn new(max: Option<Duration>) -> Self {
        Silence {
            max,
            sent: Arc::default(),
        }
    }

    /// What is sent, counted.
    pub(super) fn sending(
        &self,
        pieces: BoxStream<'static, io::Result<Bytes>>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let sent = Arc::clone(&self.sent);
        pieces.inspect(move |_| {
            sent.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// What comes of it, unless nothing comes and nothing is sent for so long.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Silent> {
        let Some(max) = self.max else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        loop {
            let sent = self.sent.load(Ordering::Relaxed);
            if let Ok(done) = tokio::time::timeout(max, &mut work).await {
                return Ok(done);
            }
            if sent == self.sent.load(Ordering::Relaxed) {
                return Err(Silent(max));
            }
        }
    }

    /// The pieces of an answer, each in good time.
    pub(super) fn hearing(
        self,
        pieces: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
    ) -> BoxStream<'static, Result<Bytes, String>> {
        let pieces = (self, pieces.boxed());
        let in_time = stream::unfold(pieces, |(silence, mut pieces)| async move {
            let piece = match silence.in_time(pieces.next()).await {
                Ok(piece) => piece?.map_err(|error| text::chain(&error)),
                Err(silent) => Err(silent.to_string()),
            };
            Some((piece, (silence, pieces)))
        });
        in_time.boxed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::{Client, Payload, Transport};
    use axum::http::Method;
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(50);

    /// A client of a server that takes connections and says nothing.
    async fn of_silent_server() -> (Client, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut client = Client::of_server(&url, None).unwrap();
        if let Transport::Http { silence_max, .. } = &mut client.transport {
            assert_eq!(silence_max.replace(SHORT), Some(SILENCE_MAX));
        }
        (client.waiting(Arc::new(|_| {})), listener)
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up_by_name() {
        let (client, listener) = of_silent_server().await;
        let error = client.get::<()>("/runs").await.unwrap_err().to_string();
        let place = listener.local_addr().unwrap();
        let why = "it took the request and has been silent for 50 ms";
        assert_eq!(error, format!("cannot reach http://{place}: {why}"));
    }

    #[tokio::test]
    async fn an_answer_that_stops_half_way_is_given_up() {
        let (client, listener) = of_silent_server().await;
        let half = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[";
            stream.write_all(head).await.unwrap();
            std::future::pending::<()>().await
        };
        let asked = client.send(Method::GET, "/runs", &[], Payload::None);
        let read = async { asked.await.unwrap().bytes().await.unwrap_err().to_string() };
        let error = tokio::select! {
            error = read => error,
            () = half => String::new(),
        };
        assert!(error.contains("silent for 50 ms"), "{error}");
    }

    #[tokio::test]
    async fn whoever_is_still_sending_is_not_given_up() {
        let silence = Silence::new(Some(SHORT));
        let pieces = stream::iter([0; 3]).then(|_| async {
            // Each in time, and all of them longer than may be silent.
            tokio::time::sleep(SHORT * 4 / 5).await;
            Ok(Bytes::new())
        });
        let sending = silence.sending(pieces.boxed());
        let sent = silence.in_time(sending.count()).await;
        assert_eq!(sent.unwrap(), 3);
    }
}
