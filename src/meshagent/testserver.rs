//! An HTTP server for tests that does as it is told, also what no HTTP library would do: one thread per connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// The headers, by lower-case name.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// The reply to a request.
pub(super) enum Reply {
    /// Sends a whole answer, with further header lines; the connection stays.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Sends these bytes, then closes the connection.
    Raw(Vec<u8>),
    /// Sends these bytes, then nothing more.
    Hang(Vec<u8>),
    /// Sends these bytes, then one byte after the other for ever, with this time between them.
    Drip(Vec<u8>, Duration),
    /// Sends these bytes, then as many as the client takes.
    Flood(Vec<u8>),
}

/// An answer in JSON.
pub(super) fn json(status: u16, body: &serde_json::Value) -> Reply {
    Reply::Answer(status, vec![], body.to_string().into_bytes())
}

/// An answer without a body.
pub(super) fn status(status: u16) -> Reply {
    Reply::Answer(status, vec![], vec![])
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Listens on a port of its own until the test's process ends.
pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl TestServer {
    /// Answers requests in the clear.
    pub(super) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(handler, |mut stream, handler, seen| serve(&mut stream, handler, seen))
    }

    /// Answers requests over TLS.
    pub(super) fn start_tls(
        config: rustls::ServerConfig,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        Self::listen(handler, move |stream, handler, seen| {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            serve(&mut rustls::StreamOwned::new(connection, stream), handler, seen);
        })
    }

    /// Gives the n-th request the n-th of these replies, and the last one to all that follow.
    pub(super) fn script(replies: Vec<fn() -> Reply>) -> Self {
        let next = Mutex::new(0);
        Self::start(move |_| {
            let mut next = next.lock().unwrap();
            let reply = replies[(*next).min(replies.len() - 1)];
            *next += 1;
            reply()
        })
    }

    /// Answers the first requests with these bytes and a reset, since the request is left unread in the socket; all
    /// further ones by the handler.
    pub(super) fn resetting(
        times: usize,
        partial: &'static [u8],
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let left = Mutex::new(times);
        Self::listen(handler, move |mut stream, handler, seen| {
            if !take(&left) {
                return serve(&mut stream, handler, seen);
            }
            let mut head = [0; 8192];
            while let Ok(length @ 1..) = stream.peek(&mut head) {
                if let Some(request) = head[..length].windows(4).any(|end| end == b"\r\n\r\n").then(|| parse(&head)) {
                    seen.lock().unwrap().push(request);
                    let _ = stream.write_all(partial);
                    break;
                }
            }
        })
    }

    fn listen(
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        connection: impl Fn(TcpStream, &Handler, &Mutex<Vec<Request>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(vec![]));
        let (log, shared) = (seen.clone(), Arc::new((handler, connection)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, shared) = (log.clone(), shared.clone());
                thread::spawn(move || (shared.1)(stream, &shared.0, &log));
            }
        });
        Self { address, seen }
    }

    /// All requests so far, whether they were answered or not.
    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Method and target of all requests so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

fn take(left: &Mutex<usize>) -> bool {
    let mut left = left.lock().unwrap();
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

fn serve(stream: &mut (impl Read + Write), handler: &Handler, seen: &Mutex<Vec<Request>>) {
    while let Some(request) = read(stream) {
        seen.lock().unwrap().push(request.clone());
        match handler(&request) {
            Reply::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 204 {
                    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                }
                let answer = [head.as_bytes(), b"\r\n", &body].concat();
                if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => return write(stream, &bytes),
            Reply::Hang(bytes) => {
                write(stream, &bytes);
                let _ = stream.read(&mut [0]);
                return;
            }
            Reply::Drip(bytes, between) => {
                write(stream, &bytes);
                while stream.write_all(b"x").and_then(|()| stream.flush()).is_ok() {
                    thread::sleep(between);
                }
                return;
            }
            Reply::Flood(bytes) => {
                write(stream, &bytes);
                while stream.write_all(&[b' '; 65_536]).is_ok() {}
                return;
            }
        }
    }
}

fn write(stream: &mut impl Write, bytes: &[u8]) {
    // The client may be gone already, which is for the test to judge.
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

fn read(stream: &mut impl Read) -> Option<Request> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let mut request = parse(&head);
    let length = request.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn parse(head: &[u8]) -> Request {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers = lines
        .map_while(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Request { method: first.next().unwrap(), target: first.next().unwrap(), headers, body: vec![] }
}
