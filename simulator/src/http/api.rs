//! One call of the API: read, recorded, struck by a fault, answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::Shared;
use super::connection::Reset;
use super::deliver::{Manner, response};
use crate::api::answer::{Answer, Content};
use crate::api::route::{Route, Target};
use crate::api::{header_text, respond};
use crate::fault::{Fault, ResetAt, Stage, Struck, spoil};
use crate::record::{self, Call};
use crate::signin::{self, TokenRequest};

const LONGEST_BODY: usize = 8 * 1024 * 1024;

/// Answers one call.
pub(super) async fn serve(shared: Arc<Shared>, reset: Reset, request: Request<Incoming>) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let (sequence, fault) = open(&shared, &head);
    if let Some(Fault::Reset { at: ResetAt::Before }) = fault {
        match reset.now().await {}
    }
    let body = match Limited::new(incoming, LONGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::debug!(%error, "the body of a call could not be read");
            let answer = Answer::error(413, "invalid_request", "the body is incomplete or too long");
            return Handling { shared, sequence, request: Request::from_parts(head, Bytes::new()) }
                .send(answer, Manner::Whole);
        }
    };
    let handling = Handling { shared, sequence, request: Request::from_parts(head, body) };
    handling.note_request();
    handling.answer(fault, reset).await
}

// Records the head of a call, so that one that is never answered is seen too, and finds its fault.
fn open(shared: &Shared, head: &Parts) -> (u64, Option<Fault>) {
    let (method, path) = (head.method.as_str(), head.uri.path());
    let target = Target::of(path);
    let (route, project) = (target.route(method), target.project());
    let now = shared.now();
    let mut inside = shared.lock();
    let (rule, fault) = inside.faults.strike(Struck { route, method, path, project }).unzip();
    let call = Call {
        sequence: 0,
        time: inside.time(now),
        route,
        project,
        method: method.to_owned(),
        path: record::path(path),
        query: head.uri.query().map(record::query),
        headers: record::headers(&head.headers),
        key_id: record::key_id(&head.headers),
        body: None,
        status: None,
        client_id: target.client_id().map(record::path),
        fault: rule,
    };
    (inside.record.add(call), fault)
}

struct Handling {
    shared: Arc<Shared>,
    sequence: u64,
    request: Request<Bytes>,
}

impl Handling {
    fn note_request(&self) {
        let headers = self.request.headers();
        let body = record::body(header_text(headers, "content-type").unwrap_or_default(), self.request.body());
        let client_id = self.signing_in();
        self.shared.lock().record.amend(self.sequence, |call| {
            call.body = body;
            call.client_id = call.client_id.take().or(client_id);
        });
    }

    // The client that signs in, as it claims.
    fn signing_in(&self) -> Option<String> {
        let uri = self.request.uri();
        let named = match Target::of(uri.path()).route(self.request.method().as_str())? {
            Route::OauthAuthorize => signin::asking_client_id(uri.query().unwrap_or_default().as_bytes()),
            Route::OauthToken => TokenRequest::of(self.request.headers(), self.request.body()).claimed_client_id(),
            Route::ClientsCreate
            | Route::ClientsList
            | Route::ClientsGet
            | Route::ClientsUpdate
            | Route::ClientsDelete
            | Route::Config
            | Route::ProfilesMe
            | Route::OpenidConfiguration
            | Route::OpenidKeys => None,
        };
        named.map(|client_id| record::path(&client_id))
    }

