//! A certificate authority of one control plane.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::{Error, Result};

/// X.520's number of the attribute `organizationName`.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate and its private key, as PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Signs the certificates of the API server and of all its clients.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn create() -> Result<Self> {
        let subject = "the certificate authority";
        let mut params = params(subject);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = key(subject).and_then(|key| CertifiedIssuer::self_signed(params, key).map_err(failed(subject)))?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate, as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for the API server, on the loopback interface and in the cluster.
    pub(crate) fn server(&self) -> Result<Identity> {
        let mut params = params("kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in ["localhost", "kubernetes.default.svc"] {
            let name = name.try_into().map_err(failed(name))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        self.sign(params, "kube-apiserver")
    }

    /// A certificate by which the API server knows a user and its groups, two at most.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        let mut params = params(user);
        // A group is an organization of the subject. rcgen's subject holds each attribute once, but takes the same one
        // by its number for another. Two groups are what a service account has.
        let attributes = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())];
        if groups.len() > attributes.len() {
            return Err(Error::Groups { user: user.to_owned(), most: attributes.len() });
        }
        for (attribute, group) in attributes.into_iter().zip(groups) {
            params.distinguished_name.push(attribute, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, user)
    }

    fn sign(&self, mut params: CertificateParams, subject: &str) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = key(subject)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed(subject))?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// The public and the private half of the key that signs service account tokens.
pub(crate) fn service_account_key() -> Result<(String, String)> {
    let key = key("service accounts")?;
    Ok((key.public_key_pem(), key.serialize_pem()))
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // The validity allows for clocks that differ a little, and for a demo that is kept for weeks.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 365 * DAY).into();
    params
}

fn key(subject: &str) -> Result<KeyPair> {
    KeyPair::generate().map_err(failed(subject))
}

fn failed(subject: &str) -> impl FnOnce(rcgen::Error) -> Error {
    let subject = subject.to_owned();
    move |source| Error::Certificate { subject, source }
}
