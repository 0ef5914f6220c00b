use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::*;
use crate::generate::Counting;
use crate::state::State;
use crate::state::client::ClientFields;
use crate::state::settings::Settings;

const PROJECT: Uuid = Uuid::from_u128(0xA);
const REDIRECT: &str = "https://shop.example.com/cb?keep=1";
const FORM: &str = "application/x-www-form-urlencoded";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

struct Stage {
    state: State,
    sessions: Sessions,
    generator: Counting,
    client_id: String,
    secret: Secret,
    now: Duration,
}

impl Stage {
    fn new() -> Self {
        let mut generator = Counting::default();
        let mut state = State::new(Duration::ZERO);
        state.add_project(PROJECT);
        let fields = ClientFields {
            grant_types: Some(["authorization_code", "refresh_token"].map(str::to_owned).to_vec()),
            response_types: Some(vec!["code".to_owned(), "token".to_owned()]),
            redirect_uris: Some(vec![REDIRECT.to_owned()]),
            scope: Some("openid email".to_owned()),
            ..ClientFields::default()
        };
        let project = state.project_mut(PROJECT).unwrap();
        let (client, secret) = project.create(&Settings::default(), fields, Duration::ZERO, &mut generator).unwrap();
        let now = Duration::from_secs(1);
        Self { state, sessions: Sessions::default(), generator, client_id: client.client_id, secret, now }
    }

    fn issuer(&self) -> Issuer {
        Issuer { url: "http://api.example".to_owned(), unix_time: 1000, now: self.now, signing_key: None }
    }

    fn update(&mut self, fields: ClientFields) {
        let project = self.state.project_mut(PROJECT).unwrap();
        project.update(&Settings::default(), &self.client_id, fields, self.now).unwrap();
    }

    // The usual request with some parameters changed; an empty value takes one away.
    fn authorize(&mut self, changes: &[(&str, &str)]) -> Result<BTreeMap<String, String>, OAuthError> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let client_id = self.client_id.clone();
        let usual = [
            ("response_type", "code"),
            ("client_id", &client_id),
            ("redirect_uri", REDIRECT),
            ("state", "xyz"),
            ("nonce", "n"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let query = form(&usual, changes);
        let issuer = self.issuer();
        let Authorized { location } =
            authorize(&self.state, &mut self.sessions, query.as_bytes(), &issuer, &mut self.generator)?;
        assert!(location.starts_with(REDIRECT), "{location}");
        Ok(Url::parse(&location).unwrap().query_pairs().into_owned().collect())
    }

    fn code(&mut self) -> String {
        self.authorize(&[]).unwrap()["code"].clone()
    }

    fn token(&mut self, authorization: Option<&str>, parameters: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let form = form(parameters, &[]);
        let issuer = self.issuer();
        let request = TokenRequest { authorization, content_type: FORM, body: form.as_bytes() };
        token(&self.state, &mut self.sessions, request, &issuer, &mut self.generator)
    }

    fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.client_id, self.secret.expose())))
    }

    fn redeem(&mut self, code: &str, changes: &[(&str, &str)]) -> Result<Value, OAuthError> {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        let form = form(&usual, changes);
        let parameters: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let basic = self.basic();
        self.token(Some(&basic), &parameters)
    }

    fn refresh(&mut self, token: &str) -> Result<Value, OAuthError> {
        let basic = self.basic();
        self.token(Some(&basic), &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

fn form(usual: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let unchanged = usual.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    form.extend_pairs(unchanged).extend_pairs(changes).finish()
}

fn code_of(result: Result<Value, OAuthError>) -> &'static str {
    result.unwrap_err().code
}

#[test]
fn a_code_is_redeemed_for_tokens() {
    let mut stage = Stage::new();
    let answer = stage.authorize(&[("scope", "openid")]).unwrap();
    assert_eq!((answer["state"].as_str(), answer["keep"].as_str()), ("xyz", "1"));
    let tokens = stage.redeem(&answer["code"], &[]).unwrap();
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["scope"]),
        (&"Bearer".into(), &3600.into(), &"openid".into())
    );
    let claims = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["aud"], &claims["nonce"]), (&stage.client_id.as_str().into(), &"n".into()));
}

#[test]
fn an_id_token_is_asked_for_by_openid() {
    let mut stage = Stage::new();
    let code = stage.authorize(&[("scope", "email")]).unwrap()["code"].clone();
    assert!(stage.redeem(&code, &[]).unwrap().get("id_token").is_none());
}

