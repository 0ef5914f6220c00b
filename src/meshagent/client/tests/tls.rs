//! R6: a server that cannot prove who it is never sees the key.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A server for `name` whose certificate ends in `last_year`.
    fn server(&self, name: &str, last_year: i32) -> TestServer {
        crypto();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        TestServer::start_tls(config, |_| answer(200, &json!({"client_id": "c1"})))
    }
}

fn trusting(server: SocketAddr, ca_bundle: Option<Vec<u8>>) -> MeshAgent {
    let timeouts = Timeouts { connect: Duration::from_secs(2), ..Timeouts::default() };
    let connection = connection(&format!("https://{server}"));
    MeshAgent::new(Connection { ca_bundle, timeouts, ..connection }).unwrap()
}

#[tokio::test]
async fn a_server_of_the_ca_bundle_is_trusted() {
    let (stranger, authority) = (Authority::new("stranger"), Authority::new("ours"));
    let server = authority.server("127.0.0.1", 2100);
    let bundle = [b"# ours\n".to_vec(), stranger.pem(), authority.pem()].concat();
    assert!(trusting(server.address, Some(bundle)).get_client("c1").await.unwrap().is_some());
    assert_eq!(server.seen()[0].headers["authorization"], format!("Bearer {KEY}"));
}

#[tokio::test]
async fn an_unproved_server_never_sees_the_key() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("stranger");
    for (server, bundle, said) in [
        (authority.server("127.0.0.1", 2100), None, "an authority that is not trusted here"),
        (authority.server("127.0.0.1", 2100), Some(stranger.pem()), "an authority that is not trusted here"),
        (authority.server("127.0.0.1", 2021), Some(authority.pem()), "expired"),
        (authority.server("other.example", 2100), Some(authority.pem()), "not valid for name"),
    ] {
        let agent = trusting(server.address, bundle);
        let error = agent.get_client("c1").await.unwrap_err();
        assert_eq!(error.kind, Kind::NotSent(NotSent::Tls), "{error}");
        assert!(error.detail.contains(said), "{error}");
        assert_eq!(rejected(post(&agent).await), Kind::NotSent(NotSent::Tls));
        assert_eq!(server.lines(), [""; 0]);
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_never_sees_the_key() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let chatty = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        }
    });
    assert_eq!(rejected(post(&trusting(chatty, None)).await), Kind::NotSent(NotSent::Tls));
    let said = trusting(chatty, None).get_client("c1").await.unwrap_err().detail;
    assert_eq!(said, "what answers there does not speak TLS; is it an http server, or another port?");
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_connect_timeout_and_nothing_was_sent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = trusting(silent.local_addr().unwrap(), None);
    assert_eq!(rejected(post(&agent).await), Kind::NotSent(NotSent::NoConnection));
}

/// F21.
#[tokio::test]
async fn a_ca_certificate_that_serves_as_the_servers_own_is_explained() {
    crypto();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
    let server = TestServer::start_tls(config, |_| answer(200, &json!({"client_id": "c1"})));
    let error = trusting(server.address, Some(certificate.pem().into_bytes())).get_client("c1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /oauth/clients/{client_id}: not sent: no trusted TLS connection to the server; check apiUrl, caBundleRef and \
         the server's certificate: the server's own certificate is a CA certificate (CA:TRUE), perhaps a self-signed one; give \
         the server a certificate that this CA has signed, or a self-signed one that says CA:FALSE"
    );
}

/// F21.
#[tokio::test]
async fn a_bundle_without_a_line_break_between_its_certificates_is_trusted_whole() {
    let (stranger, authority) = (Authority::new("stranger"), Authority::new("ours"));
    let server = authority.server("127.0.0.1", 2100);
    let bundle = [stranger.pem().trim_ascii_end(), &authority.pem()].concat();
    assert!(trusting(server.address, Some(bundle)).get_client("c1").await.unwrap().is_some());
}
