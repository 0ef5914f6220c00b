//! The requests of MeshAgent's own tools: its Flutter library and its CLI.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use simulator::admin::Settings;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::support::{Reply, Sim, reply};

const REDIRECT: &str = "https://shop.example.com/cb";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

fn strict() -> Settings {
    Settings { strict_sign_in: true, ..Settings::default() }
}

/// The answer to the authorization request of the Flutter library: no `code_challenge_method`, no `state`.
async fn authorize(sim: &Sim, client_id: &str) -> BTreeMap<String, String> {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let parameters = [
        ("scope", "openid email"),
        ("client_id", client_id),
        ("code_challenge", &challenge),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("prompt", "select_account"),
    ];
    let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
    let answer = reply(sim.http.get(format!("{}/oauth/authorize?{query}", sim.running.api_url))).await;
    assert_eq!(answer.status, 302);
    let location = Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
    location.query_pairs().into_owned().collect()
}

async fn post(sim: &Sim, body: &Value) -> Reply {
    reply(sim.http.post(format!("{}/oauth/token", sim.running.api_url)).json(body)).await
}

async fn post_form(sim: &Sim, form: &[(&str, &str)]) -> Reply {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let request = sim.http.post(format!("{}/oauth/token", sim.running.api_url)).body(body);
    reply(request.header("content-type", "application/x-www-form-urlencoded")).await
}

/// The Flutter library's request for tokens: JSON, and no secret.
fn redeeming(client_id: &str, code: &str, verifier: &str) -> Value {
    json!({
        "client_id": client_id,
        "code_verifier": verifier,
        "code": code,
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT,
    })
}

fn refreshing(client_id: &str, tokens: &Value) -> Value {
    json!({
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": client_id,
        "client_secret": null,
    })
}

async fn me(sim: &Sim, access_token: &str) -> Reply {
    reply(sim.http.get(format!("{}/accounts/profiles/me", sim.running.api_url)).bearer_auth(access_token)).await
}

/// F16.
#[tokio::test]
async fn meshagents_flutter_library_signs_in_finds_its_user_and_refreshes() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let code = authorize(&sim, &id).await["code"].clone();
    let wrong = post(&sim, &redeeming(&id, &code, "wrong")).await;
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &"invalid_grant".into()));

    let tokens = post(&sim, &redeeming(&id, &code, VERIFIER)).await;
    assert_eq!(tokens.status, 200);
    let user = me(&sim, tokens.body["access_token"].as_str().unwrap()).await;
    let expected =
        json!({"id": "simulated-user", "first_name": "Simulated", "last_name": "User", "email": "user@example.com"});
    assert_eq!((user.status, user.body), (200, expected));
    assert_eq!(post(&sim, &refreshing(&id, &tokens.body)).await.status, 200);
}

/// F16.
#[tokio::test]
async fn meshagents_cli_signs_in_without_a_secret() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let code = authorize(&sim, &id).await["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", id.as_str()),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(post_form(&sim, &form).await.status, 200);
}

/// F16.
#[tokio::test]
async fn sign_in_is_as_strict_as_the_settings_say() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let code = authorize(&sim, &id).await["code"].clone();
    sim.set(strict()).await;
    assert_eq!(authorize(&sim, &id).await["error"], "invalid_request", "a challenge without its method");

    let mut body = redeeming(&id, &code, VERIFIER);
    let bare = post(&sim, &body).await;
    assert_eq!((bare.status, &bare.body["error"]), (401, &"invalid_client".into()));
    body["client_secret"] = secret.as_str().into();
    let json = post(&sim, &body).await;
    assert_eq!((json.status, &json.body["error"]), (400, &"invalid_request".into()));
    let form: Vec<_> =
        body.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    assert_eq!(post_form(&sim, &form).await.status, 200);
}

/// F16.
#[tokio::test]
async fn a_secret_that_is_given_must_be_right_and_client_credentials_need_one() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let code = authorize(&sim, &id).await["code"].clone();
    let mut body = redeeming(&id, &code, VERIFIER);
    body["client_secret"] = "wrong".into();
    assert_eq!(post(&sim, &body).await.status, 401);
    for client in [id.as_str(), "nobody"] {
        let alone = post(&sim, &json!({"grant_type": "client_credentials", "client_id": client})).await;
        assert_eq!((alone.status, &alone.body["error"]), (401, &"invalid_client".into()));
    }
}

/// F16.
#[tokio::test]
async fn the_server_tells_its_names_and_version_to_anybody() {
    let sim = Sim::start().await;
    let config = reply(sim.http.get(format!("{}/config", sim.running.api_url))).await;
    let host = sim.running.api_url.strip_prefix("http://").unwrap();
    assert_eq!((config.status, &config.body["domains"]["api"]), (200, &host.into()));
    assert!(config.body["version"].is_string());
}

/// F16.
#[tokio::test]
async fn only_a_user_has_a_profile() {
    let sim = Sim::start().await;
    assert_eq!(me(&sim, sim.key.expose()).await.status, 403);
    assert_eq!(me(&sim, "unknown").await.status, 401);
}

/// F16.
#[tokio::test]
async fn errors_are_nested_where_the_settings_say_so() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    sim.set(Settings { nested_errors: true, ..Settings::default() }).await;
    let gone = sim.call(Method::GET, &format!("{}/nobody", sim.clients()), None).await;
    let expected = json!({"error": {"code": "not_found", "message": "no such OAuth client"}});
    assert_eq!((gone.status, gone.body), (404, expected));
    let refused = post(&sim, &redeeming(&id, "unknown", VERIFIER)).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &"invalid_grant".into()));
}

/// F16.
#[tokio::test]
async fn what_is_posted_as_json_is_recorded_without_its_secrets() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let code = authorize(&sim, &id).await["code"].clone();
    let tokens = post(&sim, &redeeming(&id, &code, VERIFIER)).await.body;
    post(&sim, &refreshing(&id, &tokens)).await;
    me(&sim, tokens["access_token"].as_str().unwrap()).await;
    let calls = sim.admin.calls().await.unwrap();
    let last = calls.len() - 2;
    assert_eq!(calls[last].client_id.as_deref(), Some(id.as_str()));
    assert_eq!(calls[last].body.as_ref().unwrap()["grant_type"], "refresh_token");
    let text = serde_json::to_string(&calls).unwrap();
    for hidden in [code.as_str(), VERIFIER, &tokens["refresh_token"].as_str().unwrap()[..20]] {
        assert!(!text.contains(hidden), "something secret is shown");
    }
}
