//! A TCP proxy between two programs of a test, which can be slow, deaf, or gone, from a given word on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of words that were waited for. What comes after them, on either way, goes nowhere.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    /// They do not get through.
    Stop,
    /// They get through.
    LetThroughAndStop,
}

struct Watch {
    words: &'static str,
    then: Then,
    seen: Sender<()>,
}

#[derive(Default)]
struct How {
    /// Each piece is held for so long.
    latency_ms: AtomicU64,
    /// What comes goes nowhere, and nobody is told.
    is_deaf: AtomicBool,
    /// The same of what comes back alone.
    is_mute: AtomicBool,
    /// How many connections were accepted, and how many of the first of these are half open.
    accepted: AtomicU64,
    stranded: AtomicU64,
    watch: Mutex<Option<Watch>>,
    open: Mutex<Vec<TcpStream>>,
}

pub struct Proxy {
    pub address: SocketAddr,
    how: Arc<How>,
}

impl Proxy {
    /// To that port on loopback.
    pub fn to(port: u16) -> Proxy {
        Proxy::from(TcpListener::bind("127.0.0.1:0").unwrap(), port)
    }

    /// The same from that port of another loopback address: for a server that asks for its own name.
    pub fn beside(port: u16) -> Proxy {
        Proxy::from(TcpListener::bind(("127.0.0.2", port)).unwrap(), port)
    }

    fn from(listener: TcpListener, port: u16) -> Proxy {
        let address = listener.local_addr().unwrap();
        let how: Arc<How> = Arc::default();
        let shared = Arc::clone(&how);
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", port))) else {
                    continue;
                };
                let nth = 1 + shared.accepted.fetch_add(1, Ordering::Relaxed);
                let both = [(&near, &far, true), (&far, &near, false)];
                for (from, to, is_out) in both {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    shared.open.lock().unwrap().push(from.try_clone().unwrap());
                    let how = Arc::clone(&shared);
                    thread::spawn(move || carry(from, to, is_out, nth, &how));
                }
            }
        });
        Proxy { address, how }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub fn delay(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.how.latency_ms.store(ms, Ordering::Relaxed);
    }

    /// Half open: both ends are there, and nothing comes through.
    pub fn deafen(&self, is_deaf: bool) {
        self.how.is_deaf.store(is_deaf, Ordering::Relaxed);
    }

    /// Whoever is connected is half open from now on; whoever comes is let through.
    pub fn strand(&self) {
        let accepted = self.how.accepted.load(Ordering::Relaxed);
        self.how.stranded.store(accepted, Ordering::Relaxed);
    }

    /// What is asked comes through, and no answer.
    pub fn mute(&self, is_mute: bool) {
        self.how.is_mute.store(is_mute, Ordering::Relaxed);
    }

    /// Waits for words on their way out, and tells when they were there.
    pub fn watch(&self, words: &'static str, then: Then) -> Receiver<()> {
        let (seen, told) = channel();
        *self.how.watch.lock().unwrap() = Some(Watch { words, then, seen });
        told
    }

    /// Cuts what is open; whoever comes again is let through.
    pub fn cut(&self) {
        for open in self.how.open.lock().unwrap().drain(..) {
            let _ = open.shutdown(Shutdown::Both);
        }
    }
}

impl How {
    /// Whether what is waited for ends in these bytes; from then on the proxy is deaf.
    fn springs(&self, bytes: &[u8]) -> Option<Watch> {
        let mut watch = self.watch.lock().unwrap();
        let words = watch.as_ref()?.words.as_bytes();
        let is_there = bytes.windows(words.len()).any(|part| part == words);
        let sprung = is_there.then(|| watch.take()).flatten();
        if sprung.is_some() {
            self.is_deaf.store(true, Ordering::Relaxed);
        }
        sprung
    }
}

/// Of what went out so much is looked at again: words may come in two pieces.
const TAIL: usize = 256;

fn carry(mut from: TcpStream, mut to: TcpStream, is_out: bool, nth: u64, how: &How) {
    let mut buffer = [0; 64 << 10];
    let mut out = Vec::new();
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let latency = how.latency_ms.load(Ordering::Relaxed);
        if latency > 0 {
            hold(Duration::from_millis(latency));
        }
        if is_out {
            out.extend_from_slice(&buffer[..read]);
            let sprung = how.springs(&out);
            out.drain(..out.len().saturating_sub(TAIL));
            if let Some(watch) = sprung {
                if watch.then == Then::LetThroughAndStop {
                    to.write_all(&buffer[..read]).unwrap();
                }
                watch.seen.send(()).unwrap();
            }
        }
        let is_mute = !is_out && how.is_mute.load(Ordering::Relaxed);
        let is_stranded = nth <= how.stranded.load(Ordering::Relaxed);
        if is_mute || is_stranded || how.is_deaf.load(Ordering::Relaxed) {
            continue;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[allow(
    clippy::disallowed_methods,
    reason = "the network is slow here; no test waits for it"
)]
fn hold(latency: Duration) {
    thread::sleep(latency);
}
