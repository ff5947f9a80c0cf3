//! Server-sent events, as a client reads them.

use super::{Client, ClientError};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::time::Duration;

/// The longest event.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// After so long without a word, three signs of life, the other end is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Events as they come.
pub struct Stream {
    client: Client,
    path: String,
    /// The id of the last event that came, or of the one after which the stream began.
    last: Option<String>,
    body: BoxStream<'static, Result<Bytes, String>>,
    place: String,
    read: Vec<u8>,
    /// Whether anything came since it was opened.
    has_come: bool,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Its id, where it has one.
    pub id: String,
    /// Its name; `message` where it has none.
    pub name: String,
    /// What it says.
    pub data: String,
}

impl Client {
    /// The stream of events at that path, after the one of that id. One that breaks off is opened again after the last that
    /// came, where the client waits for its server.
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn stream(&self, path: &str, after: Option<&str>) -> Result<Stream, ClientError> {
        let answer = self.open(path, after).await?;
        Ok(Stream {
            client: self.clone(),
            path: path.to_owned(),
            last: after.map(str::to_owned),
            body: answer.body,
            place: answer.place,
            read: Vec::new(),
            has_come: false,
        })
    }
}

impl Stream {
    /// The next one; `None` where the stream has come to its proper end.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] where it broke off, and what opening it again comes to.
    pub async fn next(&mut self) -> Result<Option<Incoming>, ClientError> {
        loop {
            match self.next_here().await {
                Ok(None) => return Ok(None),
                Ok(Some(event)) => {
                    self.has_come = true;
                    if !event.id.is_empty() {
                        self.last = Some(event.id.clone());
                    }
                    return Ok(Some(event));
                }
                Err(error) => self.again(error).await?,
            }
        }
    }

    /// Opens it again after the last event that came, where the client waits for its server.
    ///
    /// # Errors
    /// Every [`ClientError`]; `error` where it does not wait, or somebody wants a stop.
    pub async fn again(&mut self, error: ClientError) -> Result<(), ClientError> {
        let may = match &self.client.patience {
            None => false,
            Some(patience) => self.has_come || patience.rest().await,
        };
        if !may {
            return Err(error);
        }
        let answer = self.client.open(&self.path, self.last.as_deref()).await?;
        self.body = answer.body;
        self.read.clear();
        self.has_come = false;
        Ok(())
    }

    /// The id of the last event that came.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    async fn next_here(&mut self) -> Result<Option<Incoming>, ClientError> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let rest = self.read.split_off(end + 2);
                let block = std::mem::replace(&mut self.read, rest);
                // Without a field it is a sign of life.
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Ok(Some(event));
                }
                continue;
            }
            let broken = |why: String| ClientError::Unreachable {
                place: self.place.clone(),
                why,
            };
            if self.read.len() > EVENT_BYTES_MAX {
                return Err(broken("an event is too long".to_owned()));
            }
            match tokio::time::timeout(SILENCE_MAX, self.body.next()).await {
                Err(_) => return Err(broken("it has fallen silent".to_owned())),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(piece))) => self.read.extend_from_slice(&piece),
                Ok(Some(Err(why))) => return Err(broken(why)),
            }
        }
    }
}

fn parse(block: &str) -> Option<Incoming> {
    let mut event = Incoming {
        name: "message".to_owned(),
        ..Incoming::default()
    };
    let mut lines = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut event.id),
            "event" => value.clone_into(&mut event.name),
            "data" => lines.push(value),
            _ => {}
        }
    }
    event.data = lines.join("\n");
    (!lines.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_whole_and_a_sign_of_life_is_none() {
        let read = parse("id: 3.1\nevent: step_ended\ndata: {\"a\":\ndata:  1}\n\n");
        let expected = Incoming {
            id: "3.1".to_owned(),
            name: "step_ended".to_owned(),
            data: "{\"a\":\n 1}".to_owned(),
        };
        assert_eq!(read, Some(expected));
        assert_eq!(parse(": heartbeat\n\n"), None);
    }
}
