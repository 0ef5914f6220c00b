//! SIGTERM and SIGINT.

use std::io;

use futures::stream::{self, Stream};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the operator to stop, by name, as they come. After this call they no longer end the process.
///
/// # Errors
/// Returns an error when the kernel or the runtime refuses.
pub(super) fn to_stop() -> io::Result<impl Stream<Item = &'static str> + Unpin> {
    let terminate = named(signal(SignalKind::terminate())?, "SIGTERM");
    let interrupt = named(signal(SignalKind::interrupt())?, "SIGINT");
    Ok(stream::select(terminate, interrupt))
}

fn named(signal: Signal, name: &'static str) -> impl Stream<Item = &'static str> + Unpin {
    let named = stream::unfold(signal, move |mut signal| async move { signal.recv().await.map(|()| (name, signal)) });
    Box::pin(named)
}
