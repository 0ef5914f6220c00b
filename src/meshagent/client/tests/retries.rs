//! R2, R4: what is repeated at once, and what is not.

use super::*;

/// Answers each route as a healthy server.
fn healthy(method: &str, target: &str) -> Reply {
    match method {
        "GET" if target.contains('?') => answer(200, &json!({"clients": [], "total": 0})),
        "GET" => answer(200, &json!({"client_id": "c1"})),
        _ => status(204),
    }
}

#[tokio::test]
async fn an_idempotent_call_survives_two_stumbles_of_a_gateway() {
    for code in [502, 503, 504] {
        let seen = Mutex::new(std::collections::BTreeMap::new());
        let server = TestServer::start(move |request| {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry((request.method.clone(), request.target.clone())).or_insert(0);
            *times += 1;
            if *times <= 2 { status(code) } else { healthy(&request.method, &request.target) }
        });
        for (route, failed) in every_idempotent_call(&at(server.address)).await {
            assert_eq!((route, failed), (route, None));
        }
        assert_eq!(server.lines().len(), 12);
    }
}

#[tokio::test]
async fn the_third_stumble_is_the_answer() {
    let server = TestServer::start(|_| Reply::Answer(503, vec![], b"down".into()));
    for (route, failed) in every_idempotent_call(&at(server.address)).await {
        assert_eq!(failed, Some(error(route, Kind::Unavailable(Unavailable::Status(503)), "down")));
    }
    assert_eq!(server.lines().len(), 12);
}

#[tokio::test]
async fn no_other_status_is_repeated() {
    for code in [400, 401, 403, 408, 409, 422, 423, 425, 499, 500, 501] {
        let server = TestServer::start(move |_| status(code));
        for (_, failed) in every_idempotent_call(&at(server.address)).await {
            assert_eq!(failed.unwrap().kind, crate::meshagent::error::classify(code, Duration::ZERO));
        }
        assert_eq!(server.lines().len(), 4, "{code}");
    }
}

#[tokio::test]
async fn a_reset_is_repeated_wherever_it_strikes() {
    const PARTS: [&[u8]; 3] = [b"", b"HTTP/1.1 200 OK\r\nCont", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"cli"];
    for part in PARTS {
        let server = TestServer::resetting(2, part, |request| healthy(&request.method, &request.target));
        let expected = wire::Client { client_id: "c1".into(), ..wire::Client::default() };
        assert_eq!(at(server.address).get_client("c1").await, Ok(Some(expected)));
        assert_eq!(server.lines().len(), 3);
    }
}

#[tokio::test]
async fn a_call_that_once_went_out_never_says_that_it_was_not_sent() {
    // One answer, then the port is closed: the repeats are refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 502 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
    });
    let failed = at(address).update_client("c1", &wire::ClientPatch::default()).await;
    assert_eq!(failed, Err(error(Route::UpdateClient, Kind::Unavailable(Unavailable::Status(502)), "")));
}

#[tokio::test]
async fn a_refused_connection_is_named_as_such() {
    for (_, failed) in every_idempotent_call(&at(nobody())).await {
        let failed = failed.unwrap();
        assert_eq!(failed.kind, Kind::NotSent(NotSent::NoConnection));
        assert!(failed.detail.starts_with("Connection refused"), "{failed}");
    }
}
