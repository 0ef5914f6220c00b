//! The REST API: from a request to its answer, without HTTP.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};

pub mod answer;
mod clients;
pub mod route;

use answer::Answer;
use route::{Route, Target};

use crate::generate::Generate;
use crate::signin::{self, Authorized, Issuer, OAuthError, Sessions, TokenRequest};
use crate::state::State;

/// Everything that an answer depends on.
pub struct World {
    /// Projects, keys and clients.
    pub state: State,
    /// Codes and refresh tokens.
    pub sessions: Sessions,
    /// Ids and secrets.
    pub generator: Box<dyn Generate>,
    /// The API's own base URL.
    pub url: String,
    /// When the simulator started.
    pub started: Timestamp,
}

impl World {
    fn issuer(&self, now: Duration) -> Issuer {
        let elapsed = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Issuer { url: self.url.clone(), unix_time: self.started.as_second().saturating_add(elapsed), now }
    }
}

/// Carries a request out and answers it. `overrides` is a patch of the project's settings for this call alone.
pub fn respond(world: &mut World, request: &Request<Bytes>, now: Duration, overrides: Option<&Value>) -> Answer {
    let target = Target::of(request.uri().path());
    let Some(route) = target.route(request.method().as_str()) else {
        return no_route(&target);
    };
    match route {
        Route::OauthAuthorize => authorize(world, request, now),
        Route::OauthToken => token(world, request, now),
        Route::ClientsCreate | Route::ClientsList | Route::ClientsGet | Route::ClientsUpdate | Route::ClientsDelete => {
            clients::respond(world, route, &target, request, now, overrides)
        }
    }
}

fn no_route(target: &Target) -> Answer {
    let allowed: Vec<_> = target.routes().iter().map(|(method, _)| *method).collect();
    if allowed.is_empty() {
        return Answer::error(404, "not_found", "there is nothing at this path");
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
        Err(error) => oauth_error(400, error),
    }
}

fn token(world: &mut World, request: &Request<Bytes>, now: Duration) -> Answer {
    let content_type = header_text(request.headers(), header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Answer::json(
            400,
            json!({"error": "invalid_request", "error_description": "the body must be application/x-www-form-urlencoded"}),
        );
    }
    let authorization = header_text(request.headers(), header::AUTHORIZATION.as_str());
    let form = TokenRequest { authorization, form: request.body() };
    let issuer = world.issuer(now);
    let answer = match signin::token(&world.state, &mut world.sessions, form, &issuer, &mut *world.generator) {
        Ok(tokens) => Answer::json(200, tokens),
        Err(error) if error.code == "invalid_client" => {
            oauth_error(401, error).with_header("www-authenticate", "Basic realm=\"meshagent\"")
        }
        Err(error) => oauth_error(400, error),
    };
    answer.with_header("cache-control", "no-store")
}

fn oauth_error(status: u16, error: OAuthError) -> Answer {
    let OAuthError { code, description } = error;
    Answer::json(status, json!({"error": code, "error_description": description}))
}

/// A header's value, if it is text.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
