//! Sends a request to `http://<with.authority>/` through WASI's own HTTP, and leaves what came of it. Or builds so much
//! of one that the host would have to hold: `with.field_bytes` of header fields, or a `with.body`.

use guests::{Failure, Outcome, Request, json, left};
use wasi::http::outgoing_handler::handle;
use wasi::http::types::{Fields, OutgoingRequest, Scheme};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let with = guests::with(&request);
    if let Some(bytes) = with["field_bytes"].as_u64() {
        let value = vec![b'x'; 1 << 10];
        let fields = Fields::new();
        for n in 0..bytes >> 10 {
            fields
                .append(&format!("field-{n}"), &value)
                .expect("the host takes the field");
        }
    }
    let outgoing = OutgoingRequest::new(Fields::new());
    if with["body"] == true {
        return left(json!(outgoing.body().is_ok()));
    }
    let is_set = outgoing.set_scheme(Some(&Scheme::Http)).is_ok()
        && outgoing.set_authority(with["authority"].as_str()).is_ok()
        && outgoing.set_path_with_query(Some("/")).is_ok();
    assert!(is_set, "the host takes the address");
    let answer = match handle(outgoing, None) {
        Ok(future) => {
            future.subscribe().block();
            let answer = future
                .get()
                .expect("it is there")
                .expect("it is taken once");
            answer.map(drop)
        }
        Err(error) => Err(error),
    };
    left(json!(format!("{answer:?}")))
}

wit_bindgen::generate!({
    inline: r#"
        package guests:http;

        world http {
            import wasi:http/outgoing-handler@0.2.0;
        }

        package wasi:io@0.2.0 {
            interface poll {
                resource pollable {
                    block: func();
                }
            }
        }

        package wasi:http@0.2.0 {
            interface types {
                use wasi:io/poll@0.2.0.{pollable};

                variant scheme { HTTP, HTTPS, other(string) }
                record DNS-error-payload { rcode: option<string>, info-code: option<u16> }
                record TLS-alert-received-payload {
                    alert-id: option<u8>, alert-message: option<string>,
                }
                record field-size-payload { field-name: option<string>, field-size: option<u32> }
                variant error-code {
                    DNS-timeout, DNS-error(DNS-error-payload), destination-not-found,
                    destination-unavailable, destination-IP-prohibited, destination-IP-unroutable,
                    connection-refused, connection-terminated, connection-timeout,
                    connection-read-timeout, connection-write-timeout, connection-limit-reached,
                    TLS-protocol-error, TLS-certificate-error,
                    TLS-alert-received(TLS-alert-received-payload), HTTP-request-denied,
                    HTTP-request-length-required, HTTP-request-body-size(option<u64>),
                    HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
                    HTTP-request-header-section-size(option<u32>),
                    HTTP-request-header-size(option<field-size-payload>),
                    HTTP-request-trailer-section-size(option<u32>),
                    HTTP-request-trailer-size(field-size-payload), HTTP-response-incomplete,
                    HTTP-response-header-section-size(option<u32>),
                    HTTP-response-header-size(field-size-payload),
                    HTTP-response-body-size(option<u64>),
                    HTTP-response-trailer-section-size(option<u32>),
                    HTTP-response-trailer-size(field-size-payload),
                    HTTP-response-transfer-coding(option<string>),
                    HTTP-response-content-coding(option<string>), HTTP-response-timeout,
                    HTTP-upgrade-failed, HTTP-protocol-error, loop-detected, configuration-error,
                    internal-error(option<string>),
                }
                variant header-error { invalid-syntax, forbidden, immutable }
                resource fields {
                    constructor();
                    append: func(name: string, value: list<u8>) -> result<_, header-error>;
                }
                resource outgoing-body;
                resource outgoing-request {
                    constructor(headers: fields);
                    body: func() -> result<outgoing-body>;
                    set-path-with-query: func(path-with-query: option<string>) -> result;
                    set-scheme: func(scheme: option<scheme>) -> result;
                    set-authority: func(authority: option<string>) -> result;
                }
                resource request-options;
                resource incoming-response;
                resource future-incoming-response {
                    subscribe: func() -> pollable;
                    get: func() -> option<result<result<incoming-response, error-code>>>;
                }
            }

            interface outgoing-handler {
                use types.{
                    outgoing-request, request-options, future-incoming-response, error-code,
                };
                handle: func(request: outgoing-request, options: option<request-options>)
                    -> result<future-incoming-response, error-code>;
            }
        }
    "#,
    generate_all,
});
