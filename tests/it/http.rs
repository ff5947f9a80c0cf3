//! A client that can say anything: well-formed requests by default, any bytes where a test wants to be hostile.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

trait Both: Read + Write {}
impl<S: Read + Write> Both for S {}

/// A connection that requests follow each other on.
pub struct Connection {
    stream: BufReader<Box<dyn Both + Send>>,
    host: String,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub id: String,
    pub event: String,
    pub data: Value,
}

/// Server-sent events, as they come.
pub struct Frames {
    connection: Connection,
    text: String,
}

impl Connection {
    pub fn new(stream: impl Read + Write + Send + 'static, host: impl ToString) -> Self {
        Connection {
            stream: BufReader::new(Box::new(stream)),
            host: host.to_string(),
        }
    }

    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(method, path, headers, body);
        self.answer().unwrap()
    }

    /// A request with what it needs, where `headers` does not say otherwise.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let length = body.len().to_string();
        let mut all = vec![("host", self.host.as_str())];
        if matches!(method, "POST" | "PUT") {
            all.extend([
                ("content-type", "application/json"),
                ("content-length", &length),
            ]);
        }
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in all.iter().chain(headers) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        self.write(&request).unwrap();
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Status and headers; an error where the server has hung up.
    pub fn head(&mut self) -> io::Result<(u16, String)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, head.to_ascii_lowercase()))
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let (status, head) = self.head()?;
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else if let Some(length) = header(&head, "content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut body)?;
        }
        Ok(Answer { status, head, body })
    }

    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut size = String::new();
        self.stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

impl Answer {
    /// Its JSON, if that is its status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        match self.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&self.body).unwrap(),
        }
    }

    /// A problem of that status, with all that a problem has. Returns its words.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        let problem = self.is(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        // Conveyor's clients read this one.
        problem["error"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        header(&self.head, name).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Iterator for Frames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = frame.lines();
                    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    found.unwrap_or_default().to_owned()
                };
                // A sign of life is no event.
                if !frame.starts_with(':') {
                    let data = serde_json::from_str(&field("data")).unwrap();
                    let (id, event) = (field("id"), field("event"));
                    return Some(Frame { id, event, data });
                }
            }
            let chunk = self.connection.chunk().ok()??;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }
}

impl Frames {
    /// Of a connection whose answer's head has been read.
    pub fn new(connection: Connection) -> Self {
        Frames {
            connection,
            text: String::new(),
        }
    }
}
