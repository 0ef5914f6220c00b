//! The certificate that the webhook serves with, and the bundle of authorities that the API server verifies it by: read
//! from PEM, verified, and issued.

mod issue;

use std::fmt;
use std::sync::Arc;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, crypto};

pub use issue::{Issued, LIFETIME, issue};

/// The data keys of a Secret of the type `kubernetes.io/tls`, and what cert-manager adds: the authority's certificate.
pub mod data {
    pub const CERTIFICATE: &str = "tls.crt";
    pub const KEY: &str = "tls.key";
    pub const BUNDLE: &str = "ca.crt";
}

/// Why a certificate cannot be served with. The error never shows a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The certificate is not PEM, or holds none.
    #[error("there is no certificate in {}", data::CERTIFICATE)]
    NoCertificate,
    /// The key is not PEM, or not of a kind that can sign.
    #[error("there is no private key in {} that can be used", data::KEY)]
    NoKey,
    /// Key and certificate belong to different pairs.
    #[error("the private key is not that of the certificate")]
    OtherKey,
    /// The certificate does not verify.
    #[error("the certificate does not verify: {0}")]
    Unverified(String),
}

/// Certificates of authorities, newest first, without repetitions.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle of {}", self.0.len())
    }
}

impl FromIterator<CertificateDer<'static>> for Bundle {
    fn from_iter<I: IntoIterator<Item = CertificateDer<'static>>>(certificates: I) -> Self {
        let mut all: Vec<CertificateDer<'static>> = Vec::new();
        for certificate in certificates {
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        }
        Self(all)
    }
}

impl Bundle {
    /// The certificates of a PEM text that can be trusted; what else is in it is passed over.
    #[must_use]
    pub fn parse(pem: &[u8]) -> Self {
        let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        certificates.filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok()).collect()
    }

    /// The certificates as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let blocks: Vec<_> = self.0.iter().map(|der| pem::Pem::new("CERTIFICATE", der.to_vec())).collect();
        pem::encode_many_config(&blocks, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
    }

    /// The certificates, newest first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        // All of them were added to a store before.
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }
}

/// A certificate with its chain and its private key.
#[derive(Clone, Debug)]
pub struct Pair(Arc<CertifiedKey>);

impl Pair {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, Unusable> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(Unusable::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::NoKey)?;
        let provider = provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| Unusable::NoKey)?;
        let pair = CertifiedKey::new(chain, key);
        pair.keys_match().map_err(|_| Unusable::OtherKey)?;
        Ok(Self(Arc::new(pair)))
    }

    /// What a TLS server presents.
    #[must_use]
    pub fn presented(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }

    /// Whether both are the same certificate.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }

    /// Checks that a client who trusts the bundle accepts the certificate at this time, under each of these names.
    ///
    /// # Errors
    /// Says what the client would object to.
    pub fn verify(&self, bundle: &Bundle, names: &[ServerName<'_>], at: UnixTime) -> Result<(), Unusable> {
        let unverified = |error: rustls::Error| Unusable::Unverified(error.to_string());
        let [leaf, intermediates @ ..] = &self.0.cert[..] else { return Err(Unusable::NoCertificate) };
        let leaf = ParsedCertificate::try_from(leaf).map_err(unverified)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &bundle.roots(), intermediates, at, algorithms)
            .map_err(unverified)?;
        names.iter().try_for_each(|name| verify_server_name(&leaf, name)).map_err(unverified)
    }
}

/// The process's crypto provider; ring's in a process that installed none, such as a test.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(crypto::ring::default_provider()))
}

#[cfg(test)]
mod tests;
