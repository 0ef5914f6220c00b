//! The record of calls: complete, and without a secret.

use reqwest::Method;
use serde_json::json;
use simulator::admin::Route;

use crate::sign_in::SignIn;
use crate::support::{Sim, reply};

#[tokio::test]
async fn every_call_is_recorded_in_order() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let one = format!("{}/{id}", sim.clients());
    reply(sim.request(Method::GET, &format!("{}?count=5", sim.clients())).header("Consistency", "high")).await;
    sim.call(Method::PUT, &one, Some(&json!({"scope": "openid"}))).await;
    sim.call(Method::DELETE, &one, None).await;
    sim.call(Method::GET, "/nowhere", None).await;

    let calls = sim.admin.calls().await.unwrap();
    let seen: Vec<_> = calls.iter().map(|call| (call.sequence, call.route, call.status)).collect();
    let expected = [
        (1, Some(Route::ClientsCreate), Some(200)),
        (2, Some(Route::ClientsList), Some(200)),
        (3, Some(Route::ClientsUpdate), Some(200)),
        (4, Some(Route::ClientsDelete), Some(204)),
        (5, None, Some(404)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(calls[0].client_id.as_deref(), Some(id.as_str()), "the answer named it");
    assert_eq!(calls[0].body.as_ref().unwrap()["metadata"]["meshagent.com/token"], "t1");
    assert_eq!((calls[1].query.as_deref(), calls[1].headers["consistency"].as_str()), (Some("count=5"), "high"));
    assert_eq!(calls[2].body, Some(json!({"scope": "openid"})));
    assert!(calls[..4].iter().all(|call| call.project == Some(sim.project) && call.key_id.is_some()));

    sim.admin.clear_calls().await.unwrap();
    assert_eq!(sim.admin.calls().await.unwrap(), []);
    sim.create().await;
    assert_eq!(sim.admin.calls().await.unwrap()[0].sequence, 6);
}

#[tokio::test]
async fn neither_key_nor_secret_code_or_token_is_in_the_record_or_the_state() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let sign_in = SignIn { sim: &sim, client_id: &id };
    let code = sign_in.code().await;
    let tokens = sign_in.redeem_in_body(&code, &secret).await;
    assert_eq!(tokens.status, 200);
    let refresh = tokens.body["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let refreshed = sign_in.token(Some((&id, &secret)), &form).await;
    assert_eq!(refreshed.status, 200);
    // Keys and secrets in the wrong place are not shown either.
    let (misplaced, key) = (secret.as_str(), sim.key.expose());
    reply(sim.request(Method::GET, &format!("/x/{key}?a={key}")).header("x-note", key).body(misplaced.to_owned()))
        .await;
    reply(sim.post().json(&json!({"metadata": {"note": misplaced}, "client_secret": misplaced}))).await;

    let texts = [
        serde_json::to_string(&sim.admin.calls().await.unwrap()).unwrap(),
        serde_json::to_string(&sim.admin.state().await.unwrap()).unwrap(),
        format!("{:?}", sim.running),
    ];
    let token = |name: &str| tokens.body[name].as_str().unwrap();
    let access = refreshed.body["access_token"].as_str().unwrap();
    for hidden in [key, &secret, &code, refresh, token("access_token"), token("id_token"), access] {
        let encoded: String = url::form_urlencoded::byte_serialize(hidden.as_bytes()).collect();
        for text in &texts {
            assert!(!text.contains(hidden) && !text.contains(&encoded), "something secret is shown");
        }
    }
    assert!(texts[0].contains(&id), "the record shows what is not secret");
}
