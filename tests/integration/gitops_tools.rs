//! Argo CD and Flux beside the operator, by their own code: neither sees a difference in what the operator has changed,
//! and what they apply undoes nothing of it. `make gitops` runs these tests.

use harness::{Options, Output, eventually, tool};
use serde_json::json;
use tokio::process::Command;

use crate::chart::release::{Cluster, SYSTEM, until_ready};
use crate::fixture::LONG;
use crate::injection::former::client;
use crate::injection::replicas::{CONFIGURATION, Injecting};
use crate::injection::restarts::workload;

/// How the tools compare. Argo CD itself takes three sides where a client-side apply left its mark, else two.
const DIFFS: [&[&str]; 3] = [&["argocd"], &["argocd", "--mode", "server-side"], &["flux"]];
/// How they apply, but for a replacement.
const APPLIES: [&[&str]; 3] = [&["argocd-apply"], &["argocd-apply", "--server-side"], &["flux-apply"]];

impl Cluster {
    async fn gitops(&self, args: &[&str], manifest: &str) -> Output {
        let mut command = Command::new(tool("gitopsdiff").unwrap());
        command.env("KUBECONFIG", self.plane.admin_kubeconfig().unwrap()).args(args).arg("-");
        harness::run(command, manifest).await.unwrap()
    }

    /// Applies what is in git as a tool does.
    async fn sync(&self, args: &[&str], manifest: &str) {
        let output = self.gitops(args, manifest).await;
        assert!(output.status.success(), "{args:?}: {}{}", output.stdout, output.stderr);
    }

    async fn posts(&self) -> usize {
        self.changes().await.iter().filter(|method| *method == "POST").count()
    }

    /// Fails if a tool sees a difference between what is in git and what is in the cluster.
    async fn is_in_sync(&self, manifest: &str) {
        for args in DIFFS {
            let output = self.gitops(args, manifest).await;
            assert!(output.status.success(), "{args:?}: {}{}", output.stdout, output.stderr);
        }
    }
}

/// What the operator changes: finalizer, annotations and status of the OAuthClient, and the Deployment's pod template.
/// Clusters 8, pods 9.
#[tokio::test]
#[ignore = "builds the libraries of Argo CD and Flux, which takes minutes: make gitops"]
async fn neither_argo_cd_nor_flux_sees_or_undoes_a_change_of_the_operator() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1,rollout.enabled=true"]).await;
    let cluster = &injecting.cluster;
    let objects = [client(json!({ "rollout": { "restart": "Injected" } })), workload("Deployment", "app", json!({}))];
    let in_git = objects.map(|object| object.to_string()).join("\n---\n");
    cluster.sync(&["argocd-apply"], &in_git).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    cluster.until_pods("app", 2).await;
    cluster.is_in_sync(&in_git).await;

    let client_id = cluster.lose_credential().await;
    cluster.until_restarted("deployment", "app", &client_id).await;
    cluster.is_in_sync(&in_git).await;
    for round in ["first", "second"] {
        for args in APPLIES {
            cluster.sync(args, &in_git).await;
            assert_eq!(cluster.templates("Deployment", "app").await, "2", "{args:?}, {round} time");
        }
    }
    cluster.is_in_sync(&in_git).await;
    assert_eq!(cluster.posts().await, 2);

    // To replace the Deployment takes the annotation away, which is a rollout; the client stays the same.
    cluster.sync(&["argocd-apply", "--replace"], &in_git).await;
    cluster.is_in_sync(&in_git).await;
    injecting.an_hour_later().await;
    cluster.rotate("monday").await;
    let rotated = until_ready(cluster, "shop", "maoc", "web").await["status"]["clientId"].clone();
    cluster.until_restarted("deployment", "app", &rotated).await;
    assert_eq!(cluster.templates("Deployment", "app").await, "4");
    cluster.is_in_sync(&in_git).await;
    assert_eq!(cluster.posts().await, 3);
}

/// The whole release, with the authority that the operator keeps in the webhook's configuration.
#[tokio::test]
#[ignore = "builds the libraries of Argo CD and Flux, which takes minutes: make gitops"]
async fn neither_argo_cd_nor_flux_sees_a_difference_in_an_installed_release() {
    let cluster = Cluster::start(Options::default()).await;
    let values = ["--set", "defaultProject.secretName=meshagent-api-key"];
    let in_git = cluster.helm.template(&values).await;
    for args in APPLIES {
        cluster.sync(args, &in_git).await;
    }
    let _operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    eventually(LONG, "the webhook's authority is trusted", async || {
        let webhook = cluster.get(SYSTEM, "mutatingwebhookconfiguration", CONFIGURATION).await["webhooks"][0].clone();
        if webhook["clientConfig"]["caBundle"].is_string() { Ok(()) } else { Err(webhook.to_string()) }
    })
    .await
    .unwrap();
    cluster.is_in_sync(&in_git).await;
    for args in APPLIES {
        cluster.sync(args, &in_git).await;
        let webhook = cluster.get(SYSTEM, "mutatingwebhookconfiguration", CONFIGURATION).await["webhooks"][0].clone();
        assert!(webhook["clientConfig"]["caBundle"].is_string(), "{args:?}");
    }
    cluster.is_in_sync(&in_git).await;
}
