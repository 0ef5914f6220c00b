//! R11: a listing over the wire. Its rules are tested in `list`.

use super::*;

/// The page that a request asks for, of `count` clients, at most `cap` at a time.
fn page(target: &str, count: usize, cap: usize, total: bool) -> Reply {
    let url = url::Url::parse(&format!("http://host{target}")).unwrap();
    let asked = |name| url.query_pairs().find(|(key, _)| key == name).unwrap().1.parse::<usize>().unwrap();
    let (offset, size) = (asked("offset").min(count), asked("count").min(cap));
    let clients: Vec<_> = (offset..(offset + size).min(count)).map(|n| json!({"client_id": n.to_string()})).collect();
    answer(200, &if total { json!({"clients": clients, "total": count}) } else { json!({"clients": clients}) })
}

#[tokio::test]
async fn a_thousand_clients_are_ten_gets_with_high_consistency() {
    let server = TestServer::start(|request| page(&request.target, 1_000, 100, true));
    let clients = at(server.address).list_clients(identity).await.unwrap();
    assert_eq!(clients.len(), 1_000);
    assert_eq!((&*clients[0].client_id, &*clients[999].client_id), ("0", "999"));
    let expected: Vec<_> = (0..10).map(|n| format!("GET {CLIENTS}?count=100&offset={}", n * 100)).collect();
    assert_eq!(server.lines(), expected);
    assert!(server.seen().iter().all(|request| request.headers["consistency"] == "high"));
}

#[tokio::test]
async fn a_capped_count_without_total_ends_on_the_empty_page() {
    let server = TestServer::start(|request| page(&request.target, 25, 10, false));
    assert_eq!(at(server.address).list_clients(identity).await.unwrap().len(), 25);
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn a_failed_page_fails_the_listing() {
    for (failing, kind) in [
        ((|| status(403)) as fn() -> Reply, Kind::PermissionDenied),
        (|| status(404), Kind::NotFound),
        (|| answer(200, &json!({"message": "try later"})), Kind::Unavailable(Unavailable::Malformed)),
        (|| Reply::Answer(200, vec![], b"<html></html>".into()), Kind::Unavailable(Unavailable::Malformed)),
    ] {
        let first = || answer(200, &json!({"clients": [{"client_id": "a"}], "total": 2}));
        let server = TestServer::script(vec![first, failing]);
        assert_eq!(at(server.address).list_clients(identity).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn a_stumble_in_the_middle_is_repeated_for_that_page_only() {
    let stumbled = Mutex::new(false);
    let server = TestServer::start(move |request| {
        let mut stumbled = stumbled.lock().unwrap();
        if request.target.ends_with("offset=100") && !*stumbled {
            *stumbled = true;
            return status(502);
        }
        page(&request.target, 250, 100, true)
    });
    assert_eq!(at(server.address).list_clients(identity).await.unwrap().len(), 250);
    let offsets: Vec<_> = server.lines().iter().map(|line| line.rsplit('=').next().unwrap().to_owned()).collect();
    assert_eq!(offsets, ["0", "100", "100", "200"]);
}

#[tokio::test]
async fn a_listing_that_grows_for_ever_ends_with_an_error() {
    let server = TestServer::start(|request| page(&request.target, usize::MAX / 2, 1, false));
    let error = at(server.address).list_clients(identity).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable(Unavailable::EndlessListing { pages: 1_000 }));
    assert_eq!(error.to_string(), "GET /oauth/clients: the listing did not end within 1000 pages");
}

#[tokio::test]
async fn a_listing_whose_pages_are_slow_ends_in_time() {
    let server = TestServer::start(|request| {
        std::thread::sleep(Duration::from_millis(200));
        page(&request.target, 1_000, 1, true)
    });
    let error = impatient(server.address).list_clients(identity).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable(Unavailable::Timeout));
}

/// F2.
#[tokio::test]
async fn a_page_above_the_bound_is_asked_for_again_in_halves() {
    let large = "x".repeat(300 << 10);
    let server = TestServer::start(move |request| {
        let url = url::Url::parse(&format!("http://host{}", request.target)).unwrap();
        let asked = |name| url.query_pairs().find(|(key, _)| key == name).unwrap().1.parse::<usize>().unwrap();
        let range = asked("offset")..(asked("offset") + asked("count")).min(45);
        let clients: Vec<_> = range.map(|n| json!({"client_id": n.to_string(), "scope": large})).collect();
        answer(200, &json!({"clients": clients, "total": 45}))
    });
    assert_eq!(at(server.address).list_clients(identity).await.unwrap().len(), 45);
    let pages = [(100, 0), (50, 0), (25, 0), (25, 25)];
    let expected = pages.map(|(count, offset)| format!("GET {CLIENTS}?count={count}&offset={offset}"));
    assert_eq!(server.lines(), expected);
}

/// F2.
#[tokio::test]
async fn a_client_that_is_too_large_alone_is_named_by_its_place() {
    let server = TestServer::start(|request| match request.target.contains("offset=0") {
        true if request.target.contains("count=1&") => answer(200, &json!({"clients": [{"client_id": "a"}]})),
        _ => Reply::Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".into()),
    });
    let error = at(server.address).list_clients(identity).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /oauth/clients: the answer is too large: the client at offset 1 alone has more than 8 MiB"
    );
}
