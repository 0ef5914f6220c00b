//! The routes, each in the form that the documentation gives it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Options;
use simulator::admin::{Normalise, PageTotal, Role, Settings};
use uuid::Uuid;

use crate::support::{Reply, Sim, fields, new_client, reply};

#[tokio::test]
async fn a_client_lives_from_post_to_delete() {
    let sim = Sim::start().await;
    let Reply { status, body, .. } = reply(sim.post()).await;
    assert_eq!(status, 200);
    let mut client = body["client"].clone();
    let secret = client.as_object_mut().unwrap().remove("client_secret").unwrap();
    assert!(
        sim.admin.verify(sim.project, client["client_id"].as_str().unwrap(), secret.as_str().unwrap()).await.unwrap()
    );

    let mut expected = new_client();
    expected["client_id"] = client["client_id"].clone();
    expected["project_id"] = sim.project.to_string().into();
    expected["official"] = false.into();
    assert_eq!(client, expected);

    let path = format!("{}/{}", sim.clients(), client["client_id"].as_str().unwrap());
    assert_eq!(sim.call(Method::GET, &path, None).await.body, expected, "a GET is bare and shows no secret");

    let change = json!({"metadata": {"name": "Other"}, "scope": "openid"});
    let put = sim.call(Method::PUT, &path, Some(&change)).await;
    assert_eq!((put.status, put.body), (200, json!({"ok": true})));
    expected["metadata"] = json!({"name": "Other"});
    expected["scope"] = "openid".into();
    assert_eq!(sim.call(Method::GET, &path, None).await.body, expected);

    let deleted = sim.call(Method::DELETE, &path, None).await;
    assert_eq!((deleted.status, deleted.body), (204, "".into()));
    for (method, body) in [(Method::GET, None), (Method::DELETE, None), (Method::PUT, Some(&change))] {
        let gone = sim.call(method, &path, body).await;
        assert_eq!((gone.status, &gone.body["error"]), (404, &"not_found".into()));
    }
}

