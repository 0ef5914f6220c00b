//! The whole sign-in over HTTP.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::support::{Reply, Sim, reply};

const REDIRECT: &str = "https://shop.example.com/cb";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

pub struct SignIn<'a> {
    pub sim: &'a Sim,
    pub client_id: &'a str,
}

impl SignIn<'_> {
    /// The answer to an authorization request.
    pub async fn authorize(&self, redirect_uri: &str) -> Reply {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let parameters = [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", "openid"),
            ("state", "s t"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        reply(self.sim.http.get(format!("{}/oauth/authorize?{query}", self.sim.running.api_url))).await
    }

    /// An authorization code.
    pub async fn code(&self) -> String {
        let answer = self.authorize(REDIRECT).await;
        assert_eq!(answer.status, 302);
        let location = Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
        let parameters: BTreeMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(parameters["state"], "s t");
        parameters["code"].clone()
    }

    /// The answer of the token endpoint; the pair goes into `Authorization` as it is.
    pub async fn token(&self, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Reply {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self.sim.http.post(format!("{}/oauth/token", self.sim.running.api_url));
        request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        if let Some((id, secret)) = basic {
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
        }
        reply(request).await
    }

    /// Redeems a code with the credentials in the body.
    pub async fn redeem_in_body(&self, code: &str, secret: &str) -> Reply {
        let [grant, code, redirect, verifier] = redeeming(code, VERIFIER);
        let credentials = [("client_id", self.client_id), ("client_secret", secret)];
        self.token(None, &[grant, code, redirect, verifier, credentials[0], credentials[1]]).await
    }
}

fn redeeming<'a>(code: &'a str, verifier: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", verifier)]
}

#[tokio::test]
async fn what_the_api_created_signs_in_by_every_way_of_giving_its_credentials() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim: &sim, client_id: &id };
    let encoded: String = byte_serialize(secret.as_bytes()).collect();
    assert!(secret != encoded);

    let code = sign_in.code().await;
    let raw = sign_in.token(Some((&id, &secret)), &redeeming(&code, VERIFIER)).await;
    assert_eq!((raw.status, raw.headers["cache-control"].to_str().unwrap()), (200, "no-store"));
    assert!(raw.body["id_token"].is_string());
    let code = sign_in.code().await;
    assert_eq!(sign_in.token(Some((&id, &encoded)), &redeeming(&code, VERIFIER)).await.status, 200);
    let code = sign_in.code().await;
    assert_eq!(sign_in.redeem_in_body(&code, &secret).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim: &sim, client_id: &id };
    let code = sign_in.code().await;
    let tokens = sign_in.redeem_in_body(&code, &secret).await.body;
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())];
    let refreshed = sign_in.token(Some((&id, &secret)), &form).await;
    assert_eq!((refreshed.status, &refreshed.body["token_type"]), (200, &"Bearer".into()));
    assert!(refreshed.body["refresh_token"] != tokens["refresh_token"]);
    let again = sign_in.token(Some((&id, &secret)), &form).await;
    assert_eq!((again.status, &again.body["error"]), (400, &"invalid_grant".into()));
}

#[tokio::test]
async fn a_wrong_verifier_and_a_used_code_are_refused() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim: &sim, client_id: &id };
    let code = sign_in.code().await;
    let wrong = sign_in.token(Some((&id, &secret)), &redeeming(&code, "wrong")).await;
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &"invalid_grant".into()));
    assert_eq!(sign_in.token(Some((&id, &secret)), &redeeming(&code, VERIFIER)).await.status, 200);
    let used = sign_in.token(Some((&id, &secret)), &redeeming(&code, VERIFIER)).await;
    assert_eq!((used.status, &used.body["error"]), (400, &"invalid_grant".into()));
}

#[tokio::test]
async fn a_wrong_secret_and_a_deleted_client_are_answered_401() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim: &sim, client_id: &id };
    let code = sign_in.code().await;
    let wrong = sign_in.token(Some((&id, "wrong")), &redeeming(&code, VERIFIER)).await;
    assert_eq!((wrong.status, &wrong.body["error"]), (401, &"invalid_client".into()));
    assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    sim.admin.delete_client(sim.project, &id).await.unwrap();
    assert_eq!(sign_in.token(Some((&id, &secret)), &redeeming(&code, VERIFIER)).await.status, 401);
}

#[tokio::test]
async fn an_unregistered_redirect_uri_is_not_redirected_to() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let answer = SignIn { sim: &sim, client_id: &id }.authorize("https://evil.example/").await;
    assert_eq!((answer.status, answer.headers.get("location")), (400, None));
    assert_eq!(answer.body["error"], "invalid_request");
}

#[tokio::test]
async fn the_token_endpoint_wants_a_form_or_json() {
    let sim = Sim::start().await;
    let request = sim.http.post(format!("{}/oauth/token", sim.running.api_url)).body("grant_type=client_credentials");
    let answer = reply(request.header("content-type", "text/plain")).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &"invalid_request".into()));
}
