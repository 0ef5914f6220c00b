use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A self-signed certificate in PEM.
fn certificate() -> String {
    CertificateParams::new(vec![]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn der(pem: &str) -> Vec<u8> {
    bundle(pem.as_bytes()).unwrap().remove(0).to_vec()
}

fn block(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

/// F21.
#[test]
fn a_bundle_is_read_however_its_certificates_are_put_together() {
    let (one, other) = (certificate(), certificate());
    let expected = [der(&one), der(&other)];
    let (trimmed, crlf) = (one.trim_end(), one.replace('\n', "\r\n"));
    let old = one.replace(" CERTIFICATE", " X509 CERTIFICATE");
    // Trust in a server's purpose, as `openssl x509 -addtrust serverAuth` appends it.
    let trust = b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    let trusted = block("TRUSTED CERTIFICATE", &[&der(&one)[..], trust].concat());
    let list = block("X509 CRL", b"list");
    for bundled in [
        format!("{one}{other}"),
        format!("{trimmed}{other}"),
        format!("{crlf}{other}"),
        format!("{}{other}", one.replace('\n', "\r")),
        format!("\u{feff}# ours\nsubject=/CN=x\n{one}\nissuer=/CN=ü\n{other}bye"),
        format!("  {}  {other}", one.replace('\n', "\n    ")),
        format!("{old}{other}"),
        format!("{trusted}{other}"),
        format!("{list}{one}{list}{other}"),
        format!("{}{other}", one.replace("=\n", "\n")),
    ] {
        let read: Vec<_> = bundle(bundled.as_bytes()).unwrap().iter().map(|der| der.to_vec()).collect();
        assert_eq!(read, expected, "{bundled}");
    }
}

/// F21.
#[test]
fn nothing_is_dropped_in_silence_and_nothing_of_a_bundle_is_quoted() {
    let one = certificate();
    let cut = &one[..one.len() / 2];
    let no_key = block("PRIVATE KEY", b"key");
    for (bundled, problem) in [
        (String::new(), "there is no certificate in it"),
        ("hunter2".to_owned(), "there is no certificate in it"),
        (no_key, "there is no certificate in it, but a private key, which belongs elsewhere"),
        (format!("{one}{cut}"), "block 2 of it does not end as it begins; it may be cut off"),
        (format!("{cut}{one}"), "block 1 of it does not end as it begins; it may be cut off"),
        (
            one.replace("END CERTIFICATE", "END TRUSTED CERTIFICATE"),
            "block 1 of it does not end as it begins; it may be cut off",
        ),
        (format!("{one}{}", block("CERTIFICATE", b"hunter2")), "certificate 2 of 2 in it cannot be read"),
        (format!("{}{one}", block("TRUSTED CERTIFICATE", b"0\x05abc")), "certificate 1 of 2 in it cannot be read"),
        (one.replace("M", "hunter2!"), "certificate 1 of 1 in it cannot be read"),
        (
            one.trim_end().replace('\n', "\\n"),
            r"certificate 1 of 1 in it cannot be read; line breaks are written as \n in it",
        ),
    ] {
        assert_eq!(bundle(bundled.as_bytes()), Err(problem.to_owned()), "{bundled}");
    }
    let binary = "it is DER, not PEM; convert it with: openssl x509 -inform der -outform pem";
    assert_eq!(bundle(&der(&one)), Err(binary.to_owned()));
}

#[test]
fn a_refused_certificate_is_explained() {
    let refused = |problem| words(&rustls::Error::InvalidCertificate(problem));
    assert_eq!(refused(CertificateError::BadSignature), "the server's certificate is refused (BadSignature)");
    let other = rustls::OtherError(std::sync::Arc::new(std::io::Error::other("SomeCause")));
    assert_eq!(refused(CertificateError::Other(other)), "the server's certificate is refused (SomeCause)");
}
