use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const METRICS: &str = "# TYPE a counter\na_total 7\n# EOF\n";

struct Served {
    address: SocketAddr,
    health: Health,
    _server: JoinSet<Infallible>,
}

async fn served(limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let health = Health::new();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(serve_within(limits, listener, health.clone(), Arc::new(|| Ok(METRICS.to_owned()))));
    Served { address, health, _server: server }
}

/// The whole answer until the server closes the connection.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest_of(stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn the_process_is_alive_from_the_start() {
    let served = served(LIMITS).await;
    let (status, _, body) = get(served.address, "/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn readiness_follows_what_is_said_of_it_and_gives_the_reason() {
    let served = served(LIMITS).await;
    let mut answers = vec![get(served.address, "/readyz").await];
    served.health.ready(true, "ok");
    answers.push(get(served.address, "/readyz").await);
    served.health.ready(false, "the CRDs are not there");
    answers.push(get(served.address, "/readyz").await);
    let answers: Vec<_> = answers.into_iter().map(|(status, _, body)| (status, body)).collect();
    let wanted = [(503, "starting\n"), (200, "ok\n"), (503, "the CRDs are not there\n")];
    assert_eq!(answers, wanted.map(|(status, body)| (status, body.to_owned())));
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let served = served(LIMITS).await;
    let (status, head, body) = get(served.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains(&format!("content-type: {OPEN_METRICS}")), "{head}");
    assert_eq!(body, METRICS);
}

#[tokio::test]
async fn another_path_is_not_found() {
    let served = served(LIMITS).await;
    assert_eq!(get(served.address, "/").await.0, 404);
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_cut_off_and_makes_room() {
    let served = served(Limits { conversation: Duration::from_millis(200), connections: 1 }).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    // The only place is taken until the slow client has had its time.
    let (status, _, _) = get(served.address, "/healthz").await;
    assert_eq!(status, 200);
    assert_eq!(rest_of(slow).await, "");
}