#[test]
fn an_unknown_client_or_redirect_uri_is_never_redirected_to() {
    let mut stage = Stage::new();
    assert_eq!(stage.authorize(&[("client_id", "nobody")]).unwrap_err().code, "invalid_client");
    assert_eq!(stage.authorize(&[("redirect_uri", "https://evil.example/cb")]).unwrap_err().code, "invalid_request");
    assert_eq!(stage.authorize(&[("redirect_uri", "")]).unwrap_err().code, "invalid_request");
}

#[test]
fn other_errors_go_back_to_the_client_with_its_state() {
    let mut stage = Stage::new();
    let mut error = |changes: &[(&str, &str)]| {
        let answer = stage.authorize(changes).unwrap();
        assert_eq!((answer["state"].as_str(), answer.get("code")), ("xyz", None));
        answer["error"].clone()
    };
    assert_eq!(error(&[("response_type", "id_token")]), "unauthorized_client");
    assert_eq!(error(&[("response_type", "token")]), "unsupported_response_type");
    assert_eq!(error(&[("scope", "openid admin")]), "invalid_scope");
    assert_eq!(error(&[("code_challenge_method", "plain")]), "invalid_request");
    assert_eq!(error(&[("code_challenge", "")]), "invalid_request");
    stage.update(ClientFields { grant_types: Some(vec!["client_credentials".to_owned()]), ..ClientFields::default() });
    assert_eq!(stage.authorize(&[]).unwrap()["error"], "unauthorized_client");
}

#[test]
fn a_code_needs_its_verifier_its_redirect_uri_and_its_time() {
    let mut stage = Stage::new();
    let code = stage.code();
    assert_eq!(code_of(stage.redeem(&code, &[("code_verifier", "wrong")])), "invalid_grant");
    assert_eq!(code_of(stage.redeem(&code, &[("code_verifier", "")])), "invalid_request");
    assert_eq!(code_of(stage.redeem(&code, &[("redirect_uri", "https://other.example/")])), "invalid_grant");
    assert!(stage.redeem(&code, &[]).is_ok(), "a failed try does not spend the code");
    let code = stage.code();
    stage.now += CODE_LIFETIME;
    assert_eq!(code_of(stage.redeem(&code, &[])), "invalid_grant");
}

#[test]
fn a_code_used_twice_takes_the_refresh_token_back() {
    let mut stage = Stage::new();
    let code = stage.code();
    let tokens = stage.redeem(&code, &[]).unwrap();
    assert_eq!(code_of(stage.redeem(&code, &[])), "invalid_grant");
    assert_eq!(code_of(stage.refresh(tokens["refresh_token"].as_str().unwrap())), "invalid_grant");
}

#[test]
fn a_refresh_token_rotates_and_its_reuse_ends_the_sign_in() {
    let mut stage = Stage::new();
    let code = stage.code();
    let first = stage.redeem(&code, &[]).unwrap()["refresh_token"].as_str().unwrap().to_owned();
    let second = stage.refresh(&first).unwrap()["refresh_token"].as_str().unwrap().to_owned();
    assert!(first != second, "a refresh token rotates");
    assert_eq!(code_of(stage.refresh(&first)), "invalid_grant");
    assert_eq!(code_of(stage.refresh(&second)), "invalid_grant");
}

#[test]
fn a_grant_that_the_client_lost_is_refused() {
    let mut stage = Stage::new();
    let code = stage.code();
    let refresh = stage.redeem(&code, &[]).unwrap()["refresh_token"].as_str().unwrap().to_owned();
    stage.update(ClientFields { grant_types: Some(vec!["authorization_code".to_owned()]), ..ClientFields::default() });
    assert_eq!(code_of(stage.refresh(&refresh)), "unauthorized_client");
    let code = stage.code();
    assert!(stage.redeem(&code, &[]).unwrap().get("refresh_token").is_none());
}

#[test]
fn client_credentials_get_an_access_token_only() {
    let mut stage = Stage::new();
    stage.update(ClientFields { grant_types: Some(vec!["client_credentials".to_owned()]), ..ClientFields::default() });
    let basic = stage.basic();
    let tokens = stage.token(Some(&basic), &[("grant_type", "client_credentials")]).unwrap();
    let names: Vec<_> = tokens.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access_token", "expires_in", "scope", "token_type"]);
    let scope = [("grant_type", "client_credentials"), ("scope", "admin")];
    assert_eq!(code_of(stage.token(Some(&basic), &scope)), "invalid_scope");
    assert_eq!(code_of(stage.token(Some(&basic), &[("grant_type", "password")])), "unsupported_grant_type");
}

