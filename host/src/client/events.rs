//! Server-sent events, as a client reads them.

use super::ClientError;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

/// The longest event.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// Events as they come.
pub struct Stream {
    body: BoxStream<'static, Result<Bytes, String>>,
    place: String,
    read: Vec<u8>,
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

impl Stream {
    pub(super) fn new(body: BoxStream<'static, Result<Bytes, String>>, place: String) -> Self {
        Stream {
            body,
            place,
            read: Vec::new(),
        }
    }

    /// The next one; `None` where the stream has come to its proper end.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] where it broke off.
    pub async fn next(&mut self) -> Result<Option<Incoming>, ClientError> {
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
            match self.body.next().await {
                None => return Ok(None),
                Some(Ok(piece)) => self.read.extend_from_slice(&piece),
                Some(Err(why)) => return Err(broken(why)),
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
