//! Tasks of their own for passes, which end with whoever waits for them.

use tokio::task::{JoinError, JoinHandle};

struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a pass in a task of its own: a panic ends this pass and no other, and passes use all cores. A pass that nobody
/// waits for any more ends: its controller is gone, and another replica may lead soon.
pub(super) async fn run<T: Send + 'static>(pass: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
    let mut owned = Owned(tokio::spawn(pass));
    (&mut owned.0).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// F9.
    #[tokio::test]
    async fn a_pass_ends_with_whoever_waits_for_it() {
        let (started, is_started) = oneshot::channel();
        let (alive, is_dead) = oneshot::channel::<()>();
        let pass = run(async move {
            let _alive = alive;
            started.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            _ = pass => unreachable!("it never ends by itself"),
            _ = is_started => {}
        }
        is_dead.await.unwrap_err();
    }

    #[tokio::test]
    async fn a_panic_ends_one_pass_only() {
        assert_eq!(run(async { 1 }).await.unwrap(), 1);
        assert!(run(async { unreachable!("on purpose") }).await.is_err_and(|error: JoinError| error.is_panic()));
    }
}
