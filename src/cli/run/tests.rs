use std::future::{pending, ready};

use futures::stream;

use super::*;

const NEVER: Duration = Duration::from_secs(3600);

fn signals(names: &[&'static str]) -> impl Stream<Item = &'static str> + Unpin {
    stream::iter(names.to_vec()).chain(stream::pending())
}

#[tokio::test]
async fn work_that_ends_by_itself_ends_the_program_with_its_result() {
    let (stop, _shutdown) = watch::channel(false);
    let failed = ready(Err(Error::CryptoProvider));
    let ended = until_stopped(failed, signals(&[]), NEVER, &stop, &Health::new()).await;
    assert!(matches!(ended, Err(Error::CryptoProvider)));
    assert!(!*stop.borrow());
}

#[tokio::test]
async fn a_signal_lets_work_under_way_end_first() {
    let (stop, mut shutdown) = watch::channel(false);
    let mut finished = false;
    let work = async {
        shutdown.wait_for(|stop| *stop).await.unwrap();
        tokio::task::yield_now().await;
        finished = true;
        Ok(())
    };
    let ended = until_stopped(work, signals(&["SIGTERM"]), NEVER, &stop, &Health::new()).await;
    assert!(ended.is_ok());
    assert!(finished);
}

#[tokio::test]
async fn work_that_does_not_end_is_left_after_the_grace_period() {
    let (stop, _shutdown) = watch::channel(false);
    let grace = Duration::from_millis(1);
    let ended = until_stopped(pending(), signals(&["SIGTERM"]), grace, &stop, &Health::new()).await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (stop, _shutdown) = watch::channel(false);
    let twice = signals(&["SIGINT", "SIGINT"]);
    let ended = until_stopped(pending(), twice, NEVER, &stop, &Health::new()).await;
    assert!(ended.is_ok());
}

/// F9.
#[tokio::test(start_paused = true)]
async fn passes_that_hang_are_left_in_time_to_give_the_lease_back() {
    let (stop, shutdown) = watch::channel(false);
    let (leads, started) = (until_overdue::<Error>(pending(), shutdown, PASSES), tokio::time::Instant::now());
    let told = async {
        tokio::time::sleep(NEVER).await;
        stop.send_replace(true);
    };
    assert!(tokio::join!(leads, told).0.is_ok());
    assert_eq!(started.elapsed(), NEVER + PASSES);
    assert!(PASSES + Duration::from_secs(5) < GRACE, "the rest is for the Lease");
}

/// F9.
#[tokio::test]
async fn passes_that_end_are_not_waited_for_any_longer() {
    let (stop, shutdown) = watch::channel(false);
    stop.send_replace(true);
    assert!(until_overdue(ready(Ok::<_, Error>(())), shutdown, NEVER).await.is_ok());
}
