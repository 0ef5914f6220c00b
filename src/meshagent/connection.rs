//! What a connection to one project needs, and the HTTP client that is built from it.

use std::sync::Arc;
use std::time::Duration;

use super::api_url::ApiUrl;
use super::certificate;
use super::error::CallObservation;
use super::message;
use crate::proxy::Proxy;
use crate::secret::ApiKey;

/// An observer that is told of each attempt that went out.
pub type Observer = Arc<dyn Fn(CallObservation) + Send + Sync>;

/// A gate that is asked right before each attempt that would change something, and says whether that may go out.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// How long an idle connection is kept: shorter than any usual keep-alive of a server (5 s), so that a POST is seldom
/// written into a connection that the server is closing, since its outcome would be unknown.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// One project of one server, seen with one key.
pub struct Connection {
    pub base_url: ApiUrl,
    /// The project that all paths name.
    pub project_id: String,
    /// The key, sent as a bearer token to this server only.
    pub key: ApiKey,
    /// Certificates in PEM that are trusted besides the public ones.
    pub ca_bundle: Option<Vec<u8>>,
    /// The proxy by way of which the server is reached, if any.
    pub proxy: Option<Proxy>,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// The observer of attempts, for metrics.
    pub observer: Observer,
    /// The gate, closed when this process may not write any more.
    pub gate: Gate,
}

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The time for name, connection and TLS handshake of one attempt.
    pub connect: Duration,
    /// The longest silence of a server in an attempt: until the head of the answer, and between two reads of its body.
    pub read: Duration,
    /// The time for one call with all its attempts; in a listing, for one page.
    pub call: Duration,
    /// The time for a listing with all its pages.
    pub listing: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            call: Duration::from_secs(30),
            listing: Duration::from_secs(120),
        }
    }
}

/// Why a connection's settings cannot be used. No call was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The project id would not be one segment of a path.
    #[error("the project id is empty or a dot; copy it from MeshAgent Studio")]
    ProjectId,
    /// The CA bundle is not PEM, or its certificates cannot be read.
    #[error("the CA bundle cannot be used: {0}")]
    CaBundle(String),
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// The HTTP client's settings: no redirects and no retries of its own, so that neither the key nor a POST goes where
/// this module did not send it.
pub(super) fn http_client(
    timeouts: &Timeouts,
    ca_bundle: Option<&[u8]>,
    proxy: Option<&Proxy>,
) -> Result<reqwest::ClientBuilder, BuildError> {
    // reqwest panics without a crypto provider.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(BuildError::Client("no TLS crypto provider was installed".to_owned()));
    }
    // reqwest's own reading of the environment differs from kubectl's.
    let client = reqwest::Client::builder().no_proxy();
    let client = match proxy {
        // The proxy is for any server, since there is only one.
        Some(proxy) => client.proxy(reqwest::Proxy::all(proxy.address("socks5h")).map_err(unbuilt)?),
        None => client,
    };
    Ok(client
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("meshagent-operator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read)
        .pool_idle_timeout(KEEP_IDLE)
        .tls_certs_merge(trusted(ca_bundle)?))
}

/// The certificates that are trusted. The public roots are compiled in, since the operator's image holds no files;
/// reqwest adds those of the platform where there are some.
fn trusted(ca_bundle: Option<&[u8]>) -> Result<Vec<reqwest::Certificate>, BuildError> {
    let own = ca_bundle.map(certificate::bundle).transpose().map_err(BuildError::CaBundle)?.unwrap_or_default();
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    public
        .chain(&own)
        .map(|certificate| reqwest::Certificate::from_der(certificate))
        .collect::<Result<_, _>>()
        .map_err(unbuilt)
}

/// Shows the cause alone: the error itself may show an address with its password.
fn unbuilt(error: reqwest::Error) -> BuildError {
    BuildError::Client(message::root_cause(&error.without_url()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_roots_are_trusted_without_any_file() {
        let public = trusted(None).unwrap();
        assert!(public.len() > 50, "only {} roots", public.len());
    }

    #[test]
    fn a_bundle_adds_to_the_public_roots() {
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
        let both = trusted(Some(own.repeat(2).as_bytes())).unwrap();
        assert_eq!(both.len(), trusted(None).unwrap().len() + 2);
    }
}
