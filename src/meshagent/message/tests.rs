use proptest::prelude::*;

use super::*;

const KEY: &str = "plain-key";
const KNOWN: Known<'static> = Known { key: KEY, path: "/accounts/projects/p1/oauth/clients/c1" };

fn with_key(key: &str) -> Known<'_> {
    Known { key, ..KNOWN }
}

#[test]
fn the_readable_part_of_an_answer_is_shown() {
    for (body, shown) in [
        (r#"{"message": "bad scope", "code": 7}"#, "bad scope"),
        (r#"{"error": "invalid_request", "error_description": "no redirect"}"#, "no redirect"),
        (r#"{"error": {"message": "deep"}}"#, "deep"),
        (r#"{"detail": [{"msg": "x"}]}"#, r#"{"detail":[{"msg":"x"}]}"#),
        (r#""text""#, "text"),
        ("plain\r\n\ttext", "plain text"),
        ("<html><body>502</body></html>", "the answer is an HTML page, perhaps of a gateway"),
        ("", ""),
    ] {
        assert_eq!(of_body(body.as_bytes(), KNOWN), shown);
    }
}

#[test]
fn secrets_are_never_shown() {
    for body in [
        r#"{"message": "key hunter2 is bad"}"#,
        r#"{"client_secret": "hunter2"}"#,
        r#"{"error": {"clientSecret": {"x": ["hunter2"]}}}"#,
        r#"{"message": "client_secret=hunter2&x=1"}"#,
        r#"{"message": "got {\"client_secret\": \"hunter2 and hunter2\"}"}"#,
        r#"{"client_secret": "hunter2"#,
        r#"{"message": "x", "client_secret" : "hunter2"#,
        "client_secret = hunter2",
        "Client-Secret: hunter2",
        "params['client_secret'] => 'hunter2'",
        "Authorization: Bearer hunter2",
        "sent bearer hunter2, sorry",
        "access_token: 'hunter2 hunter2'",
    ] {
        let shown = of_body(body.as_bytes(), with_key("hunter2 is"));
        assert!(!shown.contains("hunter2"), "shown: {shown}");
    }
}

#[test]
fn what_looks_like_a_credential_is_not_shown() {
    for (text, shown) in [
        ("value (ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA-x), bad", "value ([redacted]), bad"),
        ("at /v1/ma-AA.AAAAAAAAA.AAAAAAAAA-A_AAAAAAAAAAAAAAAAA.AA-x-y/z=?", "at /v1/[redacted]?"),
        ("key=ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA-x", "key=[redacted]"),
        ("got eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2ln!", "got [redacted]!"),
        ("value h7Zk29dKq0PpL3vXw81MnBtYh7Zk29dKq0PpL3vXw81", "value [redacted]"),
        ("value 0123456789abcdef0123456789abcdef01234567, bad", "value [redacted], bad"),
        ("the secret h7Zk29dKq0PpL3vXw81MnBtY is wrong", "the secret [redacted] is wrong"),
        ("client_secret 'h7Zk29dKq0PpL3vXw81MnBtY'", "client_secret '[redacted]'"),
        ("unknown token 0123456789abcdef0123456789abcdef", "unknown token [redacted]"),
    ] {
        assert_eq!(one_line(text, KNOWN), shown);
    }
}

#[test]
fn the_secret_part_of_the_key_is_not_shown_alone_either() {
    let key = "ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA-tea-for-two";
    assert_eq!(one_line("no key tea-for-two, nor tea", with_key(key)), "no key [redacted], nor tea");
}

/// F15.
#[test]
fn ids_and_addresses_stay_readable() {
    for text in [
        "client 6f1c9be5-0f6e-4f9f-bfbe-fb00112233ff exists",
        "client h7Zk29dKq0PpL3vXw81MnBtYh7Zk29dK exists",
        "request 0123456789abcdef0123456789abcdef",
        "invalid secret scope secrets:proxy",
        "the token expired",
        "redirect URI https://pr-123.shop-preview-environment.example.com/oauth/callback?x=1 is not allowed",
        "host ma-production-eu-west-1.shop.example.com",
    ] {
        assert_eq!(one_line(text, KNOWN), text);
    }
}

/// F15.
#[test]
fn an_id_of_the_request_stays_readable_whatever_it_looks_like() {
    let id = "h7Zk29dKq0PpL3vXw81MnBtYh7Zk29dKq0PpL3vXw81MnBtY";
    let path = format!("/accounts/projects/p1/oauth/clients/{id}");
    let text = format!("client {id} is locked");
    assert_eq!(one_line(&text, Known { path: &path, ..KNOWN }), text);
    assert_eq!(one_line(&text, KNOWN), "client [redacted] is locked");
}

#[test]
fn control_and_invisible_characters_are_removed() {
    assert_eq!(one_line("a\u{1b}[31mb\0c\u{202e}d\u{200b}e\u{feff}\nf", Known::default()), "a [31mb cde f");
}

#[test]
fn long_texts_are_shortened_after_secrets_are_gone() {
    let shown = one_line(&format!("{} {KEY}{}", "x".repeat(290), "y".repeat(400)), KNOWN);
    assert_eq!(shown.chars().count(), 300);
    assert!(!shown.contains("plain"));
    assert!(shown.ends_with('…'));
}

proptest! {
    #[test]
    fn any_text_becomes_one_short_line(text in any::<String>()) {
        for shown in [one_line(&text, KNOWN), of_body(text.as_bytes(), KNOWN)] {
            prop_assert!(shown.chars().count() <= 300);
            prop_assert!(!shown.contains(char::is_control));
        }
    }

    #[test]
    fn a_named_secret_is_never_shown(
        before in "[ -~]{0,20}", name in "(client_secret|CLIENT-SECRET|token|password)", separator in "\"? ?[:=] ?\"?",
        after in "[ ,&}][ -~]{0,20}",
    ) {
        let shown = one_line(&format!("{before}{name}{separator}hunter2{after}"), KNOWN);
        prop_assert!(!shown.contains("hunter2"), "shown: {}", shown);
    }
}
