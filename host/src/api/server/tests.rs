//! Slow clients, with limits that are short enough to wait for.

#![allow(clippy::unwrap_used)]

use super::*;
use axum::routing::get;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose every path sends without an end, and its address.
async fn endless(times: Times) -> (Server, SocketAddr) {
    let endless = || async {
        let piece = || Ok::<_, Infallible>(bytes::Bytes::from_static(&[b'x'; 4096]));
        Body::from_stream(futures::stream::repeat_with(piece))
    };
    let service = Router::new().route("/", get(endless));
    // A server ends with its sender: that one has none that is dropped early.
    let ends = Box::leak(Box::new(watch::Sender::new(false)));
    let mut server = Server::new(service, ends.subscribe());
    server.times = times;
    let address = "127.0.0.1:0".parse().unwrap();
    let (listening, address) = Listening::tcp(address, None).await.unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listening).await });
    (server, address)
}

/// Waits until the only connection has ended.
async fn until_left(server: &Server) {
    // The listener itself holds a place for the next one.
    let others = u32::try_from(server.places.count - 1).unwrap();
    let left = server.places.free.acquire_many(others);
    drop(tokio::time::timeout(PATIENCE, left).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_client_that_sends_its_head_byte_by_byte_is_let_go() {
    let times = Times {
        head: Duration::from_millis(200),
        write: PATIENCE,
    };
    let (server, address) = endless(times).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let dribble = async {
        // Each byte is in time, all of them are not.
        while client.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dribble).await.unwrap();
    until_left(&server).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let times = Times {
        head: PATIENCE,
        write: Duration::from_millis(200),
    };
    let (server, address) = endless(times).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 15];
    client.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    until_left(&server).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let never = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, Infallible>>());
    let read = super::super::body::read(never, 10, Duration::from_millis(10));
    assert_eq!(read.await.unwrap_err().status, 408);
}

#[tokio::test]
async fn a_burst_of_connections_waits_to_be_taken() {
    let address = "127.0.0.1:0".parse().unwrap();
    let (_listening, address) = Listening::tcp(address, None).await.unwrap();
    let burst = futures::future::join_all((0..400).map(|_| TcpStream::connect(address)));
    // One that finds no room is tried again for two minutes.
    let connected = tokio::time::timeout(PATIENCE, burst).await.unwrap();
    assert!(connected.iter().all(Result::is_ok));
}
