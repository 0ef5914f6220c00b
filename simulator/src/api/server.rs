//! The endpoints of MeshAgent's own tools around a sign-in: the server's names and version, and who has signed in.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;

use super::answer::Answer;
use super::{World, bearer};
use crate::signin::{self, Bearer};

/// `GET /config`. One address serves every domain, and the version is the simulator's own.
pub(super) fn config(world: &World) -> Answer {
    let host = world.url.split_once("://").map_or(world.url.as_str(), |(_, host)| host);
    let names = ["studio", "accounts", "powerboards", "api", "mail", "pages", "registry"];
    let domains: serde_json::Map<_, _> = names.into_iter().map(|name| (name.to_owned(), host.into())).collect();
    Answer::json(200, json!({"domains": domains, "version": env!("CARGO_PKG_VERSION")}))
}

/// `GET /accounts/profiles/me`, which MeshAgent's Flutter library needs to end a sign-in.
pub(super) fn me(world: &World, headers: &HeaderMap, now: Duration) -> Answer {
    let unknown = || {
        Answer::error(401, "unauthorized", "the access token is missing, unknown or expired")
            .with_header("www-authenticate", "Bearer")
    };
    let Some(credential) = bearer(headers) else {
        return unknown();
    };
    match world.sessions.bearer(&world.state, credential, now) {
        Bearer::User => Answer::json(200, signin::profile()),
        Bearer::Program => Answer::error(403, "permission_denied", "this credential stands for no user"),
        Bearer::Nobody => unknown(),
    }
}
