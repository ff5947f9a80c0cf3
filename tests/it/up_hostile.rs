//! Requests that are broken or hostile: each gets its answer, or none, and the server goes on.

use crate::belt::Bench;
use crate::up::Up;
use serde_json::json;

fn well(up: &Up) {
    assert_eq!(up.get("/health").is(200)["status"], "ok");
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let deep = "[".repeat(100_000);
    let number = format!(
        r#"{{"name": "app", "schema": {{}}, "version": {}1}}"#,
        "9".repeat(400)
    );
    for body in [
        &b"{"[..],
        b"",
        b"null",
        b"[]",
        b"3",
        b"\"x\"",
        b"{\"name\": \"app\", \"name\": \"app\"}",
        b"\xff\xfe{}",
        b"{\"name\": \"\\ud800\"}",
        b"{} {}",
        b"\0",
        deep.as_bytes(),
        number.as_bytes(),
        b"name: app\nschema: {}\n",
    ] {
        for path in [
            "/resources",
            "/runs",
            "/pipelines",
            "/resource-definitions",
            "/resource-definitions/apply",
            "/logs",
        ] {
            let answer = up.ask("POST", path, &[], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!(matches!(answer.status, 400), "{path} {shown}: {answer:?}");
            answer.refused(400);
        }
    }
    assert_eq!(up.get("/resource-definitions").is(200), json!([]));
}

#[test]
fn what_is_no_http_is_refused_or_hung_up_on() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let host = format!("host: {}", up.address);
    let many = "x: y\r\n".repeat(200);
    let long = "y".repeat(1_000_000);
    for request in [
        "\r\n\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00".to_owned() + "\r\n\r\n",
        format!("GET / HTTP/3.0\r\n{host}\r\n\r\n"),
        format!("GET /runs HTTP/1.1\r\n{host}\r\n{many}\r\n"),
        format!("GET /runs HTTP/1.1\r\n{host}\r\nx: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\n{host}\r\n\r\n"),
        format!("POST /runs HTTP/1.1\r\n{host}\r\ncontent-length: -1\r\n\r\n"),
        format!(
            "POST /runs HTTP/1.1\r\n{host}\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"
        ),
        format!(
            "POST /runs HTTP/1.1\r\n{host}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
        ),
        format!(
            "POST /runs HTTP/1.1\r\n{host}\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
        ),
    ] {
        let mut connection = up.connect();
        // It may hang up before all of it is written.
        let _ = connection.write(request.as_bytes());
        if let Ok(answer) = connection.answer() {
            let shown = &request[..request.len().min(90)];
            assert!((400..500).contains(&answer.status), "{shown}: {answer:?}");
        }
        well(&up);
    }
}

#[test]
fn a_body_of_100_mb_is_refused_and_the_server_goes_on() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let length = (100 << 20).to_string();
    let piece = vec![b' '; 1 << 20];
    // One that says how much it is, and one that does not; both read what comes back only after all is written.
    for headers in [
        [("content-length", length.as_str())],
        [("transfer-encoding", "chunked")],
    ] {
        let mut connection = up.connect();
        let mut head = format!(
            "POST /runs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n",
            up.address
        );
        head.push_str(&format!("{}: {}\r\n\r\n", headers[0].0, headers[0].1));
        connection.write(head.as_bytes()).unwrap();
        for _ in 0..100 {
            let framed = match headers[0].0 {
                "content-length" => piece.clone(),
                _ => [b"100000\r\n", &piece[..], b"\r\n"].concat(),
            };
            if connection.write(&framed).is_err() {
                break;
            }
        }
        let said = connection.answer().unwrap().refused(413);
        assert!(said.contains("4 MiB"), "{said}");
        well(&up);
    }
    // Who asks first is told before he sends anything.
    let mut connection = up.connect();
    let headers = [
        ("content-length", length.as_str()),
        ("expect", "100-continue"),
    ];
    connection.send("POST", "/runs", &headers, b"");
    connection.answer().unwrap().refused(413);
}
