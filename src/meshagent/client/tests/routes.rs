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

/// F12.
#[tokio::test]
async fn an_update_is_done_with_any_2xx_whatever_the_body_says() {
    for (code, body) in [
        (200, r#"{"ok": true}"#),
        (200, "{}"),
        (200, "null"),
        (200, ""),
        (200, r#"{"status": "ok"}"#),
        (200, r#"{"ok": false}"#),
        (200, "OK"),
        (200, "<html></html>"),
        (201, r#"{"client": {"client_id": "c1"}}"#),
        (202, "[]"),
        (204, ""),
    ] {
        let server = TestServer::start(move |_| Reply::Answer(code, vec![], body.into()));
        let updated = at(server.address).update_client("c1", &wire::ClientPatch::default()).await;
        assert_eq!(updated, Ok(()), "{code} {body}");
        assert_eq!(server.lines(), [format!("PUT {CLIENTS}/c1")]);
    }
}

/// F12.
#[tokio::test]
async fn a_deletion_is_done_with_any_2xx_once_a_read_finds_nothing() {
    for (code, body) in [(200, r#"{"ok": true}"#), (200, "{}"), (200, "null"), (202, ""), (200, "<html></html>")] {
        let server = TestServer::start(move |request| match request.method.as_str() {
            "DELETE" => Reply::Answer(code, vec![], body.into()),
            _ => status(404),
        });
        assert_eq!(at(server.address).delete_client("c1").await, Ok(()), "{code} {body}");
        assert_eq!(server.lines(), [format!("DELETE {CLIENTS}/c1"), format!("GET {CLIENTS}/c1")]);
    }
    let server = TestServer::start(|_| status(204));
    assert_eq!(at(server.address).delete_client("c1").await, Ok(()));
    assert_eq!(server.lines(), [format!("DELETE {CLIENTS}/c1")], "204 is the documented answer");
    let server = TestServer::start(|_| answer(200, &json!({"client_id": "c1"})));
    let kind = Kind::Unavailable(Unavailable::Malformed);
    let there = error(Route::DeleteClient, kind, "status 200, but the client is still there");
    assert_eq!(at(server.address).delete_client("c1").await, Err(there));
    let login = TestServer::start(|_| Reply::Answer(200, vec![], b"<html>login</html>".into()));
    assert_eq!(at(login.address).delete_client("c1").await.unwrap_err().route, Route::GetClient);
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
        assert_eq!(at(server.address).list_clients(identity).await.unwrap_err().kind, Kind::NotFound);
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

/// The head of a gzip file.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";

/// F14.
#[tokio::test]
async fn an_answer_that_is_compressed_all_the_same_is_read() {
    // A member with one stored block; reqwest checks its sum and length.
    let body = br#"{"client_id": "c1"}"#;
    let length = u16::try_from(body.len()).unwrap().to_le_bytes();
    let inverted = (!u16::try_from(body.len()).unwrap()).to_le_bytes();
    let tail = [&0x483e_01d0_u32.to_le_bytes()[..], &u32::try_from(body.len()).unwrap().to_le_bytes()].concat();
    let packed = [GZIP, b"\x01", &length, &inverted, body, &tail].concat();
    let server =
        TestServer::start(move |_| Reply::Answer(200, vec![("Content-Encoding", "gzip".into())], packed.clone()));
    let expected = wire::Client { client_id: "c1".into(), ..wire::Client::default() };
    assert_eq!(at(server.address).get_client("c1").await, Ok(Some(expected)));
}

/// F14.
#[tokio::test]
async fn an_answer_in_a_coding_that_cannot_be_read_is_named_as_such() {
    for (code, kind) in [(200, Kind::Unavailable(Unavailable::Malformed)), (409, Kind::Rejected { status: 409 })] {
        let server = TestServer::start(move |_| {
            Reply::Answer(code, vec![("Content-Encoding", "br".into())], b"\x0b\x02\x80{}\x03".into())
        });
        let said = "it comes in the content coding br, which was not asked for; check gateways and proxies";
        assert_eq!(at(server.address).list_clients(identity).await, Err(error(Route::ListClients, kind.clone(), said)));
        let updated = at(server.address).update_client("c1", &wire::ClientPatch::default()).await;
        assert_eq!(updated.is_ok(), code == 200, "an update is done whatever its body says");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_bounded_by_what_it_unpacks_to() {
    // Stored blocks of zeros, 65,535 at a time.
    let block = [&b"\0\xff\xff\0\0"[..], &[b' '; 65_535]].concat();
    let packed = [GZIP, &block.repeat(150)].concat();
    let server =
        TestServer::start(move |_| Reply::Answer(200, vec![("Content-Encoding", "gzip".into())], packed.clone()));
    let error = at(server.address).get_client("c1").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable(Unavailable::TooLarge));
}
