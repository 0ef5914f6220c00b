//! The servers that a project of a namespace may name. Whoever may create one could else aim the operator at any
//! address that the operator reaches.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::api_url::ApiUrl;

/// A server as a URL names it: scheme, host and port, in the URL parser's spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiHost {
    scheme: String,
    host: Host<String>,
    port: u16,
}

/// The servers that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(BTreeSet<ApiHost>);

/// A text that names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no server")]
pub struct NotAHost(pub String);

impl ApiHost {
    /// The server that a URL names. Every URL of http and https names one.
    #[must_use]
    pub fn of(url: &ApiUrl) -> Option<Self> {
        Self::of_url(url.as_url())
    }

    fn of_url(url: &Url) -> Option<Self> {
        let host = match url.host()?.to_owned() {
            // A dot at the end, the root of all names, may be written or not.
            Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(&name).to_owned()),
            address @ (Host::Ipv4(_) | Host::Ipv6(_)) => address,
        };
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()? })
    }
}

impl FromStr for ApiHost {
    type Err = NotAHost;

    /// Reads `host`, `host:port` or `scheme://host:port`. The default scheme is https, the default port the scheme's.
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let refused = || NotAHost(text.to_owned());
        let (scheme, host) = text.split_once("://").unwrap_or(("https", text));
        // The parser would pass over some of these, and take a star for a letter.
        let strange = |character: char| "/\\?#@*".contains(character) || !character.is_ascii_graphic();
        if host.is_empty() || host.contains(strange) || !["https", "http"].contains(&scheme) {
            return Err(refused());
        }
        Url::parse(&format!("{scheme}://{host}")).ok().and_then(|url| Self::of_url(&url)).ok_or_else(refused)
    }
}

impl fmt::Display for ApiHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match (scheme.as_str(), port) {
            ("https", 443) | ("http", 80) => write!(f, "{scheme}://{host}"),
            _ => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl AllowedHosts {
    /// Whether the server of this URL is an allowed one: scheme, host and port alike.
    #[must_use]
    pub fn allow(&self, url: &ApiUrl) -> bool {
        ApiHost::of(url).is_some_and(|host| self.0.contains(&host))
    }
}

impl FromStr for AllowedHosts {
    type Err = NotAHost;

    /// Reads servers separated by commas.
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        text.split(',').map(|entry| entry.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, url: &str) -> bool {
        url.parse().is_ok_and(|url| allowed.parse::<AllowedHosts>().unwrap().allow(&url))
    }

    #[test]
    fn a_server_is_the_same_however_it_is_written() {
        for url in [
            "https://api.meshagent.com",
            "https://api.meshagent.com/",
            "https://api.meshagent.com:443/prefix",
            "HTTPS://API.MeshAgent.com",
            "https://api.meshagent.com.",
            "https://api%2Emeshagent.com",
            "https://ａpi.meshagent.com",
        ] {
            assert!(allows("api.meshagent.com", url), "{url}");
            assert!(allows("other.example, API.MESHAGENT.COM:443", url), "{url}");
        }
        assert!(allows("[2001:DB8::0:1]:8443", "https://[2001:db8::1]:8443"));
        assert!(allows("192.168.0.1", "https://0xc0.168.1"));
        assert!(allows("xn--bcher-kva.example", "https://bücher.example"));
        assert!(allows("http://127.0.0.1:8080", "http://127.0.0.1:8080/prefix"));
        assert!(allows("http://localhost", "http://localhost:80"));
    }

    #[test]
    fn another_scheme_host_or_port_is_another_server() {
        for url in [
            "http://api.meshagent.com",
            "http://api.meshagent.com:443",
            "https://api.meshagent.com:8443",
            "https://meshagent.com",
            "https://eu.api.meshagent.com",
            "https://api.meshagent.com.evil.example",
            "https://evil.example/api.meshagent.com",
            "https://evil.example#api.meshagent.com",
            "https://evil.example?api.meshagent.com",
            "https://api.meshagent.com@evil.example",
            "https://api.meshagent.com:x@evil.example",
            "https://evil@api.meshagent.com",
            "https://evil.example\\@api.meshagent.com",
            "https://evil.example\\.api.meshagent.com",
            "https://api.meshagent.com..",
            "https://api-meshagent.com",
            "https://api。meshagent。com.evil.example",
            "https://169.254.169.254",
            "https://2852039166",
            "https://[::ffff:169.254.169.254]",
            "https://[::1]",
            "https://localhost",
            "https://kubernetes.default.svc",
            "ftp://api.meshagent.com",
            "file:///api.meshagent.com",
            "//api.meshagent.com",
            "api.meshagent.com",
            "",
        ] {
            assert!(!allows("api.meshagent.com", url), "{url}");
        }
        assert!(!allows("http://127.0.0.1:8080", "http://127.0.0.1:8081"));
        assert!(!allows("http://127.0.0.1:8080", "https://127.0.0.1:8080"));
        assert!(!allows("127.0.0.1", "https://[::ffff:127.0.0.1]"));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for text in [
            "",
            "a.example,",
            "*.meshagent.com",
            "http://127.0.0.1:*",
            "https://",
            "https:///a.example",
            "a.example/path",
            "https://a.example/",
            "a.example?x",
            "user@a.example",
            "ftp://a.example",
            "a.example:70000",
            "a b.example",
            "a.example\\b",
            "[::1",
            ":443",
        ] {
            assert!(text.parse::<AllowedHosts>().is_err(), "{text}");
        }
        let said = "a.example,b.example/path".parse::<AllowedHosts>().unwrap_err().to_string();
        assert_eq!(said, "\"b.example/path\" names no server");
    }

    #[test]
    fn a_server_is_shown_as_an_entry_that_allows_it() {
        for (url, shown) in [
            ("https://API.example:443/prefix", "https://api.example"),
            ("http://api.example:8080", "http://api.example:8080"),
            ("https://[2001:db8:0::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(ApiHost::of(&url.parse().unwrap()).unwrap().to_string(), shown);
            assert!(allows(shown, url));
        }
    }
}