    async fn answer(self, fault: Option<Fault>, reset: Reset) -> Response<Body> {
        let Some(fault) = fault else {
            let answer = self.commit(None);
            return self.send(answer, Manner::Whole);
        };
        let (answer, manner) = match fault {
            Fault::Status { status, body, headers, commit } => {
                if commit {
                    self.commit(None);
                }
                let answer = fixed(status, body.map(|body| with_new_ids(&body)));
                let add = |answer: Answer, (name, value): (String, String)| answer.with_header(&name, value);
                (headers.into_iter().fold(answer, add), Manner::Whole)
            }
            Fault::Delay { duration, stage } => (self.delayed(duration, stage).await, Manner::Whole),
            Fault::Hang { stage } => {
                if stage == Stage::After {
                    self.commit(None);
                }
                std::future::pending().await
            }
            // `Before` has struck already, when only the head had been read.
            Fault::Reset { at: ResetAt::Before } => match reset.now().await {},
            Fault::Reset { at: ResetAt::During } => {
                return response(self.commit(None).with_room_for_a_body(), Manner::Reset(reset));
            }
            Fault::Reset { at: ResetAt::After } => {
                self.commit(None);
                match reset.now().await {}
            }
            Fault::Truncate {} => (self.commit(None).with_room_for_a_body(), Manner::Truncated),
            Fault::Malformed { form } => (spoil(self.commit(None), form), Manner::Whole),
            Fault::CommitLate { after, status } => {
                self.commit_later(after);
                (fixed(status, None), Manner::Whole)
            }
            Fault::Replay {} => {
                self.commit(None);
                (self.commit(None), Manner::Whole)
            }
            Fault::Drip { interval } => (self.commit(None).with_room_for_a_body(), Manner::Drip(interval)),
            Fault::Flood { bytes } => (self.commit(None).with_room_for_a_body(), Manner::Flood(bytes)),
            Fault::Settings { settings } => (self.commit(Some(&settings)), Manner::Whole),
        };
        self.send(answer, manner)
    }

    async fn delayed(&self, duration: Duration, stage: Stage) -> Answer {
        match stage {
            Stage::Before => {
                tokio::time::sleep(duration).await;
                self.commit(None)
            }
            Stage::After => {
                let answer = self.commit(None);
                tokio::time::sleep(duration).await;
                answer
            }
        }
    }

    // The commit belongs to no connection: the caller has its answer and may be gone.
    fn commit_later(&self, after: Duration) {
        let late = Self { shared: Arc::clone(&self.shared), sequence: self.sequence, request: self.request.clone() };
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            late.commit(None);
        });
    }

    // Carries the call out; from here on the record knows which client it was about.
    fn commit(&self, overrides: Option<&Value>) -> Answer {
        let now = self.shared.now();
        let mut inside = self.shared.lock();
        let answer = respond(&mut inside.world, &self.request, now, overrides);
        if let Some(client_id) = &answer.client_id {
            inside.record.amend(self.sequence, |call| call.client_id = Some(record::path(client_id)));
        }
        answer
    }

    fn send(&self, answer: Answer, manner: Manner) -> Response<Body> {
        self.shared.lock().record.amend(self.sequence, |call| call.status = Some(answer.status));
        response(answer, manner)
    }
}

// The body with a new id for each `{uuid}`, as a server that numbers its requests would answer.
fn with_new_ids(body: &Value) -> Value {
    match body {
        Value::String(text) => {
            let parts: Vec<&str> = text.split("{uuid}").collect();
            let with = |text: String, part: &&str| format!("{text}{}{part}", uuid::Uuid::new_v4());
            let (first, rest) = parts.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
            Value::String(rest.iter().fold(first.to_owned(), with))
        }
        Value::Array(items) => Value::Array(items.iter().map(with_new_ids).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), with_new_ids(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    }
}

// The answer that a fault gives in place of the call's own.
fn fixed(status: u16, body: Option<Value>) -> Answer {
    match body {
        Some(Value::String(text)) => Answer::text(status, "text/plain", text),
        Some(body) => Answer::json(status, body),
        None if matches!(status, 204 | 304) => Answer::empty(status),
        None => {
            let mut answer = Answer::error(status, "simulated_fault", "a fault that was asked for");
            if status < 300 {
                answer.content = Content::None;
            }
            answer
        }
    }
}
