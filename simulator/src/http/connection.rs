//! The API's connections. They are ours rather than axum's, since a fault may reset one.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::{Shared, api};

// How long calls under way may take once the simulator is told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Lets a call reset the connection that it came by.
#[derive(Clone, Default)]
pub(super) struct Reset(Arc<ResetState>);

#[derive(Default)]
struct ResetState {
    wanted: AtomicBool,
    woken: Notify,
}

impl Reset {
    /// Resets the connection. The call ends here: its future never returns.
    pub(super) async fn now(&self) -> Infallible {
        self.0.wanted.store(true, Ordering::SeqCst);
        self.0.woken.notify_one();
        std::future::pending().await
    }
}

// A socket that is closed with RST instead of FIN if a reset is wanted when it is dropped.
struct Socket {
    stream: TcpStream,
    reset: Reset,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.0.wanted.load(Ordering::SeqCst)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "a connection is closed where it should be reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Takes connections until told to stop.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&shared), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // A process out of descriptors would only spin if it tried again at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = told_to(&mut stop) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small writes may be held back");
    }
    let reset = Reset::default();
    let service = service_fn(|request| {
        let (shared, reset) = (Arc::clone(&shared), reset.clone());
        async move { Ok::<_, Infallible>(api::serve(shared, reset, request).await) }
    });
    let socket = TokioIo::new(Socket { stream, reset: reset.clone() });
    let conversation = http1::Builder::new().timer(TokioTimer::new()).serve_connection(socket, service);
    let mut conversation = pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = reset.0.woken.notified() => return,
        () = told_to(&mut stop) => {
            conversation.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, conversation).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until the simulator is told to stop.
pub(super) async fn told_to(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops the simulator too.
    drop(stop.wait_for(|stop| *stop).await);
}
