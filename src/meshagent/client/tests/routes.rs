//! R7, R8, R9, R12, R14, R15: one method per route, and what its answers mean.

use super::*;

#[tokio::test]
async fn a_client_is_read_in_either_form_with_high_consistency() {
    for body in [json!({"client_id": "c1", "new": 1}), json!({"client": {"client_id": "c1", "client_secret": "s"}})] {
        let server = TestServer::start(move |_| answer(200, &body));
        let expected = wire::Client { client_id: "c1".into(), ..wire::Client::default() };
        assert_eq!(at(server.address).get_client("c1").await, Ok(Some(expected)));
        assert_eq!(server.lines(), [format!("GET {CLIENTS}/c1")]);
        assert_eq!(server.seen()[0].headers["consistency"], "high");
    }
}

#[tokio::test]
async fn a_get_says_absent_on_404_only() {
    for (code, kind) in [
        (401, Kind::AuthenticationFailed),
        (403, Kind::PermissionDenied),
        (410, Kind::Rejected { status: 410 }),
        (423, Kind::Disabled),
        (500, Kind::Unavailable(Unavailable::Status(500))),
    ] {
        let server = TestServer::start(move |_| status(code));
        assert_eq!(at(server.address).get_client("c1").await, Err(error(Route::GetClient, kind, "")));
        assert_eq!(server.lines().len(), 1);
    }
    let server = TestServer::start(|_| status(404));
    assert_eq!(at(server.address).get_client("c1").await, Ok(None));
}

#[tokio::test]
async fn what_is_not_the_client_is_an_error() {
    for body in ["", "{}", "null", "<html></html>", r#"{"client_id": "c2"}"#, r#"{"client": {"client_id": "C1"}}"#] {
        let server = TestServer::start(move |_| Reply::Answer(200, vec![], body.into()));
        let error = at(server.address).get_client("c1").await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable(Unavailable::Malformed), "{body}");
    }
}

#[tokio::test]
async fn an_update_sends_only_what_is_set() {
    let server = TestServer::start(|_| answer(200, &json!({"ok": true})));
    let patch = wire::ClientPatch { scope: Some("openid".into()), ..wire::ClientPatch::default() };
    assert_eq!(at(server.address).update_client("c1", &patch).await, Ok(()));
    assert_eq!(server.lines(), [format!("PUT {CLIENTS}/c1")]);
    assert_eq!(server.seen()[0].body, br#"{"scope":"openid"}"#);
}

#[tokio::test]
async fn an_update_or_deletion_counts_only_if_the_answer_says_so() {
    let malformed = Kind::Unavailable(Unavailable::Malformed);
    for (code, body, kind) in [
        (204, "", None),
        (200, r#"{"ok": true}"#, None),
        (200, r#"{"client_id": "c1"}"#, None),
        (200, r#"{"ok": false}"#, Some(&malformed)),
        (200, "<html>login</html>", Some(&malformed)),
        (200, "", Some(&malformed)),
    ] {
        let server = TestServer::start(move |_| Reply::Answer(code, vec![], body.into()));
        let agent = at(server.address);
        let updated = agent.update_client("c1", &wire::ClientPatch::default()).await;
        assert_eq!(updated.err().map(|error| error.kind).as_ref(), kind, "{body}");
        let deleted = agent.delete_client("c1").await;
        assert_eq!(deleted.err().map(|error| error.kind).as_ref(), kind, "{body}");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_is_deleted_but_cannot_be_updated() {
    let server = TestServer::start(|_| status(404));
    assert_eq!(at(server.address).delete_client("c1").await, Ok(()));
    let updated = at(server.address).update_client("c1", &wire::ClientPatch::default()).await;
    assert_eq!(updated, Err(error(Route::UpdateClient, Kind::NotFound, "")));
    assert_eq!(server.lines(), [format!("DELETE {CLIENTS}/c1"), format!("PUT {CLIENTS}/c1")]);
}

#[tokio::test]
async fn a_deletion_that_was_committed_and_answered_500_succeeds_when_asked_again() {
    let server = TestServer::script(vec![|| status(500), || status(404)]);
    let agent = at(server.address);
    assert_eq!(agent.delete_client("c1").await.unwrap_err().kind, Kind::Unavailable(Unavailable::Status(500)));
    assert_eq!(agent.delete_client("c1").await, Ok(()));
}

#[tokio::test]
async fn a_gateway_that_answers_404_to_everything_never_looks_like_an_empty_project() {
    for body in [r#"{"detail": "Not Found"}"#, "<html>404</html>"] {
        let server = TestServer::start(move |_| Reply::Answer(404, vec![], body.into()));
        assert_eq!(at(server.address).list_clients().await.unwrap_err().kind, Kind::NotFound);
    }
}

#[tokio::test]
async fn ids_are_percent_encoded_below_a_prefix() {
    let server = TestServer::start(|_| status(404));
    let connection = connection(&format!("http://{}/pre/fix/", server.address));
    let agent = MeshAgent::new(Connection { project_id: "p/1".into(), ..connection }).unwrap();
    assert_eq!(agent.get_client("a/../b c?d#é").await, Ok(None));
    assert_eq!(server.lines(), ["GET /pre/fix/accounts/projects/p%2F1/oauth/clients/a%2F..%2Fb%20c%3Fd%23%C3%A9"]);
}

#[tokio::test]
async fn ids_that_would_name_something_else_are_not_sent() {
    let server = TestServer::start(|_| status(204));
    let agent = at(server.address);
    let too_long = "x".repeat(100_000);
    for id in ["", ".", "..", &too_long] {
        let kind = Kind::NotSent(NotSent::UnusableRequest);
        assert_eq!(agent.delete_client(id).await.unwrap_err().kind, kind);
        assert_eq!(agent.get_client(id).await.unwrap_err().kind, kind);
    }
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let elsewhere = TestServer::start(|_| answer(200, &json!({"clients": [], "total": 0})));
    let target = format!("http://localhost:{}/x", elsewhere.address.port());
    for code in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server = TestServer::start(move |_| Reply::Answer(code, vec![("Location", target.clone())], vec![]));
        let agent = at(server.address);
        let kind = Kind::Unavailable(Unavailable::Redirect(code));
        for (route, failed) in every_idempotent_call(&agent).await {
            assert_eq!(failed, Some(error(route, kind.clone(), "it points to the host localhost")));
        }
        assert_eq!(unknown(post(&agent).await), (kind, None));
        assert_eq!(server.lines().len(), 5);
    }
    assert_eq!(elsewhere.lines(), [""; 0]);
}

#[tokio::test]
async fn a_compressed_answer_is_not_unpacked() {
    let server = TestServer::start(|_| {
        Reply::Answer(200, vec![("Content-Encoding", "gzip".into())], b"\x1f\x8b\x08\0\0\0\0\0".into())
    });
    let error = at(server.address).list_clients().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable(Unavailable::Malformed));
}
