//! Id tokens that others can verify: discovery, keys and signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;
use simulator::{IdTokens, Options};

use crate::sign_in::SignIn;
use crate::support::{Reply, Sim, reply};

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn get(sim: &Sim, path: &str) -> Reply {
    reply(sim.http.get(format!("{}{path}", sim.running.api_url))).await
}

async fn id_token(sim: &Sim) -> (String, String) {
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim, client_id: &id };
    let code = sign_in.code().await;
    let tokens = sign_in.redeem_in_body(&code, &secret).await.body;
    (id, tokens["id_token"].as_str().unwrap().to_owned())
}

fn decoded(part: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part.as_str().unwrap()).unwrap()
}

/// The token's header and claims, once its signature has been verified under the key.
fn verified(token: &str, key: &Value) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let (n, e) = (decoded(&key["n"]), decoded(&key["e"]));
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = RsaPublicKeyComponents { n: &n, e: &e };
    public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

/// F23.
#[tokio::test]
async fn with_rs256_an_id_token_is_verified_by_what_discovery_leads_to() {
    let sim = Sim::with(Options { id_tokens: IdTokens::Rs256, ..Options::default() }).await;
    let found = get(&sim, DISCOVERY).await;
    assert_eq!((found.status, &found.body["issuer"]), (200, &sim.running.api_url.as_str().into()));
    assert_eq!(found.body["id_token_signing_alg_values_supported"][0], "RS256");
    let keys = reply(sim.http.get(found.body["jwks_uri"].as_str().unwrap())).await;
    let (client_id, token) = id_token(&sim).await;
    let (header, claims) = verified(&token, &keys.body["keys"][0]);
    assert_eq!((&header["alg"], &header["kid"]), (&"RS256".into(), &keys.body["keys"][0]["kid"]));
    assert_eq!((&claims["iss"], &claims["aud"]), (&found.body["issuer"], &client_id.into()));
    assert!(keys.body["keys"][0].get("d").is_none(), "the private half is shown");
}

/// F23.
#[tokio::test]
async fn the_issuer_is_the_url_by_which_others_know_the_api() {
    let url = "https://meshagent.example.com";
    let options = Options { id_tokens: IdTokens::Rs256, url: Some(url.to_owned()), ..Options::default() };
    let sim = Sim::with(options).await;
    let found = get(&sim, DISCOVERY).await.body;
    assert_eq!((&found["issuer"], &found["token_endpoint"]), (&url.into(), &format!("{url}/oauth/token").into()));
    let (_, token) = id_token(&sim).await;
    let (_, claims) = verified(&token, &get(&sim, "/.well-known/jwks.json").await.body["keys"][0]);
    assert_eq!(claims["iss"], url);
}

/// F23.
#[tokio::test]
async fn without_rs256_there_is_no_discovery_as_with_meshagent() {
    let sim = Sim::start().await;
    for path in [DISCOVERY, "/.well-known/jwks.json"] {
        assert_eq!(get(&sim, path).await.status, 404, "{path}");
    }
    let (_, token) = id_token(&sim).await;
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header["alg"], "HS256");
}
