//! The network for a driver that was granted none: every call is denied, and counted.

use super::guest::Guest;
use super::meter::Meter;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, Lift, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::{Network, TcpSocket, UdpSocket};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

/// Puts a refusal that counts in the place of every call by which a guest can begin to use a network.
///
/// # Errors
/// wasmtime's, where there is no such call.
pub(super) fn deny_sockets(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Family = (IpAddressFamily,);
    let denied = ErrorCode::AccessDenied;
    deny::<Family, TcpSocket>(linker, "tcp-create-socket", "create-tcp-socket", denied)?;
    deny::<Family, UdpSocket>(linker, "udp-create-socket", "create-udp-socket", denied)?;
    let denied = ErrorCode::PermanentResolverFailure;
    type Name = (Resource<Network>, String);
    deny::<Name, ResolveAddressStream>(linker, "ip-name-lookup", "resolve-addresses", denied)
}

/// Refuses the bodies of messages that cannot be sent anyhow: each would hold megabytes of the host's.
///
/// # Errors
/// As [`deny_sockets`].
pub(super) fn deny_bodies(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    deny_body::<HostOutgoingRequest>(linker, "[method]outgoing-request.body")?;
    deny_body::<HostOutgoingResponse>(linker, "[method]outgoing-response.body")
}

fn deny_body<Message: 'static>(linker: &mut Linker<Guest>, call: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance("wasi:http/types@0.2.12")?;
    instance.func_wrap(
        call,
        move |guest: StoreContextMut<'_, Guest>, _: (Resource<Message>,)| {
            guest.data().meter.deny();
            let refused: Result<Resource<HostOutgoingBody>, ()> = Err(());
            Ok((refused,))
        },
    )
}

fn deny<Arguments, Made>(
    linker: &mut Linker<Guest>,
    interface: &str,
    call: &str,
    code: ErrorCode,
) -> wasmtime::Result<()>
where
    Arguments: ComponentNamedList + Lift + 'static,
    Made: 'static,
{
    let mut instance = linker.instance(&format!("wasi:sockets/{interface}@0.2.12"))?;
    instance.func_wrap(
        call,
        move |guest: StoreContextMut<'_, Guest>, _: Arguments| {
            guest.data().meter.deny();
            let refused: Result<Resource<Made>, ErrorCode> = Err(code);
            Ok((refused,))
        },
    )
}

/// Denies every HTTP request with `http-request-denied`.
#[derive(Debug)]
pub(super) struct DeniedHttp(pub(super) Arc<Meter>);

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
        self.0.deny();
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