#[tokio::test]
async fn a_listing_is_paged_by_count_and_offset() {
    let sim = Sim::start().await;
    let mut ids = Vec::new();
    for _ in 0..103 {
        ids.push(sim.admin.create_client(sim.project, &fields()).await.unwrap().client.client_id);
    }
    let list = async |query: &str| {
        let reply = sim.call(Method::GET, &format!("{}{query}", sim.clients()), None).await;
        assert_eq!((reply.status, &reply.body["total"]), (200, &103.into()));
        let clients = reply.body["clients"].as_array().unwrap().clone();
        assert!(clients.iter().all(|client| client.get("client_secret").is_none()), "a listing shows no secret");
        clients.iter().map(|client| client["client_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ids[..100]);
    assert_eq!(list("?count=2&offset=1").await, ids[1..3]);
    assert_eq!(list("?count=100&offset=100").await, ids[100..]);
    assert_eq!(list("?offset=103").await, Vec::<String>::new());
    for query in ["?count=-1", "?offset=x"] {
        assert_eq!(sim.call(Method::GET, &format!("{}{query}", sim.clients()), None).await.status, 400);
    }
}

#[tokio::test]
async fn a_fast_read_lags_and_a_high_one_does_not() {
    let sim = Sim::with(Options { fast_lag: Duration::from_secs(3600), ..Options::default() }).await;
    let (id, _) = sim.create().await;
    let path = format!("{}/{id}", sim.clients());
    let read = async |path: &str, consistency: Option<&str>| {
        let request = sim.request(Method::GET, path);
        reply(consistency.into_iter().fold(request, |request, value| request.header("Consistency", value))).await
    };
    assert_eq!(read(&path, None).await.status, 404, "the default is fast");
    assert_eq!(read(&path, Some("fast")).await.status, 404);
    assert_eq!(read(&path, Some("high")).await.status, 200);
    assert_eq!(read(&sim.clients(), Some("fast")).await.body["total"], 0);
    assert_eq!(read(&sim.clients(), Some("high")).await.body["total"], 1);

    let settings = Settings { fast_lag: Some(Duration::ZERO), ..Settings::default() };
    sim.admin.configure(sim.project, &settings).await.unwrap();
    assert_eq!(read(&path, Some("fast")).await.status, 200);
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_answered_400_in_words() {
    let sim = Sim::start().await;
    let mut body = new_client();
    body["redirect_uris"] = json!([]);
    let refused = sim.call(Method::POST, &sim.clients(), Some(&body)).await;
    let message = "authorization_code needs at least one redirect URI in redirect_uris";
    assert_eq!((refused.status, refused.body), (400, json!({"error": "invalid_request", "message": message})));
    assert_eq!(sim.call(Method::POST, &sim.clients(), Some(&json!("text"))).await.status, 400);
    assert_eq!(sim.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_opens_its_own_project_only() {
    let sim = Sim::start().await;
    let other = sim.admin.create_project(None).await.unwrap();
    let foreign = format!("/accounts/projects/{}/oauth/clients", other.project_id);
    let nowhere = format!("/accounts/projects/{}/oauth/clients", Uuid::new_v4());
    assert_eq!(sim.call(Method::GET, &foreign, None).await.status, 403);
    assert_eq!(sim.call(Method::GET, &nowhere, None).await.status, 404);
    assert_eq!(sim.call(Method::GET, "/accounts/projects/not-an-id/oauth/clients", None).await.status, 404);

    let with = |key: &str| sim.http.get(format!("{}{foreign}", sim.running.api_url)).bearer_auth(key);
    assert_eq!(reply(with(other.api_key.expose())).await.status, 200);
    assert_eq!(reply(with("ma-unknown")).await.status, 401);
    assert_eq!(reply(sim.http.get(format!("{}{foreign}", sim.running.api_url))).await.status, 401);
}

#[tokio::test]
async fn a_client_of_another_project_is_not_found() {
    let sim = Sim::start().await;
    let other = sim.admin.create_project(None).await.unwrap();
    let theirs = sim.admin.create_client(other.project_id, &fields()).await.unwrap().client.client_id;
    assert_eq!(sim.call(Method::DELETE, &format!("{}/{theirs}", sim.clients()), None).await.status, 404);
}

#[tokio::test]
async fn each_route_needs_its_role() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let (all, one) = (sim.clients(), format!("{}/{id}", sim.clients()));
    let routes = [
        (Method::GET, &all, Role::OauthClientInventory, 200),
        (Method::GET, &one, Role::OauthClientInventory, 200),
        (Method::POST, &all, Role::OauthClientCreator, 200),
        (Method::PUT, &one, Role::OauthClientManager, 200),
        (Method::DELETE, &one, Role::OauthClientManager, 204),
    ];
    for (method, path, needed, status) in routes {
        let without: Vec<_> = Role::ALL.into_iter().filter(|role| *role != needed).collect();
        for (roles, expected) in [(without, 403), (vec![needed], status)] {
            let key = sim.admin.create_key(sim.project, &roles).await.unwrap().api_key;
            let url = format!("{}{path}", sim.running.api_url);
            let body = if method == Method::PUT { json!({}) } else { new_client() };
            let request = sim.http.request(method.clone(), url).bearer_auth(key.expose()).json(&body);
            let reply = reply(request).await;
            assert_eq!(reply.status, expected, "{method} {path} with {roles:?}");
            assert!(expected != 403 || reply.body["message"].as_str().unwrap().contains(needed.name()));
        }
    }
}

#[tokio::test]
async fn the_llm_proxy_needs_its_permission() {
    let sim = Sim::start().await;
    let key = sim.admin.create_key(sim.project, &[Role::OauthClientCreator]).await.unwrap().api_key;
    let mut body = new_client();
    body["scope"] = "openid llm_proxy".into();
    let url = format!("{}{}", sim.running.api_url, sim.clients());
    assert_eq!(reply(sim.http.post(&url).bearer_auth(key.expose()).json(&body)).await.status, 403);
    assert_eq!(reply(sim.http.post(&url).bearer_auth(sim.key.expose()).json(&body)).await.status, 200);
}

#[tokio::test]
async fn a_path_or_method_that_is_not_documented_is_refused() {
    let sim = Sim::start().await;
    let patch = sim.call(Method::PATCH, &sim.clients(), None).await;
    assert_eq!((patch.status, patch.headers["allow"].to_str().unwrap()), (405, "GET, POST"));
    assert_eq!(sim.call(Method::GET, "/accounts/projects", None).await.status, 404);
}

#[tokio::test]
async fn a_project_is_disabled_or_full() {
    let sim = Sim::start().await;
    sim.create().await;
    sim.set(Settings { disabled: true, ..Settings::default() }).await;
    assert_eq!(sim.call(Method::GET, &sim.clients(), None).await.status, 423);
    sim.set(Settings { client_limit: Some(1), text_errors: true, ..Settings::default() }).await;
    let full = reply(sim.post()).await;
    assert_eq!((full.status, full.body), (409, "the project holds 1 OAuth clients, which is its limit".into()));
}

#[tokio::test]
async fn answers_take_the_other_forms_that_clients_must_accept() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    let one = format!("{}/{id}", sim.clients());
    sim.set(Settings { wrap_get: true, secret_in_get: true, ..Settings::default() }).await;
    let wrapped = sim.call(Method::GET, &one, None).await.body;
    assert_eq!(wrapped["client"]["client_secret"], Value::String(secret));
    sim.set(Settings { bare_create: true, ..Settings::default() }).await;
    assert!(reply(sim.post()).await.body["client_id"].is_string());
}

/// F17.
#[tokio::test]
async fn a_listing_shows_secrets_where_older_official_sdks_need_them() {
    let sim = Sim::start().await;
    let (id, secret) = sim.create().await;
    sim.set(Settings { secret_in_list: true, ..Settings::default() }).await;
    let page = sim.call(Method::GET, &sim.clients(), None).await.body;
    assert_eq!(page["clients"][0]["client_secret"], Value::String(secret));
    let one = sim.call(Method::GET, &format!("{}/{id}", sim.clients()), None).await.body;
    assert_eq!(one.get("client_secret"), None, "a GET has a setting of its own");
}

#[tokio::test]
async fn a_listing_lies_as_it_is_told() {
    let sim = Sim::start().await;
    sim.create().await;
    sim.create().await;
    sim.set(Settings { page_total: PageTotal::Missing, max_count: Some(1), ..Settings::default() }).await;
    let page = sim.call(Method::GET, &sim.clients(), None).await.body;
    assert_eq!((page.get("total"), page["clients"].as_array().unwrap().len()), (None, 1));
    sim.set(Settings { page_total: PageTotal::Fixed(999), ignore_offset: true, ..Settings::default() }).await;
    let page = sim.call(Method::GET, &format!("{}?offset=50", sim.clients()), None).await.body;
    assert_eq!((&page["total"], page["clients"].as_array().unwrap().len()), (&999.into(), 2));
}

#[tokio::test]
async fn what_is_stored_is_not_always_what_was_sent() {
    let sim = Sim::start().await;
    let normalise = Normalise { drop_scopes: vec!["email".to_owned()], ..Normalise::default() };
    sim.set(Settings { normalise, ..Settings::default() }).await;
    assert_eq!(reply(sim.post()).await.body["client"]["scope"], "openid");
}
