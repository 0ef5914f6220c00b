//! An answer put on the wire: whole, or in the way that a fault asks for.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use futures::stream;

use super::connection::Reset;
use crate::api::answer::{Answer, Content};

/// How an answer's body is sent.
pub(super) enum Manner {
    /// The whole body.
    Whole,
    /// Half of the body, then the connection ends.
    Truncated,
    /// Half of the body, then the connection is reset.
    Reset(Reset),
    /// The body, a byte at a time.
    Drip(Duration),
    /// That many bytes instead of the body.
    Flood(u64),
}

/// The HTTP response for an answer.
pub(super) fn response(answer: Answer, manner: Manner) -> Response<Body> {
    let Answer { status, headers, content, client_id: _ } = answer;
    let (content_type, bytes) = match content {
        Content::None => (None, Bytes::new()),
        Content::Json(body) => (Some("application/json".to_owned()), Bytes::from(body.to_string())),
        Content::Text { content_type, text } => (Some(content_type), Bytes::from(text)),
    };
    let length = match manner {
        Manner::Whole => None,
        Manner::Truncated | Manner::Reset(_) => Some(u64::try_from(bytes.len().max(2)).unwrap_or(u64::MAX)),
        Manner::Drip(_) => Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Manner::Flood(length) => Some(length),
    };
    let mut response = Response::new(body(bytes, manner));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = content_type.map(|value| ("content-type".to_owned(), value));
    for (name, value) in content_type.into_iter().chain(headers) {
        // The admin side refuses names and values that HTTP cannot carry.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

fn body(bytes: Bytes, manner: Manner) -> Body {
    match manner {
        Manner::Whole => Body::from(bytes),
        Manner::Truncated => half(bytes, async { io::Error::from(io::ErrorKind::UnexpectedEof) }),
        Manner::Reset(reset) => half(bytes, async move { match reset.now().await {} }),
        Manner::Drip(interval) => Body::from_stream(stream::unfold(bytes, move |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            tokio::time::sleep(interval).await;
            let byte = rest.split_to(1);
            Some((Ok::<_, Infallible>(byte), rest))
        })),
        Manner::Flood(length) => Body::from_stream(stream::unfold(length, |rest| async move {
            let piece = rest.min(FLOOD.len() as u64);
            let bytes = Bytes::from_static(&FLOOD[..usize::try_from(piece).unwrap_or(0)]);
            (piece > 0).then_some((Ok::<_, Infallible>(bytes), rest - piece))
        })),
    }
}

static FLOOD: [u8; 65_536] = [b' '; 65_536];

// Sends half of the bytes, then fails once `end` says so.
fn half(bytes: Bytes, end: impl Future<Output = io::Error> + Send + 'static) -> Body {
    let first = bytes.slice(..bytes.len() / 2);
    Body::from_stream(stream::unfold(Some((Some(first), Box::pin(end))), |state| async move {
        let (first, end) = state?;
        if let Some(first) = first {
            return Some((Ok(first), Some((None, end))));
        }
        // hyper flushes what it has when the body has nothing ready.
        tokio::task::yield_now().await;
        Some((Err(end.await), None))
    }))
}
