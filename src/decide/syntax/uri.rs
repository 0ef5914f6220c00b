//! The form of URIs and URLs. The rules of `api::schema::uri` say the same; `tests/integration/forms.rs` compares the
//! two.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::Url;

use super::{Fault, shorter};
use crate::api::{fault, limits, words};

/// An absolute redirect URI without a fragment.
pub(in crate::decide) fn redirect_uri(uri: &str) -> Result<(), Fault> {
    characters(uri)?;
    fault::FRAGMENT.unless(!uri.contains('#'))?;
    fault::AMPERSANDS.unless(uri.matches('&').count() <= limits::AMPERSANDS)?;
    let (scheme, rest) = split_scheme(uri).ok_or(fault::NOT_ABSOLUTE)?;
    fault::REFUSED_SCHEME.unless(!words::REFUSED_SCHEMES.contains(&&*scheme))?;
    let web = is_web(&scheme);
    fault::NO_PLACE.unless(if web { names_a_host(rest) } else { !rest.is_empty() })?;
    check_parts(uri, rest, web)
}

/// The address of a logo.
pub(in crate::decide) fn logo_url(url: &str) -> Result<(), Fault> {
    web_url(url, fault::LOGO_URL)
}

/// The address of a MeshAgent API.
pub(in crate::decide) fn api_url(url: &str) -> Result<(), Fault> {
    fault::QUERY.unless(!url.contains('?'))?;
    fault::FRAGMENT.unless(!url.contains('#'))?;
    web_url(url, fault::API_URL)
}

/// An absolute `http` or `https` URL, or the fault of one that is not.
fn web_url(url: &str, otherwise: Fault) -> Result<(), Fault> {
    characters(url)?;
    let web = split_scheme(url).filter(|(scheme, rest)| is_web(scheme) && names_a_host(rest));
    let (_, rest) = web.ok_or(otherwise)?;
    check_parts(url, rest, true)
}

/// The characters of a URI; a backslash is none: it is a slash to some parsers of URLs and not to others.
fn characters(uri: &str) -> Result<(), Fault> {
    shorter(uri, limits::URI)?;
    let in_a_uri = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    fault::NOT_OF_A_URI.unless(!uri.is_empty() && uri.bytes().all(in_a_uri))
}

/// The scheme in lower case, and what follows its colon.
fn split_scheme(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn is_web(scheme: &str) -> bool {
    ["https", "http"].contains(&scheme)
}

/// What stands between `//` and the path, in what follows a scheme.
fn authority(rest: &str) -> Option<&str> {
    rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next())
}

fn names_a_host(rest: &str) -> bool {
    authority(rest).is_some_and(|authority| !authority.is_empty() && !authority.starts_with(':'))
}

/// Names the part of a URI that is wrong; `rest`: what follows its scheme. Only a URI that is not of the web may have
/// an empty host.
fn check_parts(uri: &str, rest: &str, web: bool) -> Result<(), Fault> {
    if let Some(authority) = authority(rest).filter(|authority| !authority.is_empty()) {
        fault::USER.unless(!authority.contains('@'))?;
        let (host, port) = split_port(authority);
        fault::PORT.unless(port.is_none_or(is_port))?;
        fault::HOST.unless(is_host(host, web))?;
    }
    let is_encoded = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    fault::PERCENT.unless(uri.split('%').skip(1).all(is_encoded))?;
    // The parser tells what no rule can: whether a host name in its xn-- form can be decoded.
    fault::HOST.unless(Url::parse(uri).is_ok())
}

/// Host and port. The colons of an IPv6 address stand in its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let bracketed = authority.find(']').map_or(0, |end| end + 1);
    match authority[bracketed..].find(':') {
        Some(colon) => (&authority[..bracketed + colon], Some(&authority[bracketed + colon + 1..])),
        None => (authority, None),
    }
}

fn is_port(port: &str) -> bool {
    !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok()
}

/// Whether this is the name or the address of a host. A host that ends in a number is an IPv4 address to a browser,
/// whichever way it is written; only the usual way is accepted.
fn is_host(host: &str, web: bool) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_ipv4_mapped().is_none());
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = match last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    host.split('.').all(is_label) && (!web || !is_number || host.parse::<Ipv4Addr>().is_ok())
}
