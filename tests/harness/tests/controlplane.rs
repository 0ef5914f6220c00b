//! The harness keeps what it promises to the tests that build on it.

use std::{collections::BTreeMap, time::Duration};

use harness::{ControlPlane, Namespace, Options, eventually, kstatus, shared};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("kept".to_owned(), "yes".to_owned())])),
        ..ConfigMap::default()
    }
}

async fn make(client: Client, namespace: &str, object: &ConfigMap) -> kube::Result<ConfigMap> {
    Api::namespaced(client, namespace).create(&PostParams::default(), object).await
}

#[tokio::test]
async fn a_user_without_rights_is_known_and_forbidden() {
    let control_plane = shared(Options::default).unwrap();
    let namespace = Namespace::create(control_plane, "rights").await.unwrap();
    let client = control_plane.client_for("nobody", &["nothing"]).await.unwrap();
    let list = Api::<ConfigMap>::namespaced(client, namespace.name()).list(&ListParams::default()).await;
    match list {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403);
            assert!(status.message.contains("User \"nobody\" cannot list"), "{}", status.message);
        }
        other => panic!("expected 403, got {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_carries_the_two_groups_of_a_service_account() {
    let control_plane = shared(Options::default).unwrap();
    let user = "system:serviceaccount:shop:web";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:shop"];
    let kubectl = harness::Kubectl::new(&control_plane.kubeconfig_for(user, &groups).unwrap());
    let whoami = kubectl.run(&["auth", "whoami", "-o", "json"]).await.unwrap();
    let whoami: serde_json::Value = serde_json::from_str(&whoami).unwrap();
    let expected = [groups[0], groups[1], "system:authenticated"];
    assert_eq!(whoami["status"]["userInfo"]["groups"], json!(expected));
    assert_eq!(whoami["status"]["userInfo"]["username"], json!(user));
}

#[tokio::test]
async fn the_garbage_collector_deletes_what_an_object_owned() {
    let control_plane = shared(Options::default).unwrap();
    let namespace = Namespace::create(control_plane, "garbage").await.unwrap();
    let client = control_plane.admin().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let owner = make(client.clone(), namespace.name(), &config_map("owner")).await.unwrap();
    let mut owned = config_map("owned");
    owned.metadata.owner_references = Some(vec![
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid().unwrap(),
        }))
        .unwrap(),
    ]);
    make(client, namespace.name(), &owned).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    eventually(SOON, "the owned object is gone", async || match maps.get_opt("owned").await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("it is there".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn namespaces_have_names_of_their_own_and_are_deleted_when_dropped() {
    let control_plane = shared(Options::default).unwrap();
    let [first, second] = [
        Namespace::create(control_plane, "twin").await.unwrap(),
        Namespace::create(control_plane, "twin").await.unwrap(),
    ];
    assert_ne!(first.name(), second.name());
    let gone = first.name().to_owned();
    drop(first);
    let all: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(control_plane.admin().await.unwrap());
    eventually(SOON, "the namespace is gone", async || match all.get_opt(&gone).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("it is there".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
    .unwrap();
    assert!(all.get_opt(second.name()).await.unwrap().is_some());
}

#[tokio::test]
async fn kstatus_tells_current_from_failed() {
    let object = |conditions: serde_json::Value| {
        json!({
            "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient",
            "metadata": {"name": "web", "namespace": "shop", "generation": 1},
            "status": {"observedGeneration": 1, "conditions": conditions},
        })
    };
    let stalled = json!([{"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "no"}]);
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Ready", "message": "yes"}]);
    assert_eq!(kstatus(&object(stalled)).await.unwrap(), "Failed");
    assert_eq!(kstatus(&object(ready)).await.unwrap(), "Current");
}

#[tokio::test]
async fn data_outlive_the_death_of_etcd_and_of_the_api_server() {
    let options = Options { without_controller_manager: true, ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let client = control_plane.admin().await.unwrap();
    let before = make(client.clone(), "default", &config_map("kept")).await.unwrap();

    control_plane.apiserver().kill().unwrap();
    control_plane.etcd().kill().unwrap();
    assert_eq!(control_plane.apiserver().pid(), None);
    control_plane.etcd().restart().unwrap();
    control_plane.apiserver().restart().unwrap();
    control_plane.ready(SOON).await.unwrap();

    // The client of before still works: the port is the same.
    let after = Api::<ConfigMap>::namespaced(client, "default").get("kept").await.unwrap();
    assert_eq!(after, before);
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn a_frozen_api_server_answers_nothing_until_it_is_thawed() {
    let options = Options { without_controller_manager: true, ..Options::default() };
    let control_plane = ControlPlane::start(options).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(control_plane.admin().await.unwrap(), "default");
    let two_seconds = Duration::from_secs(2);
    tokio::time::timeout(SOON, maps.list(&ListParams::default())).await.unwrap().unwrap();

    control_plane.apiserver().freeze().unwrap();
    let answer = tokio::time::timeout(two_seconds, maps.list(&ListParams::default())).await;
    assert!(answer.is_err(), "a frozen server answered {answer:?}");

    control_plane.apiserver().thaw().unwrap();
    control_plane.ready(SOON).await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn flags_reach_the_api_server_and_a_wrong_one_is_reported_with_its_log() {
    let options = Options { apiserver_args: vec!["--no-such-flag".to_owned()], ..Options::default() };
    let error = ControlPlane::start(options).await.unwrap_err().to_string();
    assert!(error.contains("kube-apiserver has ended"), "{error}");
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}
