//! One call for all who ask for the same at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// A call whose answer is shared by all who asked before it was sent, and by nobody who asked later.
#[derive(Debug)]
pub struct SingleFlight<T> {
    sequence: AtomicU64,
    last: Mutex<Option<(u64, T)>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { sequence: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<T: Clone> SingleFlight<T> {
    /// The answer of a call that was begun after this one was asked for.
    pub async fn share(&self, call: impl AsyncFnOnce() -> T) -> T {
        let asked = self.sequence.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((begun, answer)) = last.as_ref()
            && *begun > asked
        {
            return answer.clone();
        }
        let begun = self.sequence.fetch_add(1, Ordering::SeqCst);
        let answer = call().await;
        *last = Some((begun, answer.clone()));
        answer
    }
}
