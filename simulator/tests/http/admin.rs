//! The admin side besides faults and calls, and the program itself.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use simulator::admin::{Admin, AdminError, ClientFields, Role, Settings};
use simulator::{Options, key};
use uuid::Uuid;

use crate::support::{Sim, fields, reply};

#[tokio::test]
async fn the_simulator_begins_with_the_projects_that_it_is_given() {
    let ids = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
    let sim = Sim::with(Options { projects: ids.clone(), ..Options::default() }).await;
    let begun: Vec<_> = sim.running.projects.iter().map(|project| project.project_id).collect();
    assert_eq!(begun, ids);
    for project in &sim.running.projects {
        assert_eq!(key::parse(project.api_key.expose()).map(|ids| ids.project_id), Some(project.project_id));
    }
}

#[tokio::test]
async fn a_key_is_made_with_roles_and_revoked() {
    let sim = Sim::start().await;
    let made = sim.admin.create_key(sim.project, &[Role::OauthClientInventory]).await.unwrap();
    let list = || {
        let url = format!("{}{}", sim.running.api_url, sim.clients());
        sim.http.get(url).bearer_auth(made.api_key.expose())
    };
    assert_eq!(reply(list()).await.status, 200);
    let state = sim.admin.state().await.unwrap();
    assert!(state.projects[0].keys.contains(&made.key));
    sim.admin.revoke_key(made.key.key_id).await.unwrap();
    assert_eq!(reply(list()).await.status, 401);
}

#[tokio::test]
async fn studio_makes_edits_and_deletes_clients_without_a_recorded_call() {
    let sim = Sim::start().await;
    let made = sim.admin.create_client(sim.project, &fields()).await.unwrap();
    let id = made.client.client_id.as_str();
    assert!(sim.admin.verify(sim.project, id, made.client_secret.expose()).await.unwrap());
    assert!(!sim.admin.verify(sim.project, id, "wrong").await.unwrap());
    let change = ClientFields { scope: Some("openid".to_owned()), ..ClientFields::default() };
    sim.admin.edit_client(sim.project, id, &change).await.unwrap();
    let mut expected = made.client.clone();
    expected.scope = "openid".to_owned();
    assert_eq!(sim.admin.state().await.unwrap().clients_of(sim.project), [expected]);
    sim.admin.delete_client(sim.project, id).await.unwrap();
    assert_eq!(sim.held().await, Vec::<String>::new());
    assert!(!sim.admin.verify(sim.project, id, made.client_secret.expose()).await.unwrap());
    assert_eq!(sim.admin.calls().await.unwrap(), []);
}

#[tokio::test]
async fn what_does_not_exist_or_cannot_be_is_refused_in_words() {
    let sim = Sim::start().await;
    let refusal = |error: AdminError| match error {
        AdminError::Refused { status, message, .. } => (status.as_u16(), message),
        AdminError::Call { .. } | AdminError::NoClient(_) => panic!("{error:?}"),
    };
    let nobody = Uuid::from_u128(9);
    let error = sim.admin.configure(nobody, &Settings::default()).await.unwrap_err();
    assert_eq!(refusal(error), (404, "there is no such project".to_owned()));
    let error = sim.admin.create_project(Some(sim.project)).await.unwrap_err();
    assert_eq!(refusal(error), (409, "there is a project of this id".to_owned()));
    let error = sim.admin.create_client(sim.project, &ClientFields::default()).await.unwrap_err();
    assert_eq!(refusal(error), (400, "grant_types is required".to_owned()));
    assert_eq!(refusal(sim.admin.remove_fault(7).await.unwrap_err()).0, 404);
    assert_eq!(refusal(sim.admin.revoke_key(nobody).await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn a_part_of_the_settings_leaves_the_rest() {
    let sim = Sim::start().await;
    sim.admin.configure(sim.project, &Settings { wrap_get: true, ..Settings::default() }).await.unwrap();
    let url = format!("{}/projects/{}", sim.running.admin_url, sim.project);
    let answer = reply(sim.http.put(url).body(json!({"clientLimit": 3}).to_string())).await;
    let settings: Settings = serde_json::from_value(answer.body).unwrap();
    assert_eq!(settings, Settings { wrap_get: true, client_limit: Some(3), ..Settings::default() });
}

#[tokio::test]
async fn a_stopped_simulator_takes_no_more_calls() {
    let sim = Sim::start().await;
    sim.create().await;
    let request = sim.request(Method::GET, &sim.clients());
    sim.running.stop().await;
    assert!(request.send().await.unwrap_err().is_connect());
}

// Keys go to standard output, for the caller of the program, and nowhere else.
#[tokio::test]
async fn the_program_prints_where_it_is_and_ends_on_sigterm() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_meshagent-simulator"))
        .env("MESHAGENT_SIMULATOR_PROJECT", Uuid::from_u128(5).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let started: Value = serde_json::from_str(&line).unwrap();
    let project = &started["projects"][0];
    assert_eq!(project["projectId"], Uuid::from_u128(5).to_string());
    let key = project["apiKey"].as_str().unwrap();

    let admin = Admin::new(started["admin"].as_str().unwrap()).unwrap();
    let path = format!("/accounts/projects/{}/oauth/clients", Uuid::from_u128(5));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let list = http.get(format!("{}{path}", started["api"].as_str().unwrap())).bearer_auth(key);
    assert_eq!(reply(list).await.body, json!({"clients": [], "total": 0}));
    assert_eq!(admin.calls().await.unwrap()[0].path, path);

    let killed = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("ready") && log.contains("stopping"), "{log}");
    assert!(!log.contains(key), "the key is in the log");
}
