//! R1: after a 429 the project pauses.

use super::*;

fn limited(retry_after: &'static str) -> TestServer {
    TestServer::start(move |_| Reply::Answer(429, vec![("Retry-After", retry_after.to_owned())], b"slow down".into()))
}

#[tokio::test]
async fn a_429_pauses_all_calls_for_as_long_as_it_says_within_bounds() {
    for (header, seconds) in [
        ("0", 1),
        ("5", 5),
        ("3600", 600),
        ("18446744073709551616", 600),
        ("soon", 10),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
    ] {
        let server = limited(header);
        let agent = at(server.address);
        assert_eq!(agent.paused_until(), None);
        let before = Instant::now();
        let length = Duration::from_secs(seconds);
        let limited = error(Route::GetClient, Kind::RateLimited { retry_after: length }, "slow down");
        assert_eq!(agent.get_client("c1").await, Err(limited), "{header}");
        let until = agent.paused_until().unwrap();
        assert!(until >= before + length && until <= Instant::now() + length, "{header}");
        assert_eq!(server.lines().len(), 1, "a 429 is not repeated");
    }
}

#[tokio::test]
async fn calls_in_the_pause_fail_at_once_and_are_not_sent() {
    let server = limited("60");
    let agent = at(server.address);
    agent.delete_client("c1").await.unwrap_err();
    let clone = agent.clone();
    let until = clone.paused_until().unwrap();
    let paused = Kind::NotSent(NotSent::Paused { until });
    for (route, failed) in every_idempotent_call(&clone).await {
        assert_eq!(failed, Some(error(route, paused.clone(), "")));
    }
    assert_eq!(rejected(post(&clone).await), paused);
    assert_eq!(server.lines(), [format!("DELETE {CLIENTS}/c1")]);
}

#[tokio::test]
async fn a_post_answered_429_is_of_unknown_outcome_and_pauses_too() {
    let server = limited("60");
    let agent = at(server.address);
    let kind = Kind::RateLimited { retry_after: Duration::from_secs(60) };
    assert_eq!(unknown(post(&agent).await), (kind, None));
    assert!(agent.paused_until().is_some());
}

#[tokio::test]
async fn another_project_does_not_pause() {
    let server = limited("60");
    let (one, other) = (at(server.address), at(server.address));
    one.delete_client("c1").await.unwrap_err();
    assert_eq!(other.paused_until(), None);
}

#[tokio::test]
async fn calls_go_out_again_after_the_pause() {
    let server =
        TestServer::script(vec![|| Reply::Answer(429, vec![("Retry-After", "1".into())], vec![]), || status(404)]);
    let agent = at(server.address);
    agent.get_client("c1").await.unwrap_err();
    tokio::time::sleep_until(agent.paused_until().unwrap()).await;
    assert_eq!(agent.get_client("c1").await, Ok(None));
}

#[tokio::test]
async fn a_pause_ends_the_repeats_of_a_call_and_its_own_error_is_kept() {
    let (answer_now, told) = std::sync::mpsc::channel();
    let told = Mutex::new(told);
    let server = TestServer::start(move |_| {
        told.lock().unwrap().recv().unwrap();
        status(503)
    });
    let agent = at(server.address);
    let call = agent.get_client("c1");
    let pause = async {
        while server.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        agent.0.transport.pause.extend(Instant::now(), Duration::from_secs(60));
        answer_now.send(()).unwrap();
    };
    let (called, ()) = tokio::join!(call, pause);
    assert_eq!(called, Err(error(Route::GetClient, Kind::Unavailable(Unavailable::Status(503)), "")));
    assert_eq!(server.lines().len(), 1);
}
