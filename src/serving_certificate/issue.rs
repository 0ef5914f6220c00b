//! Issues a certificate by an authority of its own, whose key is forgotten at once.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;

/// How long a certificate is valid from its issue.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long before its issue a certificate is valid already: clocks of nodes differ.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// A new certificate with its key, and the authority that signed it.
pub struct Issued {
    pub authority: CertificateDer<'static>,
    /// The certificate, as PEM.
    pub certificate: String,
    /// The certificate's key, as PEM.
    pub key: String,
}

/// Issues a certificate for a server of these names, by a new authority.
///
/// # Errors
/// A name is not one that a certificate can hold.
pub fn issue(names: &[String], now: SystemTime) -> Result<Issued, rcgen::Error> {
    let mut params = valid(CertificateParams::default(), "meshagent-operator webhook authority", now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut params = valid(CertificateParams::new(names)?, "meshagent-operator webhook", now);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?.pem();
    Ok(Issued { authority: authority.der().clone(), certificate, key: key.serialize_pem() })
}

fn valid(mut params: CertificateParams, common_name: &str, now: SystemTime) -> CertificateParams {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFETIME).into();
    params
}