#[test]
fn credentials_are_taken_raw_form_encoded_and_from_the_body_but_only_one_way_at_a_time() {
    let mut stage = Stage::new();
    stage.update(ClientFields { grant_types: Some(vec!["client_credentials".to_owned()]), ..ClientFields::default() });
    let (id, secret) = (stage.client_id.clone(), stage.secret.expose().to_owned());
    assert!(secret.contains('='), "this test needs a secret that form-encoding changes");
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let header = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let grant = ("grant_type", "client_credentials");
    let body = [grant, ("client_id", id.as_str()), ("client_secret", secret.as_str())];

    assert!(stage.token(Some(&header(&secret)), &[grant]).is_ok());
    assert!(stage.token(Some(&header(&encoded)), &[grant, ("client_id", &id)]).is_ok());
    assert!(stage.token(None, &body).is_ok());
    assert_eq!(code_of(stage.token(Some(&header(&secret)), &body)), "invalid_request");
    let other = [grant, ("client_id", "other")];
    assert_eq!(code_of(stage.token(Some(&header(&secret)), &other)), "invalid_request");
    assert_eq!(code_of(stage.token(Some(&header("wrong")), &[grant])), "invalid_client");
    assert_eq!(code_of(stage.token(None, &[grant])), "invalid_client");
    assert_eq!(code_of(stage.token(Some("Bearer x"), &[grant])), "invalid_client");
}

#[test]
fn a_deleted_client_and_a_disabled_project_sign_nobody_in() {
    let mut stage = Stage::new();
    let code = stage.code();
    stage.state.project_mut(PROJECT).unwrap().settings.disabled = true;
    assert_eq!(code_of(stage.redeem(&code, &[])), "unauthorized_client");
    assert_eq!(stage.authorize(&[]).unwrap()["error"], "access_denied");
    stage.state.project_mut(PROJECT).unwrap().settings.disabled = false;
    stage.state.project_mut(PROJECT).unwrap().delete(&stage.client_id.clone(), Duration::from_secs(2));
    assert_eq!(code_of(stage.redeem(&code, &[])), "invalid_client");
}

#[test]
fn a_parameter_given_twice_is_refused() {
    assert_eq!(Parameters::parse(b"a=1&a=2").unwrap_err().code, "invalid_request");
}

#[test]
fn a_challenge_without_its_method_is_s256_unless_sign_in_is_strict() {
    let mut stage = Stage::new();
    let code = stage.authorize(&[("code_challenge_method", "")]).unwrap()["code"].clone();
    assert_eq!(code_of(stage.redeem(&code, &[("code_verifier", "wrong")])), "invalid_grant");
    assert!(stage.redeem(&code, &[]).is_ok());
    let plain = [("code_challenge_method", ""), ("code_challenge", VERIFIER)];
    let code = stage.authorize(&plain).unwrap()["code"].clone();
    assert_eq!(code_of(stage.redeem(&code, &[])), "invalid_grant");
    stage.state.project_mut(PROJECT).unwrap().settings.strict_sign_in = true;
    assert_eq!(stage.authorize(&[("code_challenge_method", "")]).unwrap()["error"], "invalid_request");
}

#[test]
fn a_json_body_holds_strings_and_what_is_null_counts_as_none() {
    let read = |body: &str| {
        TokenRequest { authorization: None, content_type: "application/json; charset=utf-8", body: body.as_bytes() }
            .parameters()
            .map(|(parameters, _)| parameters.0)
            .map_err(|error| error.code)
    };
    let expected = BTreeMap::from([("code".to_owned(), "x".to_owned())]);
    assert_eq!(read(r#"{"code": "x", "client_secret": null, "scope": ""}"#), Ok(expected));
    for broken in ["", "[]", r#"{"code": 7}"#, r#"{"code": {"a": "b"}}"#] {
        assert_eq!(read(broken), Err("invalid_request"), "{broken}");
    }
}

#[test]
fn an_access_token_stands_for_the_user_until_it_expires_or_its_sign_in_ends() {
    let mut stage = Stage::new();
    let code = stage.code();
    let token = stage.redeem(&code, &[]).unwrap()["access_token"].as_str().unwrap().to_owned();
    let bearer = |stage: &Stage, now| stage.sessions.bearer(&stage.state, &token, now);
    assert_eq!(bearer(&stage, stage.now), Bearer::User);
    assert_eq!(bearer(&stage, stage.now + TOKEN_LIFETIME), Bearer::Nobody);
    assert_eq!(code_of(stage.redeem(&code, &[])), "invalid_grant");
    assert_eq!(bearer(&stage, stage.now), Bearer::Nobody);
}
