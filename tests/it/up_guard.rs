//! Who may call: no page that a browser shows; and paths are named over the socket alone.

use crate::belt::Bench;
use crate::live::Live;
use crate::up::Up;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_page_of_another_origin_or_a_name_bound_to_this_address_gets_nothing() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let port = up.address.port();
    let own = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("[::1]:{port}"),
    ];
    for host in &own {
        up.ask("GET", "/runs", &[("host", host)], b"").is(200);
        let origin = format!("http://{host}");
        up.ask("GET", "/runs", &[("origin", &origin)], b"").is(200);
    }
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        "localhost",
        &format!("127.0.0.1.evil.example:{port}"),
        &format!("127.0.0.1:{port}@evil.example"),
        &format!("192.168.0.1:{port}"),
        "127.0.0.1:1",
        "",
    ] {
        let answer = up.ask("GET", "/runs", &[("host", host)], b"");
        assert!(answer.refused(403).contains("Host"), "{host}");
        let origin = format!("http://{host}");
        up.ask("GET", "/runs", &[("origin", &origin)], b"")
            .refused(403);
    }
    for origin in [
        "null",
        "https://evil.example",
        &format!("https://127.0.0.1:{port}"),
        "file://",
        "x",
    ] {
        up.ask("POST", "/runs", &[("origin", origin)], b"{}")
            .refused(403);
        up.ask("DELETE", "/pipelines/line", &[("origin", origin)], b"")
            .refused(403);
    }
    for site in ["cross-site", "same-site", "odd"] {
        up.ask("GET", "/runs", &[("sec-fetch-site", site)], b"")
            .refused(403);
    }
    for site in ["same-origin", "none"] {
        up.ask("GET", "/docs", &[("sec-fetch-site", site)], b"");
        assert_eq!(
            up.ask("GET", "/health", &[("sec-fetch-site", site)], b"")
                .status,
            200
        );
    }
    let answer = up.ask(
        "OPTIONS",
        "/runs",
        &[("origin", "https://evil.example")],
        b"",
    );
    answer.refused(403);
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
}

#[test]
fn hosts_are_not_told_twice_nor_by_the_request_line() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let own = up.address;
    for request in [
        format!("GET /runs HTTP/1.1\r\nhost: {own}\r\nhost: evil.example\r\n\r\n"),
        format!("GET http://evil.example/runs HTTP/1.1\r\nhost: {own}\r\n\r\n"),
        "GET /runs HTTP/1.1\r\n\r\n".to_owned(),
        "GET /runs HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let mut connection = up.connect();
        connection.write(request.as_bytes()).unwrap();
        let status = connection.answer().unwrap().status;
        assert!(matches!(status, 400 | 403), "{request}: {status}");
    }
    let mut connection = up.connect();
    let request = format!("GET http://{own}/health HTTP/1.1\r\nhost: {own}\r\n\r\n");
    connection.write(request.as_bytes()).unwrap();
    connection.answer().unwrap().is(200);
}

#[test]
fn writes_need_a_content_type_that_no_form_has() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let wasm = fs::read(crate::belt::guest("echo")).unwrap();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonx",
    ] {
        for (method, path) in [
            ("POST", "/runs"),
            ("POST", "/logs"),
            ("POST", "/runs/x/cancel"),
            ("PUT", "/pipelines/line"),
            ("PUT", "/drivers/x"),
        ] {
            let body = if path == "/drivers/x" {
                &wasm[..]
            } else {
                b"{}"
            };
            up.ask(method, path, &[("content-type", kind)], body)
                .refused(415);
        }
    }
    up.ask(
        "POST",
        "/pipelines",
        &[("content-type", "application/wasm")],
        b"{}",
    )
    .refused(415);
    let json = [("content-type", "Application/JSON; charset=utf-8")];
    up.ask(
        "POST",
        "/resource-definitions",
        &json,
        br#"{"name": "app", "schema": {}}"#,
    )
    .is(201);
}

#[test]
fn paths_of_this_machine_are_for_its_user_alone() {
    let bench = Bench::new(&["gate"]);
    let up = Up::start(&bench);
    let mode = fs::symlink_metadata(bench.path("state/belt.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    up.line("line", json!([{"id": "s", "driver": "gate"}]));
    bench.write("work/s.open", "");
    let resource = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {}});
    for local in [
        json!({"workspace": bench.path("work")}),
        json!({"config": bench.path("belt.yaml")}),
        json!({"out": "/tmp"}),
        json!({}),
    ] {
        let body = json!({"resource": resource, "local": local});
        let said = up.post("/runs", &body).is(400);
        assert_eq!(said["errors"][0]["field"], "/local");
    }
    let body = json!({"resource": resource, "local": {"workspace": bench.path("work")}});
    let mut connection = up.connect_locally();
    let run = connection
        .ask("POST", "/runs?wait=120s", &[], body.to_string().as_bytes())
        .is(201);
    assert_eq!(run["status"], "succeeded");
    for verb in ["retry", "rerun", "resume"] {
        let path = format!("/runs/latest/{verb}");
        up.post(&path, &json!({"local": {"workspace": "/"}}))
            .refused(400);
    }
}

#[test]
fn on_the_loopback_address_of_ipv6_it_is_the_same() {
    let bench = Bench::new(&[]);
    let listen = ["up", "--listen", "[::1]:0", "--state", "state"];
    let up = Up::of(&bench, Live::start(bench.command(&listen)));
    assert!(up.address.is_ipv6());
    let port = up.address.port();
    for host in [
        format!("[::1]:{port}"),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        up.ask("GET", "/runs", &[("host", &host)], b"").is(200);
        let origin = format!("http://{host}");
        up.ask("GET", "/runs", &[("origin", &origin)], b"").is(200);
    }
    for host in [
        "[::1]",
        "[::1]:1",
        &format!("[::2]:{port}"),
        &format!("[::]:{port}"),
        &format!("[fe80::1]:{port}"),
        &format!("[::1].evil.example:{port}"),
        &format!("evil.example:{port}"),
    ] {
        let answer = up.ask("GET", "/runs", &[("host", host)], b"");
        assert!(answer.refused(403).contains("Host"), "{host}");
        let origin = format!("http://{host}");
        up.ask("GET", "/runs", &[("origin", &origin)], b"")
            .refused(403);
    }
    // Any other address needs a token, of either family.
    let said = bench.belt(&["up", "--listen", "[::]:0", "--state", "other"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("--token-file"), "{said:?}");
}
