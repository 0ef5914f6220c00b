use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> ApiUrl {
    text.parse().unwrap()
}

#[test]
fn trailing_slashes_are_stripped_and_a_prefix_is_kept() {
    for (text, shown) in [
        ("https://api.meshagent.com", "https://api.meshagent.com"),
        ("HTTPS://API.MeshAgent.com:443///", "https://api.meshagent.com"),
        ("http://127.0.0.1:8080/a/b//", "http://127.0.0.1:8080/a/b"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
    ] {
        assert_eq!(parsed(text).to_string(), shown);
        assert_eq!(parsed(text), parsed(shown));
    }
}

#[test]
fn the_sign_in_addresses_are_below_it() {
    let url = parsed("https://host/prefix/");
    assert_eq!(url.authorize_url(), "https://host/prefix/oauth/authorize");
    assert_eq!(url.token_url(), "https://host/prefix/oauth/token");
    assert_eq!(parsed("https://host/").token_url(), "https://host/oauth/token");
}

#[test]
fn what_cannot_be_a_base_is_refused_with_its_reason() {
    for (text, error) in [
        ("", ApiUrlError::NotAUrl(url::ParseError::RelativeUrlWithoutBase)),
        ("api.meshagent.com", ApiUrlError::NotAUrl(url::ParseError::RelativeUrlWithoutBase)),
        ("https://", ApiUrlError::NotAUrl(url::ParseError::EmptyHost)),
        ("ftp://host", ApiUrlError::Scheme),
        ("api.meshagent.com:443", ApiUrlError::Scheme),
        ("data:text/plain,x", ApiUrlError::Scheme),
        ("https://user@host", ApiUrlError::UserInfo),
        ("https://:pw@host", ApiUrlError::UserInfo),
        ("https://host/?x=1", ApiUrlError::Query),
        ("https://host?", ApiUrlError::Query),
        ("https://host/#x", ApiUrlError::Fragment),
    ] {
        assert_eq!(text.parse::<ApiUrl>(), Err(error), "{text}");
    }
}

#[test]
fn an_error_does_not_show_credentials() {
    let error = "https://user:hunter2@host".parse::<ApiUrl>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn segments_are_percent_encoded() {
    let url = parsed("https://host/pre/").join(&["a b", "x/../y?z#ü%2e"]).unwrap();
    assert_eq!(url.as_str(), "https://host/pre/a%20b/x%2F..%2Fy%3Fz%23%C3%BC%252e");
}

#[test]
fn segments_that_would_name_something_else_are_refused() {
    for segment in ["", ".", ".."] {
        assert_eq!(parsed("https://host").join(&["oauth", "clients", segment]), None);
    }
}

proptest! {
    #[test]
    fn a_segment_never_leaves_its_place(segment in any::<String>()) {
        if let Some(url) = parsed("https://host/pre").join(&["clients", &segment]) {
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 3);
            prop_assert_eq!(&segments[..2], &["pre", "clients"]);
            prop_assert!(!segments[2].is_empty());
            prop_assert!(url.query().is_none() && url.fragment().is_none());
        }
    }
}
