//! Outgoing HTTP for a driver that was granted none: every request is denied at the call.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

/// Denies every request with `http-request-denied`.
#[derive(Debug, Clone, Copy)]
pub struct DeniedHttp;

type Body = UnsyncBoxBody<Bytes, Error>;
type Errors = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<Body>, Errors), Error>;

impl WasiHttpHooks for DeniedHttp {
    fn send_request(
        &mut self,
        _: http::Request<Body>,
        _: Option<RequestOptions>,
        _: Errors,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
