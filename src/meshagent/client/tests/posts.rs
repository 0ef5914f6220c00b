//! P2, R2, R4: a POST is sent once, and its outcome is one of three.

use super::*;

#[tokio::test]
async fn a_post_goes_out_as_documented_and_brings_the_secret() {
    for wrapped in [false, true] {
        let server = TestServer::start(move |_| {
            let client = json!({"client_id": "c1", "client_secret": "s1", "scope": "openid"});
            answer(201, &if wrapped { json!({"client": client}) } else { client })
        });
        let request = wire::NewClient {
            grant_types: vec!["client_credentials".into()],
            scope: "openid".into(),
            metadata: [("name".to_owned(), "shop/web".to_owned())].into(),
            ..wire::NewClient::default()
        };
        let posted = at(server.address).create_client(&request).await;
        let Posted::Created { client, secret } = posted else { panic!("{posted:?}") };
        let expected = wire::Client { client_id: "c1".into(), scope: "openid".into(), ..wire::Client::default() };
        assert_eq!((client, secret.expose()), (expected, "s1"));

        let sent = server.seen().remove(0);
        assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", CLIENTS));
        assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(sent.headers["content-type"], "application/json");
        assert_eq!((&*sent.headers["accept-encoding"], &*sent.headers["consistency"]), ("identity", "high"));
        let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body, serde_json::to_value(&request).unwrap());
    }
}

#[tokio::test]
async fn every_4xx_but_four_is_a_rejection() {
    for code in [400, 401, 402, 403, 404, 405, 409, 410, 413, 422, 423, 426, 431, 451, 498] {
        let server = TestServer::start(move |_| status(code));
        let kind = rejected(post(&at(server.address)).await);
        assert_eq!(kind, crate::meshagent::error::classify(code, Duration::ZERO));
        assert_eq!(server.lines().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn any_other_status_leaves_the_outcome_unknown_and_is_not_repeated() {
    for code in [301, 302, 303, 307, 308, 408, 425, 429, 499, 500, 501, 502, 503, 504, 507, 599] {
        let server = TestServer::start(move |_| status(code));
        let (kind, client_id) = unknown(post(&at(server.address)).await);
        assert_eq!(kind, crate::meshagent::error::classify(code, Duration::from_secs(10)));
        assert_eq!((client_id, server.lines().len()), (None, 1), "{code}");
    }
}

#[tokio::test]
async fn an_answer_without_id_or_secret_is_unknown_and_yields_the_id_if_it_has_one() {
    let malformed = Kind::Unavailable(Unavailable::Malformed);
    for (body, id) in [
        (r#"{"client_id": "c1"}"#, Some("c1")),
        (r#"{"client": {"client_id": "c1", "client_secret": ""}}"#, Some("c1")),
        (r#"{"client_secret": "s"}"#, None),
        (r#"{"ok": true}"#, None),
        ("{", None),
        ("", None),
        ("<html>login</html>", None),
    ] {
        let server = TestServer::start(move |_| Reply::Answer(200, vec![], body.into()));
        let expected = (malformed.clone(), id.map(str::to_owned));
        assert_eq!(unknown(post(&at(server.address)).await), expected, "{body}");
        assert_eq!(server.lines().len(), 1);
    }
    let server = TestServer::start(|_| status(204));
    assert_eq!(unknown(post(&at(server.address)).await), (malformed, None));
}

#[tokio::test]
async fn a_broken_or_silent_connection_is_unknown_and_not_repeated() {
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"client\": {\"client_id\": \"c1\"";
    let broken = Kind::Unavailable(Unavailable::ConnectionBroken);
    for (server, kind) in [
        (TestServer::resetting(1, b"", |_| status(500)), &broken),
        (TestServer::resetting(1, b"HTTP/1.1 20", |_| status(500)), &broken),
        (TestServer::start(|_| Reply::Raw(vec![])), &broken),
        (TestServer::start(|_| Reply::Raw(CUT.into())), &broken),
        (TestServer::start(|_| Reply::Raw(b"nonsense\r\n\r\n".into())), &broken),
        (TestServer::start(|_| Reply::Hang(vec![])), &Kind::Unavailable(Unavailable::Timeout)),
        (TestServer::start(|_| Reply::Hang(CUT.into())), &Kind::Unavailable(Unavailable::Timeout)),
    ] {
        assert_eq!(unknown(post(&impatient(server.address)).await), (kind.clone(), None));
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closes_after_the_post_does_not_send_it_again() {
    let server = TestServer::script(vec![|| status(404), || Reply::Raw(vec![])]);
    let agent = at(server.address);
    assert_eq!(agent.get_client("c1").await, Ok(None));
    unknown(post(&agent).await);
    assert_eq!(server.lines(), [format!("GET {CLIENTS}/c1"), format!("POST {CLIENTS}")]);
}

#[tokio::test]
async fn what_never_left_is_a_rejection() {
    assert_eq!(rejected(post(&at(nobody())).await), Kind::NotSent(NotSent::NoConnection));
}
