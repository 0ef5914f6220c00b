//! Certificates: a CA bundle as people store it, and what is wrong with a server's certificate, in words.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, RootCertStore};

/// A bundle's certificates, read as OpenSSL reads them, and a little more kindly: text around the blocks is passed
/// over, so are line ends of any kind, and blocks need no line of their own. Blocks that hold no certificate, such as
/// revocation lists, count as text. A certificate is never dropped in silence. Errors quote nothing of the bundle:
/// whoever named it may not be allowed to read it.
pub(super) fn bundle(bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // In DER, a certificate begins with the tag of a sequence.
    if bundle.first() == Some(&0x30) {
        return Err("it is DER, not PEM; convert it with: openssl x509 -inform der -outform pem".to_owned());
    }
    let text = String::from_utf8_lossy(bundle);
    let blocks: Vec<_> = blocks(&text)?.into_iter().filter(|block| block.is_certificate()).collect();
    if blocks.is_empty() {
        let no_key =
            if text.contains("PRIVATE KEY-----") { ", but a private key, which belongs elsewhere" } else { "" };
        return Err(format!("there is no certificate in it{no_key}"));
    }
    let mut certificates = vec![];
    // Adding to a store finds what is no certificate, while it is known that the failure is the bundle's.
    let mut store = RootCertStore::empty();
    for (index, block) in blocks.iter().enumerate() {
        let certificate = block.certificate().map(CertificateDer::from);
        let certificate =
            certificate.filter(|certificate| store.add(certificate.clone()).is_ok()).ok_or_else(|| {
                let written = if block.body.contains("\\n") { r"; line breaks are written as \n in it" } else { "" };
                format!("certificate {} of {} in it cannot be read{written}", index + 1, blocks.len())
            })?;
        certificates.push(certificate);
    }
    Ok(certificates)
}

struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

impl Block<'_> {
    fn is_certificate(&self) -> bool {
        matches!(self.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    /// The certificate in DER. OpenSSL's own `TRUSTED CERTIFICATE` appends what the certificate is trusted for, which
    /// is left out.
    fn certificate(&self) -> Option<Vec<u8>> {
        let text: String = self.body.chars().filter(|c| !c.is_whitespace()).collect();
        let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let mut der = GeneralPurpose::new(&STANDARD, any_padding).decode(text).ok()?;
        if self.label == "TRUSTED CERTIFICATE" {
            der.truncate(sequence_length(&der)?);
        }
        Some(der)
    }
}

/// All blocks of a text, wherever they begin.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    let mut blocks = vec![];
    let mut parts = text.split("-----BEGIN ");
    parts.next();
    for part in parts {
        let block = part.split_once("-----").and_then(|(label, rest)| {
            let body = rest.split_once("-----END ")?;
            let ends = body.1.starts_with(&format!("{label}-----"));
            ends.then_some(Block { label, body: body.0 })
        });
        let number = blocks.len() + 1;
        blocks.push(block.ok_or_else(|| format!("block {number} of it does not end as it begins; it may be cut off"))?);
    }
    Ok(blocks)
}

/// The length of the sequence that DER begins with, its header included.
fn sequence_length(der: &[u8]) -> Option<usize> {
    let (header, length) = match *der {
        [0x30, 0x81, length, ..] => (3, usize::from(length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(high) << 8 | usize::from(low)),
        [0x30, length, ..] if length < 0x80 => (2, usize::from(length)),
        _ => return None,
    };
    Some(header + length).filter(|whole| *whole <= der.len())
}

/// What is wrong with a TLS connection, and what to do. rustls shows most of it by the names of its types.
pub(super) fn words(error: &rustls::Error) -> String {
    if let rustls::Error::InvalidCertificate(problem) = error {
        return certificate_words(problem);
    }
    if matches!(error, rustls::Error::InvalidMessage(_)) {
        return "what answers there does not speak TLS; is it an http server, or another port?".to_owned();
    }
    if matches!(error, rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_)) {
        return format!("the server and this client could not agree; TLS 1.2 or 1.3 is needed ({error})");
    }
    error.to_string()
}

fn certificate_words(problem: &CertificateError) -> String {
    use CertificateError as E;
    if let E::NotValidForNameContext { .. } | E::ExpiredContext { .. } | E::NotValidYetContext { .. } = problem {
        return format!("the server's {problem}");
    }
    if *problem == E::UnknownIssuer {
        return "the server's certificate comes from an authority that is not trusted here; put the authority's certificate \
                into the CA bundle"
            .to_owned();
    }
    // The name of the cause, which the library gives no words to.
    let name = if let E::Other(other) = problem { other.0.to_string() } else { problem.to_string() };
    if name == "CaUsedAsEndEntity" {
        return "the server's own certificate is a CA certificate (CA:TRUE), perhaps a self-signed one; give the server a \
                certificate that this CA has signed, or a self-signed one that says CA:FALSE"
            .to_owned();
    }
    format!("the server's certificate is refused ({name})")
}

#[cfg(test)]
mod tests;
