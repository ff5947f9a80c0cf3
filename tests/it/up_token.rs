//! The token: needed where others reach the address, and asked for wherever there is one.

use crate::belt::Bench;
use crate::live::Live;
use crate::up::{Up, up as args};

const TOKEN: &str = "a-token-of-enough-characters";

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let bench = Bench::new(&[]);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let said = bench.belt(&["up", "--listen", address, "--state", "state"]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("--token-file FILE"), "{said:?}");
    }
    for (token, words) in [
        ("short", "16 visible characters"),
        ("one that has spaces in it", "16 visible"),
        ("", "16 visible"),
    ] {
        bench.write("token", token);
        let said = bench.belt(&args(&["--token-file", "token"]));
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    }
    let said = bench.belt(&args(&["--token-file", "none"]));
    assert_eq!(said.code, 2, "{said:?}");
    assert!(!bench.path("state").exists(), "nothing is made for nobody");
}

#[test]
fn with_a_token_only_who_shows_it_is_let_in() {
    let bench = Bench::new(&["echo"]);
    bench.write("token", format!("{TOKEN}\n"));
    let up = Up::with(&bench, &["--token-file", "token"]);
    let right = format!("Bearer {TOKEN}");
    for shown in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a",
        &format!("bearer{TOKEN}"),
        &format!("Basic {TOKEN}"),
        &format!("{right}x"),
        &right[..right.len() - 1],
    ] {
        for path in ["/runs", "/metrics", "/owner", "/docs/x", "/nothing"] {
            let answer = up.ask("GET", path, &[("authorization", shown)], b"");
            assert!(answer.refused(401).contains("--token-file"));
            assert_eq!(answer.header("www-authenticate"), "bearer");
        }
    }
    up.get("/runs").refused(401);
    // Who has it may come by any name: there is a proxy, perhaps.
    let headers = [("authorization", right.as_str()), ("host", "belt.example")];
    up.ask("GET", "/runs", &headers, b"").is(200);

    clients_show_it(&bench, &up);
    // The user of the folder is who he is.
    up.connect_locally().ask("GET", "/runs", &[], b"").is(200);
}

#[test]
fn what_is_the_same_on_every_host_is_shown_without_the_token_and_nothing_else() {
    let bench = Bench::new(&[]);
    bench.write("token", TOKEN);
    let up = Up::with(&bench, &["--token-file", "token"]);
    for path in ["/docs", "/docs/", "/openapi.json", "/health", "/health/"] {
        for headers in [&[][..], &[("host", "belt.example")]] {
            let answer = up.ask("GET", path, headers, b"");
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        for method in ["POST", "PUT", "DELETE"] {
            up.ask(method, path, &[], b"{}").refused(401);
        }
    }
    let document = up.get("/openapi.json").is(200);
    for path in document["paths"].as_object().unwrap().keys() {
        if path != "/health" {
            up.get(&path.replace(['{', '}'], "x")).refused(401);
        }
    }
    for path in ["//docs", "/docs/../runs", "/docs/%2e%2e/runs", "/%64ocs"] {
        up.get(path).refused(401);
    }
}

#[test]
fn on_every_address_of_this_machine_nothing_is_told_without_the_token() {
    let bench = Bench::new(&["echo"]);
    bench.write("token", format!("{TOKEN}\n"));
    let listen = ["up", "--listen", "0.0.0.0:0", "--state", "state"];
    let listen = [&listen[..], &["--token-file", "token"]].concat();
    let up = Up::of(&bench, Live::start(bench.command(&listen)));
    assert!(up.address.ip().is_unspecified());
    let own = format!("127.0.0.1:{}", up.address.port());
    let (right, wrong) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}x"));
    for host in [own.as_str(), "belt.example", "192.0.2.1"] {
        let ask = |method, headers: &[(&str, &str)]| {
            let headers = [&[("host", host)], headers].concat();
            up.ask(method, "/runs", &headers, b"{}")
        };
        for method in ["GET", "POST", "DELETE"] {
            ask(method, &[]).refused(401);
            ask(method, &[("authorization", &wrong)]).refused(401);
            // A page may not come in as what it is, either.
            ask(method, &[("origin", &format!("http://{host}"))]).refused(401);
        }
        ask("GET", &[("authorization", &right)]).is(200);
        ask("POST", &[("authorization", &right)]).refused(400);
    }
    clients_show_it(&bench, &up);
}

/// With the flag or the variable `belt` is let in; without it, or with another one's, it is not.
fn clients_show_it(bench: &Bench, up: &Up) {
    bench.write("other", format!("{TOKEN}x"));
    let server = format!("http://127.0.0.1:{}", up.address.port());
    let list = ["runs", "list", "--server", &server];
    let with = |token: &str| bench.belt(&[&list[..], &["--token-file", token]].concat());
    let said = with("token");
    assert_eq!((said.code, said.stdout.as_str()), (0, "no runs yet\n"));
    for said in [bench.belt(&list), with("other")] {
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("show the token"), "{said:?}");
    }
    let mut command = bench.command(&["runs", "list"]);
    command.env("BELT_SERVER", &server);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    command.env("BELT_TOKEN_FILE", "token");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    // Where a folder is named it is meant, whatever the environment says.
    let mut command = bench.command(&["runs", "list", "--state", "state"]);
    command.env("BELT_SERVER", "http://127.0.0.1:1");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    let said = bench.belt(&["runs", "list", "--token-file", "token"]);
    assert!(
        said.code == 2 && said.stderr.contains("--server URL"),
        "{said:?}"
    );
}
