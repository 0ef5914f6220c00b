//! The first filling of a cache, and the end of a controller whose cache is never filled.
//!
//! The store's own `wait_until_ready` does not do: it wakes only the last to poll of several who wait on one store, and
//! each controller waits on its own.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::runtime::watcher;
use tokio::sync::{oneshot, watch};

/// Whether a cache was ever filled; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled(Arc<AtomicBool>);

impl Filled {
    /// A listener to the events that fill the cache: it notes when the cache is filled, and tells `once`.
    pub(super) fn tell<K>(
        &self,
        once: oneshot::Sender<()>,
    ) -> impl FnMut(&Result<watcher::Event<K>, watcher::Error>) + use<K> {
        let (filled, mut once) = (Arc::clone(&self.0), Some(once));
        move |event| {
            if let Ok(watcher::Event::InitDone) = event
                && let Some(once) = once.take()
            {
                filled.store(true, Ordering::Release);
                // A receiver that is gone does not wait.
                let _ = once.send(());
            }
        }
    }

    /// Runs the controller that this cache belongs to. The controller ends by itself after shutdown, unless the cache
    /// was never filled: then kube holds every pass back until it is, and there is nothing to wait for.
    pub(super) async fn run(&self, controller: impl Future<Output = ()>, mut shutdown: watch::Receiver<bool>) {
        let unfilled = async {
            // An error means that the sender is gone, and with it the process's other half.
            let _ = shutdown.wait_for(|down| *down).await;
            if self.0.load(Ordering::Acquire) {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = controller => {}
            () = unfilled => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(whole: bool) -> Filled {
        let (filled, (once, _)) = (Filled::default(), oneshot::channel());
        let mut tell = filled.tell::<()>(once);
        tell(&Ok(if whole { watcher::Event::InitDone } else { watcher::Event::Init }));
        filled
    }

    /// F9.
    #[tokio::test]
    async fn a_controller_whose_cache_was_never_filled_ends_when_it_is_told_to_stop() {
        let (stop, shutdown) = watch::channel(false);
        stop.send_replace(true);
        cache(false).run(pending(), shutdown).await;
    }

    /// F9.
    #[tokio::test]
    async fn a_controller_with_passes_under_way_ends_after_them() {
        let (stop, mut shutdown) = watch::channel(false);
        stop.send_replace(true);
        let mut ended = false;
        let passes = async {
            shutdown.changed().await.unwrap();
            tokio::task::yield_now().await;
            ended = true;
        };
        cache(true).run(passes, stop.subscribe()).await;
        assert!(ended);
    }
}
