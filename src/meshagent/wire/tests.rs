use proptest::prelude::*;
use serde_json::json;

use super::*;

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn full() -> serde_json::Value {
    json!({
        "client_id": "c1", "grant_types": ["authorization_code"], "response_types": ["code"],
        "redirect_uris": ["https://a.example/cb"], "scope": "openid  email", "project_id": "p1",
        "metadata": {"name": "shop/web", "n": 7, "b": true, "o": {"x": [1]}, "z": null}, "official": false,
        "invented_later": {"deep": [null]}
    })
}

fn full_client() -> Client {
    Client {
        client_id: "c1".into(),
        grant_types: vec!["authorization_code".into()],
        response_types: vec!["code".into()],
        redirect_uris: vec!["https://a.example/cb".into()],
        scope: "openid  email".into(),
        project_id: Some("p1".into()),
        metadata: [("name", "shop/web"), ("n", "7"), ("b", "true"), ("o", r#"{"x":[1]}"#), ("z", "null")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        official: Some(false),
    }
}

#[test]
fn a_client_is_read_bare_and_wrapped() {
    assert_eq!(client(&bytes(&full())), Ok(full_client()));
    assert_eq!(client(&bytes(&json!({"client": full()}))), Ok(full_client()));
    assert_eq!(client(&bytes(&json!({"client": full(), "ok": true}))), Ok(full_client()));
}

#[test]
fn missing_and_null_fields_are_empty() {
    let bare = Client { client_id: "c1".into(), ..Client::default() };
    assert_eq!(client(br#"{"client_id": "c1"}"#), Ok(bare.clone()));
    let nulls = json!({
        "client": null, "client_id": "c1", "client_secret": null, "grant_types": null, "response_types": null,
        "redirect_uris": null, "scope": null, "project_id": null, "metadata": null, "official": null
    });
    assert_eq!(client(&bytes(&nulls)), Ok(bare));
}

#[test]
fn a_post_yields_client_and_secret() {
    let mut answer = full();
    answer["client_secret"] = json!("s3");
    let secret = ClientSecret::new("s3").unwrap();
    assert_eq!(created(&bytes(&answer)), Ok((full_client(), secret.clone())));
    assert_eq!(created(&bytes(&json!({"client": answer}))), Ok((full_client(), secret)));
}

#[test]
fn a_post_without_a_usable_secret_yields_the_id() {
    for secret in [json!(null), json!(""), json!("a\nb"), json!(5), json!(["s"])] {
        for answer in [json!({"client_id": "c1", "client_secret": secret}), json!({"client_id": "c1"})] {
            for form in [answer.clone(), json!({"client": answer})] {
                assert_eq!(created(&bytes(&form)).unwrap_err().client_id.as_deref(), Some("c1"), "{form}");
            }
        }
    }
}

#[test]
fn a_post_with_another_unreadable_field_still_yields_the_id() {
    let answer = json!({"client": {"client_id": "c1", "client_secret": "s", "redirect_uris": 5}});
    assert_eq!(created(&bytes(&answer)).unwrap_err().client_id.as_deref(), Some("c1"));
}

#[test]
fn a_post_without_an_id_yields_none() {
    for body in [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        "<html>",
        r#"{"client_secret": "s"}"#,
        r#"{"client": {}}"#,
        r#"{"client_id": "", "client_secret": "s"}"#,
        r#"{"client_id": 5, "client_secret": "s"}"#,
        r#"{"client": {"client_id": "c1", "client_secret": "s"#,
    ] {
        assert_eq!(created(body.as_bytes()).unwrap_err().client_id, None, "{body}");
    }
}

#[test]
fn a_malformed_answer_is_described_without_its_content() {
    for body in [
        r#"{"client_id": "c1", "scope": 91827364}"#,
        r#"{"client_id": "c1", "grant_types": "91827364"}"#,
        r#"{"client_id": "c1", "official": "91827364"}"#,
        "91827364",
        "\"91827364\"",
        "{91827364",
        "<91827364",
    ] {
        let Malformed(problem) = client(body.as_bytes()).unwrap_err();
        assert!(!problem.contains("91827364"), "{problem}");
    }
    assert_eq!(client(b" <!doctype html>"), Err(Malformed("it is an HTML page".into())));
}

#[test]
fn a_page_is_read_with_and_without_total() {
    let two = vec![full_client(), Client { client_id: "c2".into(), ..Client::default() }];
    let list = json!([full(), {"client_id": "c2", "client_secret": "older servers"}]);
    for (answer, total) in [
        (json!({"clients": list, "total": 9}), Some(9)),
        (json!({"clients": list}), None),
        (json!({"clients": list, "total": null}), None),
        (json!({"clients": list, "total": "9"}), None),
        (json!({"clients": list, "total": -1}), None),
        (json!({"clients": list, "total": 2.5, "more": {}}), None),
    ] {
        assert_eq!(page(&bytes(&answer)), Ok(Page { clients: two.clone(), total }), "{answer}");
    }
    assert_eq!(page(br#"{"clients": null, "total": 0}"#), Ok(Page { clients: vec![], total: Some(0) }));
}

#[test]
fn what_is_no_listing_is_never_an_empty_one() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html></html>",
        r#"{"error": "x"}"#,
        r#"{"clients": null}"#,
        r#"{"clients": null, "total": 3}"#,
        r#"{"clients": {}}"#,
        r#"{"clients": [{}]}"#,
        r#"{"total": 3}"#,
        r#"{"clients": [{"client_id": "a"}, {"client_id": null}]}"#,
        r#"{"clients": [null]}"#,
    ] {
        assert!(page(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_patch_holds_only_what_is_set() {
    assert_eq!(serde_json::to_value(ClientPatch::default()).unwrap(), json!({}));
    let patch = ClientPatch {
        redirect_uris: Some(vec![]),
        metadata: Some([("name".to_owned(), "x".to_owned())].into()),
        ..ClientPatch::default()
    };
    assert_eq!(serde_json::to_value(patch).unwrap(), json!({"redirect_uris": [], "metadata": {"name": "x"}}));
}

#[test]
fn a_new_client_holds_all_but_official() {
    let value = serde_json::to_value(NewClient::default()).unwrap();
    let expected = json!({"grant_types": [], "response_types": [], "redirect_uris": [], "scope": "", "metadata": {}});
    assert_eq!(value, expected);
    let official = NewClient { official: Some(true), ..NewClient::default() };
    assert_eq!(serde_json::to_value(official).unwrap()["official"], json!(true));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let read = (created(&body).is_ok(), client(&body).is_ok(), page(&body).is_ok());
        prop_assert_eq!(read, (false, false, false));
    }

    #[test]
    fn a_truncated_answer_is_never_complete(cut in 0usize..200) {
        let answer = bytes(&json!({"client": {"client_secret": "s", "client_id": "c1", "metadata": full()["metadata"]}}));
        prop_assume!(cut < answer.len());
        prop_assert!(created(&answer[..cut]).is_err());
        prop_assert!(client(&answer[..cut]).is_err());
    }
}
