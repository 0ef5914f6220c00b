use super::*;

const PROXY: &str = "http://proxy.example:3128";

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: std::collections::BTreeMap<_, _> = variables.iter().copied().collect();
    Environment::read(|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// The proxy for a server, as it is shown.
fn shown(variables: &[(&str, &str)], server: &str) -> Result<Option<String>, InvalidProxy> {
    let proxy = environment(variables).proxy_for(&server.parse().unwrap())?;
    Ok(proxy.map(|proxy| proxy.to_string()))
}

/// Whether `NO_PROXY` of this value keeps a server from being reached by way of the proxy.
fn direct(no_proxy: &str, server: &str) -> bool {
    let variables = [("HTTPS_PROXY", PROXY), ("HTTP_PROXY", PROXY), ("NO_PROXY", no_proxy)];
    shown(&variables, server).unwrap().is_none()
}

/// F7.
#[test]
fn the_scheme_of_the_server_picks_the_variable_in_upper_case_before_lower() {
    let all = [("HTTPS_PROXY", "http://a"), ("https_proxy", "http://b"), ("http_proxy", "http://c")];
    assert_eq!(shown(&all, "https://api.example"), Ok(Some("http://a".to_owned())));
    assert_eq!(shown(&all[1..], "https://api.example"), Ok(Some("http://b".to_owned())));
    assert_eq!(shown(&all, "http://api.example"), Ok(Some("http://c".to_owned())));
    assert_eq!(
        shown(&[("HTTPS_PROXY", ""), ("https_proxy", PROXY)], "https://api.example"),
        Ok(Some(PROXY.to_owned()))
    );
    assert_eq!(shown(&[("ALL_PROXY", PROXY)], "https://api.example"), Ok(None));
    assert_eq!(shown(&[("HTTP_PROXY", PROXY)], "https://api.example"), Ok(None));
}

/// F7: Go's `useProxy`.
#[test]
fn this_machine_is_never_reached_by_way_of_a_proxy() {
    for server in
        ["https://localhost", "https://LOCALHOST:6443", "https://127.0.0.1:6443", "https://127.8.8.8", "https://[::1]"]
    {
        assert!(direct("", server), "{server}");
    }
    for server in ["https://10.0.0.1", "https://localhost.example", "https://[fd00::1]", "https://api.example"] {
        assert!(!direct("", server), "{server}");
    }
}

/// F7: the cases of golang.org/x/net/http/httpproxy's own test, and ports.
#[test]
fn no_proxy_is_read_as_go_reads_it() {
    for (no_proxy, server) in [
        ("*", "https://anything.example"),
        ("*", "https://10.0.0.1"),
        ("example.com", "https://example.com"),
        ("example.com", "https://a.b.example.com:8443"),
        ("EXAMPLE.com", "https://Example.COM"),
        (".example.com", "https://a.example.com"),
        ("*.example.com", "https://a.example.com"),
        ("example.com:8443", "https://example.com:8443"),
        ("example.com:443", "https://example.com"),
        ("10.0.0.1", "https://10.0.0.1:6443"),
        ("10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("10.0.0.0/8", "https://10.96.0.1"),
        ("fd00::1", "https://[fd00::1]"),
        ("[fd00::1]:6443", "https://[fd00::1]:6443"),
        ("fd00::/8", "https://[fd00::1]"),
        ("a, ,example.com ,", "https://example.com"),
        ("svc.cluster.local", "https://kubernetes.default.svc.cluster.local."),
    ] {
        assert!(direct(no_proxy, server), "{no_proxy} does not leave out {server}");
    }
    for (no_proxy, server) in [
        ("", "https://example.com"),
        ("example.com", "https://badexample.com"),
        ("example.com", "https://example.com.evil"),
        (".example.com", "https://example.com"),
        ("*.example.com", "https://example.com"),
        ("exa*.com", "https://example.com"),
        ("example.com:8443", "https://example.com"),
        ("10.0.0.1:443", "https://10.0.0.1:6443"),
        ("10.0.0.0/8", "https://11.0.0.1"),
        ("10.0.0.0/99", "https://10.0.0.1"),
        ("proxy.example", "https://api.example"),
        (",", "https://example.com"),
    ] {
        assert!(!direct(no_proxy, server), "{no_proxy} leaves out {server}");
    }
}

#[test]
fn an_address_is_read_with_and_without_a_scheme_and_shown_without_its_password() {
    for (text, shown, address) in [
        ("proxy:3128", "http://proxy:3128", "http://proxy:3128/"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128", "http://10.0.0.1:3128/"),
        ("http://u:hunter2@proxy", "http://proxy", "http://u:hunter2@proxy/"),
        ("u:hunter2@proxy:8", "http://proxy:8", "http://u:hunter2@proxy:8/"),
        ("https://proxy:8443/", "https://proxy:8443", "https://proxy:8443/"),
        ("socks5://proxy", "socks5://proxy:1080", "socks5h://proxy:1080"),
        ("socks5h://[::1]:9", "socks5h://[::1]:9", "socks5h://[::1]:9"),
    ] {
        let proxy = Proxy::parse("HTTPS_PROXY", text).unwrap();
        assert_eq!((proxy.to_string(), proxy.address("socks5h")), (shown.to_owned(), address.to_owned()));
        assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
    }
    for text in ["ftp://proxy", "http://", "socks4://proxy", "://", "http://a b", "hunter2:hunter2:1"] {
        let error = Proxy::parse("HTTPS_PROXY", text).unwrap_err().to_string();
        assert_eq!(
            error,
            "HTTPS_PROXY is not the address of a proxy; write it like http://proxy.example.com:3128 (or https://, socks5://)"
        );
    }
}
