//! Tries to reach `127.0.0.1:<with.port>` and the name `localhost` through WASI's own sockets, and leaves what came
//! of it. The standard library would give up before it asked the host.

use guests::{Failure, Outcome, Request, json, left};
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::ip_name_lookup::resolve_addresses;
use wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasi::sockets::tcp_create_socket::create_tcp_socket;

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let port = guests::with(&request)["port"]
        .as_u64()
        .expect("`port` is a number");
    let port = u16::try_from(port).expect("`port` is one");
    let address = (127, 0, 0, 1);
    let remote = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address });
    let network = instance_network();
    let connected = create_tcp_socket(IpAddressFamily::Ipv4)
        .and_then(|socket| socket.start_connect(&network, remote));
    let resolved = resolve_addresses(&network, "localhost").map(drop);
    left(json!({"tcp": told(connected), "name": told(resolved)}))
}

fn told(done: Result<(), ErrorCode>) -> &'static str {
    match done {
        Ok(()) => "ok",
        Err(error) => error.name(),
    }
}

wit_bindgen::generate!({
    inline: r#"
        package guests:connect;

        world connect {
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
        }

        package wasi:sockets@0.2.0 {
            interface network {
                resource network;
                enum error-code {
                    unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
                    concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,
                    address-not-bindable, address-in-use, remote-unreachable, connection-refused,
                    connection-reset, connection-aborted, datagram-too-large, name-unresolvable,
                    temporary-resolver-failure, permanent-resolver-failure,
                }
                enum ip-address-family { ipv4, ipv6 }
                type ipv4-address = tuple<u8, u8, u8, u8>;
                type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;
                record ipv4-socket-address { port: u16, address: ipv4-address }
                record ipv6-socket-address {
                    port: u16, flow-info: u32, address: ipv6-address, scope-id: u32,
                }
                variant ip-socket-address { ipv4(ipv4-socket-address), ipv6(ipv6-socket-address) }
            }

            interface instance-network {
                use network.{network};
                instance-network: func() -> network;
            }

            interface ip-name-lookup {
                use network.{network, error-code};
                resource resolve-address-stream;
                resolve-addresses: func(network: borrow<network>, name: string)
                    -> result<resolve-address-stream, error-code>;
            }

            interface tcp {
                use network.{network, error-code, ip-socket-address};
                resource tcp-socket {
                    start-connect: func(network: borrow<network>, remote-address: ip-socket-address)
                        -> result<_, error-code>;
                }
            }

            interface tcp-create-socket {
                use network.{error-code, ip-address-family};
                use tcp.{tcp-socket};
                create-tcp-socket: func(address-family: ip-address-family)
                    -> result<tcp-socket, error-code>;
            }
        }
    "#,
    generate_all,
});
