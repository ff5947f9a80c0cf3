//! The token: needed where others reach the address, and asked for wherever there is one.

use crate::belt::Bench;
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
        for path in ["/runs", "/health", "/openapi.json", "/nothing"] {
            let answer = up.ask("GET", path, &[("authorization", shown)], b"");
            assert!(answer.refused(401).contains("--token-file"));
        }
    }
    up.get("/runs").refused(401);
    // Who has it may come by any name: there is a proxy, perhaps.
    let headers = [("authorization", right.as_str()), ("host", "belt.example")];
    up.ask("GET", "/runs", &headers, b"").is(200);

    let server = format!("http://{}", up.address);
    let list = ["runs", "list", "--server", &server];
    let said = bench.belt(&[&list[..], &["--token-file", "token"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    assert_ne!(bench.belt(&list).code, 0);
    // The user of the folder is who he is.
    up.connect_locally().ask("GET", "/runs", &[], b"").is(200);
}
