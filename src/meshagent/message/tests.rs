use proptest::prelude::*;

use super::*;

const KEY: &str = "plain-key";

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
        assert_eq!(of_body(body.as_bytes(), KEY), shown);
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
        let shown = of_body(body.as_bytes(), "hunter2 is");
        assert!(!shown.contains("hunter2"), "shown: {shown}");
    }
}

#[test]
fn what_looks_like_a_credential_is_not_shown() {
    for run in [
        "ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA-x",
        "h7Zk29dKq0PpL3vXw81MnBtY",
        "0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(one_line(&format!("value ({run}), bad"), KEY), "value ([redacted]), bad");
    }
}

#[test]
fn ids_and_addresses_stay_readable() {
    for text in [
        "client 6f1c9be5-0f6e-4f9f-bfbe-fb00112233ff exists",
        "invalid secret scope secrets:proxy",
        "redirect URI https://pr-123.shop-preview-environment.example.com/oauth/callback?x=1 is not allowed",
    ] {
        assert_eq!(one_line(text, KEY), text);
    }
}

#[test]
fn control_and_invisible_characters_are_removed() {
    assert_eq!(one_line("a\u{1b}[31mb\0c\u{202e}d\u{200b}e\u{feff}\nf", ""), "a [31mb cde f");
}

#[test]
fn long_texts_are_shortened_after_secrets_are_gone() {
    let shown = one_line(&format!("{} {KEY}{}", "x".repeat(290), "y".repeat(400)), KEY);
    assert_eq!(shown.chars().count(), 300);
    assert!(!shown.contains("plain"));
    assert!(shown.ends_with('…'));
}

proptest! {
    #[test]
    fn any_text_becomes_one_short_line(text in any::<String>()) {
        for shown in [one_line(&text, KEY), of_body(text.as_bytes(), KEY)] {
            prop_assert!(shown.chars().count() <= 300);
            prop_assert!(!shown.contains(char::is_control));
        }
    }

    #[test]
    fn a_named_secret_is_never_shown(
        before in "[ -~]{0,20}", name in "(client_secret|CLIENT-SECRET|token|password)", separator in "\"? ?[:=] ?\"?",
        after in "[ ,&}][ -~]{0,20}",
    ) {
        let shown = one_line(&format!("{before}{name}{separator}hunter2{after}"), KEY);
        prop_assert!(!shown.contains("hunter2"), "shown: {}", shown);
    }
}
