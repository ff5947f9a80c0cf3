//! HTTP/1.1 over one connection, as cheap as it can be: whoever measures shares the machine with what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection that stays.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("it is a connection");
        let read = Vec::with_capacity(16 << 10);
        Connection { stream, read }
    }

    /// Sends a request and waits for its answer, which has a length.
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        let sent = self.stream.write_all(request);
        sent.expect("the server takes the request");
        self.read.clear();
        loop {
            if let Some(answer) = parse(&self.read) {
                return answer;
            }
            let mut chunk = [0; 16 << 10];
            let read = self.stream.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server ended the connection");
            self.read
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

fn parse(read: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(read).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().expect("it is HTTP");
    let mut lines = head.lines();
    let bytes = lines.find_map(|line| line.strip_prefix("content-length: "));
    let bytes: usize = bytes.map_or(0, |bytes| bytes.parse().expect("it is a number"));
    (body.len() >= bytes).then(|| Answer {
        status,
        body: body.to_owned(),
    })
}

/// A request without a body.
pub fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

/// A request with a JSON body.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
