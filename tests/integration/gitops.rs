//! The files for users of Argo CD, Flux and Kustomize, tested as far as no cluster is needed.

use std::fs;
use std::path::Path;

use harness::{Workdir, tool};
use serde_json::Value;
use tokio::process::Command;

use super::fixture::in_repository;

async fn kustomize(folder: &Path) -> Vec<Value> {
    let mut command = Command::new(tool("kubectl").unwrap());
    command.args(["kustomize", "--load-restrictor=LoadRestrictionsNone"]).arg(folder);
    let output = harness::run(command, "").await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    serde_saphyr::from_multiple(&output.stdout).unwrap()
}

/// Copies a folder of the repository beside what uses it: Kustomize takes no absolute paths.
fn beside(workdir: &Workdir, folder: &str, name: &str) {
    let to = workdir.path().join(name);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(in_repository(folder)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_name_prefix_keeps_an_oauthclient_and_the_label_of_its_pods_together() {
    let workdir = Workdir::create("kustomize").unwrap();
    beside(&workdir, "gitops/kustomize/oauth-client-names", "names");
    let objects = "\
apiVersion: meshagent.com/v1alpha1
kind: OAuthClient
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec: {template: {metadata: {labels: {app: shop, meshagent.com/oauth-client: web}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {meshagent.com/oauth-client: web}}}}}}
";
    let kustomization = "namePrefix: pr-7-\nresources: [objects.yaml]\ncomponents: [names]\n";
    workdir.write("objects.yaml", objects).unwrap();
    workdir.write("kustomization.yaml", kustomization).unwrap();
    let built = kustomize(workdir.path()).await;
    let of = |kind: &str| built.iter().find(|object| object["kind"] == kind).unwrap();
    assert_eq!(of("OAuthClient")["metadata"]["name"], "pr-7-web");
    let label = "meshagent.com/oauth-client";
    assert_eq!(of("Deployment")["spec"]["template"]["metadata"]["labels"][label], "pr-7-web");
    assert_eq!(of("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"][label], "pr-7-web");
}

#[tokio::test]
async fn the_component_for_argo_cd_adds_to_the_config_map_that_is_there() {
    let workdir = Workdir::create("kustomize").unwrap();
    beside(&workdir, "gitops/argocd/argocd-cm", "health");
    let config =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata: {url: https://argocd.example.com}\n";
    workdir.write("argocd-cm.yaml", config).unwrap();
    workdir.write("kustomization.yaml", "resources: [argocd-cm.yaml]\ncomponents: [health]\n").unwrap();
    let data = kustomize(workdir.path()).await[0]["data"].clone();
    assert_eq!(data["url"], "https://argocd.example.com");
    let health = fs::read_to_string(in_repository("gitops/argocd/meshagent.com/OAuthClient/health.lua")).unwrap();
    assert_eq!(data["resource.customizations.health.meshagent.com_OAuthClient"], health);
    let actions = data["resource.customizations.actions.meshagent.com_OAuthClient"].as_str().unwrap();
    let actions: Value = serde_saphyr::from_str(actions).unwrap();
    let names: Vec<&Value> = actions["definitions"].as_array().unwrap().iter().map(|action| &action["name"]).collect();
    assert_eq!(names, ["reconcile", "resume", "rotate", "suspend"]);
}

/// Each manifest is an object for a cluster with those tools; the values in it are the chart's.
#[test]
fn every_manifest_is_yaml_with_a_kind() {
    let mut kinds = Vec::new();
    for file in [
        "argocd/preview/applicationset.yaml",
        "flux/helmrelease.yaml",
        "flux/kustomizations.yaml",
        "flux/preview/resourceset.yaml",
    ] {
        let text = fs::read_to_string(in_repository("gitops").join(file)).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        kinds.extend(objects.iter().map(|object| object["kind"].as_str().unwrap().to_owned()));
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
}
