//! Who may call: on a loopback address no web page, elsewhere whoever has the token, on the socket its user. What tells
//! nothing is told to all.

use super::Problem;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// What is shown without the token: it is the same on every host and tells nothing of this one's runs, and neither a browser
/// nor a probe has a token.
const FOR_ALL: [&str; 3] = ["/docs", "/openapi.json", "/health"];

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Over TCP, from wherever: it grants nothing and names no paths.
    Network,
    /// Over the state folder's own socket, or from this process: of the same user, on the same machine.
    Local,
}

/// What a TCP listener asks of a request.
#[derive(Clone)]
pub struct Guard {
    address: SocketAddr,
    token: Option<Arc<str>>,
}

impl Guard {
    /// Of a listener on that address; `token` is what clients must show, and needed where it is not loopback.
    pub fn new(address: SocketAddr, token: Option<Arc<str>>) -> Self {
        Guard { address, token }
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// 401 without the token; 403 of another origin or for another host: a page that a browser shows must not reach it.
    pub fn admit(&self, request: &Request) -> Result<(), Problem> {
        if let Some(token) = &self.token {
            return match is_for_all(request) {
                true => Ok(()),
                false => check_token(request.headers(), token),
            };
        }
        if !self.address.ip().is_loopback() {
            return Err(forbidden("this address needs a token"));
        }
        self.check_host(request)?;
        self.check_origin(request)
    }

    /// A name that was bound to this address by somebody else is a browser's, not a client's.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => "",
        };
        let in_uri = request
            .uri()
            .authority()
            .map(|authority| authority.as_str());
        let all = [Some(host), in_uri];
        match all.into_iter().flatten().all(|host| self.is_own(host)) {
            true => Ok(()),
            false => Err(forbidden("this `Host` is not that of a loopback address")),
        }
    }

    fn check_origin(&self, request: &Request) -> Result<(), Problem> {
        let is_own = |origin: &str| {
            origin
                .strip_prefix("http://")
                .is_some_and(|host| self.is_own(host))
        };
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        if !origins.all(|origin| origin.to_str().is_ok_and(is_own)) {
            return Err(forbidden("a page of another origin may not call"));
        }
        let site = request.headers().get("sec-fetch-site");
        match site.map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(forbidden("a page of another site may not call")),
        }
    }

    /// Whether a host, with or without a port, is this listener's.
    fn is_own(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        port == Some(self.address.port()) && (is_loopback || name.eq_ignore_ascii_case("localhost"))
    }
}

fn is_for_all(request: &Request) -> bool {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    // A slash at its end is optional.
    let path = request.uri().path().trim_end_matches('/');
    looks && FOR_ALL.contains(&path)
}

fn check_token(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let shown = headers
        .get(header::AUTHORIZATION)
        .map(|shown| shown.as_bytes());
    let shown = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
    // In constant time for tokens of one length; its length is no secret.
    let is_right = shown.is_some_and(|shown| shown.ct_eq(token.as_bytes()).into());
    match is_right {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "show the token: `authorization: Bearer …`; `belt` takes it with --token-file",
        )),
    }
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}
