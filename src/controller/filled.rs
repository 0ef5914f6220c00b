//! When a cache is filled for the first time.
//!
//! Not by the store's own `wait_until_ready`: of several who wait on one store only the last to look is woken, and each
//! controller waits on its own.

use kube::runtime::watcher;
use tokio::sync::oneshot;

/// To be told once the cache that these events fill is whole.
pub(super) fn tell<K>(filled: oneshot::Sender<()>) -> impl FnMut(&Result<watcher::Event<K>, watcher::Error>) {
    let mut filled = Some(filled);
    move |event| {
        if let Ok(watcher::Event::InitDone) = event
            && let Some(filled) = filled.take()
        {
            // Whoever is gone does not wait.
            let _ = filled.send(());
        }
    }
}
