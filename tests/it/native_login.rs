//! Ways into a broker, for host, drivers and `belt-exec`: certificates, credentials, users, tokens. What lets nobody in is named,
//! and nothing secret is.

use crate::belt::Bench;
use crate::live::Live;
use crate::nats::{Nats, bench};
use crate::program::Program;
use crate::up::up;
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A pipeline of the SDK's tester and `belt-exec`.
fn line() -> Bench {
    let bench = bench(&[], &[("a", ""), ("exec", "")]);
    bench.pipeline(
        "",
        &["{driver: a}", "{driver: exec, with: {run: [\"true\"]}}"],
    );
    bench
}

/// The flags of the host's and of a driver's that mean the same.
fn flags<'a>(args: &'a [(&'a str, String)]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut host, mut driver) = (Vec::new(), Vec::new());
    for (what, value) in args {
        let (of_host, of_driver) = match *what {
            "url" => ("--nats", "--nats"),
            "creds" => ("--nats-creds", "--creds"),
            "ca" => ("--nats-ca", "--tls-ca"),
            "cert" => ("--nats-cert", "--tls-cert"),
            _ => ("--nats-key", "--tls-key"),
        };
        host.extend([of_host, value.as_str()]);
        driver.extend([of_driver, value.as_str()]);
    }
    (host, driver)
}

/// All three come in, and a run goes through.
#[track_caller]
fn let_in(args: &[(&str, String)]) {
    let bench = line();
    let (host, driver) = flags(args);
    let run = Live::run(&bench, &host);
    let _drivers = [
        Program::tester(&bench, "a", &driver),
        Program::exec(&bench, &driver),
    ];
    let said = run.end();
    assert_eq!(said.code, 0, "{said:?}");
}

/// Neither host nor drivers come in; each says why, and where, and nothing that is secret.
#[track_caller]
fn refused(args: &[(&str, String)], shown: &str, why: &str) {
    let bench = line();
    let (host, driver) = flags(args);
    let said = Live::start(bench.command(&up(&host))).end();
    assert_eq!(said.code, 4, "{said:?}");
    names(
        &said.stderr,
        &format!("NATS at `{shown}` cannot be reached"),
        why,
    );
    let all = [&["--insecure-broker"], &driver[..]].concat();
    for program in [
        Program::tester(&bench, "a", &driver),
        Program::exec(&bench, &all),
    ] {
        let (code, said) = program.end();
        assert_eq!(code, 1, "{said}");
        names(&said, &format!("no way into the broker at {shown}"), why);
    }
}

#[track_caller]
fn names(said: &str, what: &str, why: &str) {
    assert!(said.contains(what) && said.contains(why), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn with_user_and_password() {
    let nats = Nats::of(
        "current",
        "authorization { user: \"me@here\", password: \"p@ss:secret/1\" }",
    );
    let with = |login: &str| nats.url().replace("//", &format!("//{login}@"));
    // As in any URL.
    let_in(&[("url", with("me%40here:p%40ss%3Asecret%2F1"))]);
    let_in(&[("url", with("me@here:p@ss:secret/1"))]);
    let why = "authorization violation";
    refused(&[("url", with("me%40here:secret-2"))], &nats.url(), why);
}

#[test]
fn with_a_token() {
    let nats = Nats::of("current", "authorization { token: secret-token }");
    let with = |login: &str| nats.url().replace("//", &format!("//{login}@"));
    let_in(&[("url", with("secret-token"))]);
    let why = "authorization violation";
    refused(&[("url", with("secret-other"))], &nats.url(), why);
}

#[test]
fn with_a_file_of_credentials() {
    let keys = [(); 2].map(|()| Keys::new());
    let nats = Nats::of("current", &keys[0].settings());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, keys: &Keys| written(&folder, name, &keys.credentials());
    let (right, others) = (file("right", &keys[0]), file("others", &keys[1]));
    let url = nats.url();
    let_in(&[("url", url.clone()), ("creds", right)]);
    let why = "authorization violation";
    refused(&[("url", url.clone()), ("creds", others)], &url, why);

    // One that is none, and one that is not there.
    let bench = line();
    let none = written(&folder, "none", "secret");
    for path in [none, "/nowhere/creds".to_owned()] {
        let args = [("url", url.clone()), ("creds", path.clone())];
        let (host, driver) = flags(&args);
        let said = Live::start(bench.command(&up(&host))).end();
        assert_eq!(said.code, 2, "{said:?}");
        names(&said.stderr, &path, "cannot be read");
        let (code, said) = Program::tester(&bench, "a", &driver).end();
        assert_eq!(code, 1, "{said}");
        names(&said, &path, "cannot be read");
    }
}

#[test]
fn over_tls_with_certificates_on_both_sides() {
    let [ours, others] = [(); 2].map(|()| Authority::new());
    let nats = Nats::of("current", &ours.settings());
    let url = nats.url().replace("nats:", "tls:");
    let own = |of: &Authority| [of.path("host.pem"), of.path("host.key")];
    let with = |ca: &Authority, own: Option<[String; 2]>| {
        let mut args = vec![("url", url.clone()), ("ca", ca.path("ca.pem"))];
        args.extend(["cert", "key"].into_iter().zip(own.into_iter().flatten()));
        args
    };
    let_in(&with(&ours, Some(own(&ours))));
    // Theirs is not trusted.
    refused(
        &with(&others, Some(own(&ours))),
        &url,
        "invalid peer certificate",
    );
    // Ours is not shown, or not trusted.
    refused(&with(&ours, None), &url, "received fatal alert");
    refused(
        &with(&ours, Some(own(&others))),
        &url,
        "received fatal alert",
    );
}

#[test]
fn who_names_whom_to_trust_speaks_nothing_but_tls() {
    let authority = Authority::new();
    let nats = Nats::start();
    let bench = line();
    let ca = authority.path("ca.pem");
    let args = [("url", nats.url()), ("ca", ca)];
    let (host, _) = flags(&args);
    let said = Live::start(bench.command(&up(&host))).end();
    assert_eq!(said.code, 4, "{said:?}");
    names(&said.stderr, "cannot be reached", &nats.url());
}

/// Who signs certificates, and one of a host that it signed.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let key = || rcgen::KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).unwrap();
        let own = key();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        written(&folder, "ca.pem", &issuer.pem());
        written(&folder, "host.pem", &certificate.pem());
        written(&folder, "host.key", &own.serialize_pem());
        Authority { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Of a server that lets nobody in whose certificate this one did not sign.
    fn settings(&self) -> String {
        let [ca, cert, key] = ["ca.pem", "host.pem", "host.key"].map(|name| self.path(name));
        format!("tls {{ ca_file: {ca:?}, cert_file: {cert:?}, key_file: {key:?}, verify: true }}")
    }
}

/// An operator, the accounts of a server's own and of those who use it, and one of these.
struct Keys {
    operator: KeyPair,
    accounts: [KeyPair; 2],
    user: KeyPair,
}

impl Keys {
    fn new() -> Keys {
        Keys {
            operator: KeyPair::new_operator(),
            accounts: [(); 2].map(|()| KeyPair::new_account()),
            user: KeyPair::new_user(),
        }
    }

    fn settings(&self) -> String {
        let operator = json!({"type": "operator", "version": 2});
        let operator = signed(&self.operator, &self.operator, operator);
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1,
            "wildcards": true, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
        let [system, all] = self.accounts.each_ref();
        let own = json!({"type": "account", "version": 2, "limits": {"subs": -1, "data": -1, "payload": -1,
            "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": true}});
        let own = signed(&self.operator, system, own);
        let account = json!({"type": "account", "version": 2, "limits": limits});
        let account = signed(&self.operator, all, account);
        let (system, all) = (system.public_key(), all.public_key());
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {system}: {own}, {all}: {account} }}"
        )
    }

    /// As `nsc` writes them.
    fn credentials(&self) -> String {
        let user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}});
        let token = signed(&self.accounts[1], &self.user, user);
        let seed = self.user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// A claim about somebody, signed.
fn signed(by: &KeyPair, of: &KeyPair, claim: Value) -> String {
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({"jti": "1", "iat": 1, "iss": by.public_key(), "sub": of.public_key(), "name": "test", "nats": claim});
    let encoded = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", encoded(&head), encoded(&claims));
    let signature = BASE64URL_NOPAD.encode(&by.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path: &Path = &folder.path().join(name);
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}
