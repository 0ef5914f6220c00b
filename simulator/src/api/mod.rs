//! The REST API: from a request to its answer, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};

pub mod answer;
mod clients;
mod openid;
pub mod route;
mod server;

use answer::Answer;
use route::{Route, Target};

use crate::generate::Generate;
use crate::signin::{self, Authorized, Issuer, OAuthError, Sessions, SigningKey, TokenRequest};
use crate::state::State;

/// Everything that an answer depends on.
pub struct World {
    /// Projects, keys and clients.
    pub state: State,
    /// The codes and tokens that were handed out.
    pub sessions: Sessions,
    /// The source of ids and secrets.
    pub generator: Box<dyn Generate>,
    /// The API's own base URL.
    pub url: String,
    /// The key for id tokens; none: each client's own secret.
    pub signing_key: Option<Arc<SigningKey>>,
    /// When the simulator started.
    pub started: Timestamp,
}

impl World {
    fn issuer(&self, now: Duration) -> Issuer {
        let elapsed = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let unix_time = self.started.as_second().saturating_add(elapsed);
        Issuer { url: self.url.clone(), unix_time, now, signing_key: self.signing_key.clone() }
    }
}

/// Carries a request out and answers it. `overrides` is a patch of the project's settings for this call alone.
pub fn respond(world: &mut World, request: &Request<Bytes>, now: Duration, overrides: Option<&Value>) -> Answer {
    let target = Target::of(request.uri().path());
    let Some(route) = target.route(request.method().as_str()) else {
        return refuse(&target);
    };
    match route {
        Route::OauthAuthorize => authorize(world, request, now),
        Route::OauthToken => token(world, request, now),
        Route::Config => server::config(world),
        Route::ProfilesMe => server::me(world, request.headers(), now),
        Route::OpenidConfiguration => openid::configuration(world),
        Route::OpenidKeys => openid::keys(world),
        Route::ClientsCreate | Route::ClientsList | Route::ClientsGet | Route::ClientsUpdate | Route::ClientsDelete => {
            clients::respond(world, route, &target, request, now, overrides)
        }
    }
}

fn nothing() -> Answer {
    Answer::error(404, "not_found", "there is nothing at this path")
}

fn refuse(target: &Target) -> Answer {
    let allowed: Vec<_> = target.routes().iter().map(|(method, _)| *method).collect();
    if allowed.is_empty() {
        return nothing();
    }
    let allowed = allowed.join(", ");
    let message = format!("this path takes {allowed}");
    Answer::error(405, "method_not_allowed", message).with_header("allow", allowed)
}

fn authorize(world: &mut World, request: &Request<Bytes>, now: Duration) -> Answer {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let issuer = world.issuer(now);
    match signin::authorize(&world.state, &mut world.sessions, query, &issuer, &mut *world.generator) {
        Ok(Authorized { location }) => Answer::empty(302).with_header("location", location),
        Err(error) => in_form_of(world, signin::asking_client_id(query).as_deref(), oauth_error(400, error)),
    }
}

fn token(world: &mut World, request: &Request<Bytes>, now: Duration) -> Answer {
    let asked = TokenRequest::of(request.headers(), request.body());
    let issuer = world.issuer(now);
    let answer = match signin::token(&world.state, &mut world.sessions, asked, &issuer, &mut *world.generator) {
        Ok(tokens) => Answer::json(200, tokens),
        Err(error) if error.code == "invalid_client" => {
            oauth_error(401, error).with_header("www-authenticate", "Basic realm=\"meshagent\"")
        }
        Err(error) => oauth_error(400, error),
    };
    in_form_of(world, asked.claimed_client_id().as_deref(), answer).with_header("cache-control", "no-store")
}

// A client that nobody knows has no project whose settings could apply.
fn in_form_of(world: &World, client_id: Option<&str>, answer: Answer) -> Answer {
    match client_id.and_then(|client_id| world.state.project_of(client_id)) {
        Some(project) if project.settings.nested_errors => answer.with_errors_as(&project.settings),
        Some(_) | None => answer,
    }
}

fn oauth_error(status: u16, error: OAuthError) -> Answer {
    let OAuthError { code, description } = error;
    Answer::json(status, json!({"error": code, "error_description": description}))
}

/// A header's value, if it is text.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The credential in `Authorization`, if it is a bearer's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credential) = header_text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
}
