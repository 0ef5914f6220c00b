//! The proxy by way of which a server is reached: chosen as kubectl does in the same environment, for both servers.
//!
//! The rules are Go's (`golang.org/x/net/http/httpproxy`), not curl's, where the two differ: this machine itself is
//! never reached by way of a proxy that the environment names, `.example.com` leaves out `example.com` itself, an entry
//! of `NO_PROXY` may name a port, and `ALL_PROXY` says nothing.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// A proxy, perhaps with a user and a password. `Display` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

/// A proxy's address that cannot be used. The error never shows the address: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the address of a proxy; write it like http://proxy.example.com:3128 (or https://, socks5://)")]
pub struct InvalidProxy(&'static str);

/// What an environment says about proxies; names in upper case come first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    https_proxy: Option<String>,
    http_proxy: Option<String>,
    no_proxy: String,
}

impl Proxy {
    /// Reads an address; `named` is the variable or field that holds it.
    pub fn parse(named: &'static str, text: &str) -> Result<Self, InvalidProxy> {
        let usable = |text: &str| {
            let mut url = Url::parse(text).ok()?;
            match url.scheme() {
                "http" | "https" => {}
                // Clients know no port of their own for these.
                "socks5" | "socks5h" if url.port().is_none() => url.set_port(Some(1080)).ok()?,
                "socks5" | "socks5h" => {}
                _ => return None,
            }
            url.has_host().then_some(Self(url))
        };
        // People write `proxy:3128`, which reads as a scheme and a path.
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        usable(&with_scheme).ok_or(InvalidProxy(named))
    }

    /// The address with its password, for a client that has the proxy resolve names. `socks5` says so to kube,
    /// `socks5h` to reqwest; Go has the proxy resolve names for either.
    #[must_use]
    pub fn address(&self, socks: &str) -> String {
        match self.0.as_str().split_once("://") {
            Some(("socks5" | "socks5h", rest)) => format!("{socks}://{rest}"),
            Some(_) | None => self.0.to_string(),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// The environment whose variables answer by name.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let named = [name.to_owned(), name.to_ascii_lowercase()];
            named.iter().filter_map(|name| variable(name)).find(|value| !value.is_empty())
        };
        let no_proxy = either("NO_PROXY").unwrap_or_default();
        Self { https_proxy: either("HTTPS_PROXY"), http_proxy: either("HTTP_PROXY"), no_proxy }
    }

    /// The proxy for this server, if any.
    pub fn proxy_for(&self, server: &Url) -> Result<Option<Proxy>, InvalidProxy> {
        let (named, address) = match server.scheme() {
            "https" => ("HTTPS_PROXY", &self.https_proxy),
            _ => ("HTTP_PROXY", &self.http_proxy),
        };
        match address {
            Some(address) if !self.leaves_out(server) => Proxy::parse(named, address).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn leaves_out(&self, server: &Url) -> bool {
        let port = server.port_or_known_default();
        match server.host() {
            None => true,
            Some(Host::Domain("localhost")) => true,
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                self.entries().any(|entry| entry.names(&name, port))
            }
            Some(Host::Ipv4(ip)) => ip.is_loopback() || self.entries().any(|entry| entry.holds(ip.into(), port)),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || self.entries().any(|entry| entry.holds(ip.into(), port)),
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(Entry::parse)
    }
}

/// An entry of `NO_PROXY`: a name, address or network, perhaps with a port.
struct Entry<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Self {
        let whole = Self { host: text.trim_start_matches('[').trim_end_matches(']'), port: None };
        // An IPv6 address holds colons that begin no port, unless it stands in brackets.
        if text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok() {
            return whole;
        }
        let Some((host, port)) = text.rsplit_once(':') else { return whole };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        port.parse().map_or(whole, |port| Self { host, port: Some(port) })
    }

    fn names(&self, name: &str, port: Option<u16>) -> bool {
        let host = self.host.to_ascii_lowercase();
        // `*.example.com` and `.example.com`: what is below a name, and not the name itself.
        let below = host.strip_prefix('*').unwrap_or(&host);
        let matches = host == "*"
            || match below.strip_prefix('.') {
                Some(_) => name.ends_with(below),
                None => name == host || name.strip_suffix(&host).is_some_and(|rest| rest.ends_with('.')),
            };
        matches && (self.port.is_none() || self.port == port)
    }

    fn holds(&self, ip: IpAddr, port: Option<u16>) -> bool {
        let matches = self.host == "*"
            || self.host.parse().is_ok_and(|network: IpNet| network.contains(&ip))
            || self.host.parse().is_ok_and(|address: IpAddr| address == ip);
        matches && (self.port.is_none() || self.port == port)
    }
}

#[cfg(test)]
mod tests;
