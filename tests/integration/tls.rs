//! A server that speaks TLS before the simulator, which does not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Listens until the test's process ends. Each connection is for one request.
pub struct Terminator {
    /// The URL of the listener.
    pub url: String,
    /// The certificate of its authority, in PEM.
    pub ca: String,
    requests: Arc<AtomicUsize>,
}

/// A certificate authority that nobody knows.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Terminator {
    /// A server that passes each request on to the server at `http://<address>`.
    pub fn before(plain: &str) -> Self {
        // Another test may have installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (authority, key) = (authority(), KeyPair::generate().unwrap());
        let certificate =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (requests, address) = (Arc::<AtomicUsize>::default(), plain.trim_start_matches("http://").to_owned());
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, count, address) = (Arc::clone(&config), Arc::clone(&count), address.clone());
                thread::spawn(move || {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    // A client that does not trust the certificate ends the handshake.
                    if let Some(request) = request(&mut stream) {
                        count.fetch_add(1, Ordering::Relaxed);
                        let answer = pass_on(&address, &request);
                        let _ = stream.write_all(&answer);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                });
            }
        });
        Self { url, ca: authority.pem(), requests }
    }

    /// How many requests it has read.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Reads one request, and makes it the last of its connection.
fn request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    head.truncate(head.len() - 2);
    Some([head.as_slice(), b"Connection: close\r\n\r\n", &body].concat())
}

fn pass_on(address: &str, request: &[u8]) -> Vec<u8> {
    let mut answer = vec![];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
