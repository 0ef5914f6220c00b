//! What users of labelled pods see.

use harness::eventually;
use serde_json::{Value, json};

use super::replicas::{CERTIFICATE, CONFIGURATION, Injecting};
use super::{created, pod, spec, variables};
use crate::chart::release::{Cluster, SYSTEM, until_ready};
use crate::fixture::{LONG, datum};

const ALL: [&str; 6] = [
    "MESHAGENT_OAUTH_CLIENT_ID",
    "MESHAGENT_OAUTH_CLIENT_SECRET",
    "MESHAGENT_OAUTH_AUTHORIZE_URL",
    "MESHAGENT_OAUTH_TOKEN_URL",
    "MESHAGENT_OAUTH_SCOPES",
    "MESHAGENT_PROJECT_ID",
];

fn deployment(name: &str) -> Value {
    let labels = json!({ "app": name, "meshagent.com/oauth-client": "web" });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": labels }, "spec": spec() },
        },
    })
}

/// The pods of a Deployment, once there are some.
async fn pods_of(cluster: &Cluster, name: &str) -> Vec<Value> {
    let list = ["get", "pods", "-n", "shop", "-l", &format!("app={name}"), "-o", "json"];
    eventually(LONG, "there are pods", async || {
        let pods: Value = serde_json::from_str(&cluster.kubectl.run(&list).await.unwrap()).unwrap();
        let pods = pods["items"].as_array().unwrap().clone();
        if pods.is_empty() { Err("none") } else { Ok(pods) }
    })
    .await
    .unwrap()
}

/// Developer 7, 8; pods 1, 2; platform 8. The Deployment comes before the OAuthClient, which drops a value; and nothing
/// is left that refuses a pod once the release is gone.
#[tokio::test]
async fn a_label_on_a_pod_template_is_all_that_an_application_needs() {
    let injecting = Injecting::start(&[]).await;
    let cluster = &injecting.cluster;
    cluster.apply(&deployment("early")).await;
    let pods = pods_of(cluster, "early").await;
    let [app, proxy] = [0, 1].map(|index| pods[0]["spec"]["containers"][index].clone());
    assert_eq!(variables(&app), [&ALL[..], &["CLIENT"]].concat());
    assert_eq!(app["env"][6]["value"], "$(MESHAGENT_OAUTH_CLIENT_ID)");
    assert_eq!(variables(&proxy), Vec::<String>::new());
    assert_eq!(pods[0]["metadata"]["annotations"]["meshagent.com/injected"], "env:app");

    cluster
        .apply(&json!({
            "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "redirectUris": ["https://shop.example.com/oauth/callback"], "secret": { "keys": { "scopes": "" } } },
        }))
        .await;
    until_ready(cluster, "shop", "maoc", "web").await;
    let secret = cluster.get("shop", "secret", "web-oauth").await;
    // As the kubelet resolves the variables: those that it waits for are there, and one of the others is not.
    for (entry, is_there) in app["env"].as_array().unwrap().iter().zip([true, true, true, true, false, true]) {
        let reference = &entry["valueFrom"]["secretKeyRef"];
        assert_eq!(reference["name"], "web-oauth");
        let key = reference["key"].as_str().unwrap();
        assert_eq!(secret["data"][key].is_string(), is_there, "{key}");
        assert!(is_there || reference["optional"] == true, "{key}");
    }
    assert!(!injecting.webhook.logs().contains(&datum(&secret, "CLIENT_SECRET")));

    cluster.helm.run(&["uninstall", "meshagent-operator", "-n", SYSTEM, "--wait"]).await;
    for kind in ["mutatingwebhookconfiguration", "validatingadmissionpolicy", "validatingadmissionpolicybinding"] {
        let left = ["get", kind, CONFIGURATION, "--ignore-not-found", "-o", "name"];
        assert_eq!(cluster.kubectl.run(&left).await.unwrap(), "", "{kind}");
    }
    eventually(LONG, "a labelled pod starts without its credential", async || {
        created(cluster, &pod("after", &json!({}))).await
    })
    .await
    .unwrap();
    assert_eq!(variables(&cluster.get("shop", "pod", "after").await["spec"]["containers"][0]), ["CLIENT"]);
    // The certificate stays, for a release that comes back.
    cluster.get(SYSTEM, "secret", CERTIFICATE).await;
}

