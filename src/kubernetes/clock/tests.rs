use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tower::{ServiceExt, service_fn};

use super::*;

/// A clock, and what its observer was told.
fn clock() -> (Clock, Arc<Mutex<Vec<i64>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&told);
    (Clock::new(move |skew| observed.lock().unwrap().push(skew.as_secs())), told)
}

/// An answer of an API server whose clock shows this.
async fn answer(clock: &Clock, date: Option<&str>) {
    let date = date.map(str::to_owned);
    let server = service_fn(move |_: Request<()>| {
        let mut answer = Response::new(());
        if let Some(date) = &date {
            answer.headers_mut().insert(DATE, date.parse().unwrap());
        }
        async { Ok::<_, Infallible>(answer) }
    });
    clock.layer(server).oneshot(Request::new(())).await.unwrap();
}

fn ago(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(seconds))
}

/// F35.
#[tokio::test]
async fn an_answer_from_the_past_makes_this_clock_wrong_until_another_sets_it_right() {
    let (clock, told) = clock();
    answer(&clock, Some(&ago(3600))).await;
    assert_eq!(clock.state(), ClockState::Wrong);
    let behind = Timestamp::now().duration_since(clock.now()).as_secs();
    assert!((3595..3605).contains(&behind), "the API server's time is gone by: {behind}");
    answer(&clock, Some(&ago(0))).await;
    assert_eq!(clock.state(), ClockState::Right);
    let told = told.lock().unwrap().clone();
    assert!(told.len() == 2 && told[0] > 3590 && told[1].abs() < 5, "{told:?}");
}

/// F35.
#[tokio::test]
async fn an_answer_of_now_or_without_a_readable_date_changes_nothing() {
    let (clock, told) = clock();
    for date in [None, Some("yesterday"), Some(""), Some("Thu, 99 Nov 2026 00:00:00 GMT")] {
        answer(&clock, date).await;
    }
    answer(&clock, Some(&ago(0))).await;
    assert_eq!((clock.skew(), told.lock().unwrap().len()), (SignedDuration::ZERO, 0));
}

/// F35.
#[tokio::test]
async fn who_waits_is_told_when_the_clock_becomes_wrong_and_not_before() {
    let (clock, _) = clock();
    let (waiting, answered) = (clock.changed(ClockState::Right), async {
        answer(&clock, Some(&ago(30))).await;
        assert_eq!(clock.state(), ClockState::Off);
        answer(&clock, Some(&ago(300))).await;
    });
    assert_eq!(tokio::join!(waiting, answered).0, ClockState::Wrong);
}
