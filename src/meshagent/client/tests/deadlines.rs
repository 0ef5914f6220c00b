//! R3: silence, slowness and size.

use super::*;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
const CHUNKLESS: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

async fn timed(agent: &MeshAgent) -> (Kind, Duration) {
    let started = Instant::now();
    let error = agent.get_client("c1").await.unwrap_err();
    (error.kind, started.elapsed())
}

#[tokio::test]
async fn silence_ends_with_the_read_timeout() {
    for sent in [&b""[..], HEAD, CHUNKLESS] {
        let server = TestServer::start(move |_| Reply::Hang(sent.into()));
        let (kind, took) = timed(&impatient(server.address)).await;
        assert_eq!(kind, Kind::Unavailable(Unavailable::Timeout));
        assert!(took < Duration::from_millis(850), "took {took:?}, so that only the call's deadline ended it");
        assert_eq!(server.lines().len(), 1, "a timeout is not repeated");
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_deadline() {
    for sent in [&b"HTTP/1.1 200 OK\r\nX: "[..], CHUNKLESS] {
        let server = TestServer::start(move |_| Reply::Drip(sent.into(), Duration::from_millis(50)));
        let (kind, took) = timed(&impatient(server.address)).await;
        assert_eq!(kind, Kind::Unavailable(Unavailable::Timeout));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_dropped() {
    for head in [CHUNKLESS, b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"] {
        let server = TestServer::start(move |_| Reply::Flood(head.into()));
        let agent = at(server.address);
        assert_eq!(timed(&agent).await.0, Kind::Unavailable(Unavailable::TooLarge));
        assert_eq!(agent.list_clients(identity).await.unwrap_err().kind, Kind::Unavailable(Unavailable::TooLarge));
        assert_eq!(unknown(post(&agent).await), (Kind::Unavailable(Unavailable::TooLarge), None));
    }
}

#[tokio::test]
async fn endless_headers_end_it() {
    let server = TestServer::start(|_| Reply::Flood(b"HTTP/1.1 200 OK\r\nX: ".into()));
    let (kind, _) = timed(&at(server.address)).await;
    assert_eq!(kind, Kind::Unavailable(Unavailable::ConnectionBroken));
}

#[tokio::test]
async fn an_errors_status_counts_however_its_body_behaves() {
    let rejected = Kind::Rejected { status: 422 };
    let head = b"HTTP/1.1 422 X\r\nConnection: close\r\n\r\nbad scope";
    for reply in [
        (|head| Reply::Flood(head)) as fn(Vec<u8>) -> Reply,
        |head| Reply::Hang(head),
        |head| Reply::Drip(head, Duration::from_millis(20)),
        |head| Reply::Raw(head),
    ] {
        let server = TestServer::start(move |_| reply(head.into()));
        let error = at(server.address).get_client("c1").await.unwrap_err();
        assert_eq!(error.kind, rejected);
        assert!(error.detail.starts_with("bad scope"), "{error}");
    }
}