/// On call 7; pods 5; security 7. While no replica answers, labelled pods wait in words, and nobody else does.
#[tokio::test]
async fn without_a_webhook_labelled_pods_are_refused_in_words_and_others_start() {
    let injecting = Injecting::start(&[]).await;
    let cluster = &injecting.cluster;
    injecting.webhook.stop().await;
    let refused = created(cluster, &pod("bare", &json!({}))).await.unwrap_err();
    assert!(refused.contains("failed calling webhook \"inject.meshagent.com\""), "{refused}");
    assert!(refused.contains("no endpoints available for service \"meshagent-operator-webhook\""), "{refused}");
    let mut plain = pod("plain", &json!({}));
    plain["metadata"]["labels"].take();
    assert_eq!(created(cluster, &plain).await, Ok(String::new()));
    // Labelled pods of the cluster's own namespace, and pods that stand for what a node runs already.
    let mut system = pod("system", &json!({}));
    system["metadata"]["namespace"] = json!("kube-system");
    system["spec"]["serviceAccountName"] = json!("default");
    assert_eq!(created(cluster, &system).await, Ok(String::new()));
    let mut mirror = pod("mirror", &json!({ "kubernetes.io/config.mirror": "a" }));
    mirror["spec"]["nodeName"] = json!("node");
    assert_eq!(created(cluster, &mirror).await.map(drop), Ok(()));

    cluster.apply(&deployment("waiting")).await;
    eventually(LONG, "the Deployment says that its pods are refused", async || {
        let failure = crate::fixture::condition(&cluster.get("shop", "deployment", "waiting").await, "ReplicaFailure");
        if failure == "True/FailedCreate" { Ok(()) } else { Err(failure) }
    })
    .await
    .unwrap();
    injecting.webhook.restart().await;
    let pods = pods_of(cluster, "waiting").await;
    assert_eq!(pods[0]["metadata"]["annotations"]["meshagent.com/injected"], "env:app");

    cluster.kubectl.run(&["delete", "mutatingwebhookconfiguration", CONFIGURATION]).await.unwrap();
    let said = "the pod is labelled meshagent.com/oauth-client and was not given its credential";
    eventually(LONG, "the policy refuses a labelled pod", async || {
        let answer = created(cluster, &pod("bare", &json!({}))).await;
        let refused = answer.as_ref().is_err_and(|refusal| refusal.contains(said));
        if refused { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await
    .unwrap();
}

/// A pod that asks for the impossible is refused with names, one that asks for too much is warned, and files are mounted.
#[tokio::test]
async fn annotations_of_a_pod_are_carried_out_or_answered_in_words() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1,injection.form=file"]).await;
    let cluster = &injecting.cluster;
    let contradicting = json!({ "meshagent.com/inject-as": "file", "meshagent.com/inject-keys": "clientId" });
    let refused = created(cluster, &pod("contradicting", &contradicting)).await.unwrap_err();
    let said = "metadata.annotations[meshagent.com/inject-as] is file, which brings the whole Secret, but \
                meshagent.com/inject-keys chooses variables; remove one of the two annotations";
    assert!(refused.contains(said), "{refused}");
    let missing = json!({ "meshagent.com/containers": "istio-proxy,sidecar" });
    let warned = created(cluster, &pod("missing", &missing)).await.unwrap();
    assert!(warned.contains("Warning: the pod has no container called sidecar"), "{warned}");
    let made = cluster.get("shop", "pod", "missing").await;
    let mounts = |index: usize| made["spec"]["containers"][index]["volumeMounts"].to_string();
    assert!(mounts(1).contains("/var/run/secrets/meshagent.com/oauth"), "{}", mounts(1));
    assert!(!mounts(0).contains("meshagent.com"), "{}", mounts(0));
    let front_end = json!({ "meshagent.com/inject-keys": "clientId,authorizeUrl" });
    created(cluster, &pod("front-end", &front_end)).await.unwrap();
    let made = cluster.get("shop", "pod", "front-end").await;
    assert_eq!(variables(&made["spec"]["containers"][0]), [ALL[0], ALL[2], "CLIENT"]);
    assert!(!made["spec"].to_string().contains("CLIENT_SECRET"));
}

/// Pods 6; security 7. The account of the webhook may do what anybody may, and nothing else.
#[tokio::test]
async fn the_webhook_has_no_rights_at_all() {
    let cluster = Cluster::start(harness::Options::default()).await;
    cluster.install("meshagent-operator", SYSTEM, &[]).await;
    let rights = async |account: &str| {
        let account = format!("system:serviceaccount:{SYSTEM}:{account}");
        cluster.kubectl.run(&["auth", "can-i", "--list", "-n", SYSTEM, "--as", &account]).await.unwrap()
    };
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(rights("meshagent-operator-webhook").await), sorted(rights("nobody").await));
    let configuration = cluster.get(SYSTEM, "mutatingwebhookconfiguration", CONFIGURATION).await;
    let webhook = &configuration["webhooks"][0];
    assert_eq!((&webhook["failurePolicy"], &webhook["sideEffects"]), (&json!("Fail"), &json!("None")));
    assert_eq!(webhook["objectSelector"]["matchExpressions"][0]["operator"], "Exists");
}
