//! ServiceMonitor and PrometheusRule under the Prometheus operator's own definitions, and whether a Prometheus that goes by
//! them would find what to scrape.

use std::collections::BTreeSet;

use harness::{Options, definition};
use serde_json::{Value, json};

use super::release::{Cluster, SYSTEM, text};

/// The definitions of ServiceMonitor and PrometheusRule.
pub(crate) fn definitions_of_prometheus() -> String {
    let files = ["servicemonitors", "prometheusrules"].map(|kind| {
        let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml");
        definition("github.com/prometheus-operator/prometheus-operator", &file).unwrap()
    });
    files.join("\n---\n")
}

impl Cluster {
    async fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let list = ["get", kind, "-n", SYSTEM, "-l", selector, "-o", "json"];
        let list: Value = serde_json::from_str(&self.kubectl.run(&list).await.unwrap()).unwrap();
        list["items"].as_array().unwrap().clone()
    }
}

/// Clusters 4; on call 1. A Prometheus finds the pods of both Deployments by the ServiceMonitor, each at the port at which
/// the pod serves its metrics, and has the rules.
#[tokio::test]
async fn a_prometheus_that_selects_the_release_finds_its_pods_and_rules() {
    let cluster = Cluster::start(Options { manifests: definitions_of_prometheus(), ..Options::default() }).await;
    let values = "serviceMonitor.enabled=true,serviceMonitor.labels.prometheus=main,serviceMonitor.interval=30s,\
                  prometheusRule.enabled=true,prometheusRule.labels.prometheus=main";
    let strict = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    let rendered = cluster.helm.template(&["--set", values]).await;
    let output = cluster.kubectl.try_run(&strict, &rendered).await.unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}{}", output.stdout, output.stderr);
    let output = cluster.kubectl.try_run(&strict, &rendered.replace("endpoints:", "endpoint:")).await.unwrap();
    assert!(output.stderr.contains(".spec.endpoint: field not declared in schema"), "{}", output.stderr);

    cluster.install("meshagent-operator", SYSTEM, &["--set", values]).await;
    let monitors = cluster.list("servicemonitors", "prometheus=main").await;
    let [monitor] = &monitors[..] else { unreachable!("{monitors:?}") };
    // Without a selector of namespaces a ServiceMonitor is about its own.
    assert_eq!(monitor["spec"]["namespaceSelector"], Value::Null);
    let selector = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let selector: Vec<String> = selector.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let services = cluster.list("services", &selector.join(",")).await;
    let names: Vec<String> = services.iter().map(|service| text(&service["metadata"]["name"])).collect();
    assert_eq!(names, ["meshagent-operator", "meshagent-operator-webhook"]);
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["path"], &endpoint["interval"]), (&json!("/metrics"), &json!("30s")));
    for name in names {
        let found = targets(&cluster, &name, &endpoint["port"]).await;
        assert_eq!(found, pods_that_serve_metrics(&cluster, &name).await, "{name}");
        assert_eq!(found.len(), 2, "{name}");
    }

    let rules = cluster.list("prometheusrules", "prometheus=main").await;
    let alerts: Value =
        serde_saphyr::from_str(include_str!("../../../charts/meshagent-operator/files/alerts.yaml")).unwrap();
    assert_eq!(rules.iter().map(|rule| &rule["spec"]["groups"]).collect::<Vec<_>>(), [&alerts["groups"]]);
}

/// The pods behind a Service with the number of the port that is called so, as a Prometheus reads them.
async fn targets(cluster: &Cluster, service: &str, port: &Value) -> BTreeSet<(String, u64)> {
    let slices = cluster.list("endpointslices", &format!("kubernetes.io/service-name={service}")).await;
    let mut found = BTreeSet::new();
    for slice in &slices {
        let ports = slice["ports"].as_array().into_iter().flatten().filter(|one| one["name"] == *port);
        for number in ports.map(|one| one["port"].as_u64().unwrap()) {
            let endpoints = slice["endpoints"].as_array().into_iter().flatten();
            found.extend(endpoints.map(|endpoint| (text(&endpoint["targetRef"]["name"]), number)));
        }
    }
    found
}

/// The pods of a Deployment, each with the port at which its arguments, or the default, have it serve metrics.
async fn pods_that_serve_metrics(cluster: &Cluster, deployment: &str) -> BTreeSet<(String, u64)> {
    let deployment = cluster.get(SYSTEM, "deployment", deployment).await;
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let selector: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let pods = cluster.list("pods", &selector.join(",")).await;
    let mut serving = BTreeSet::new();
    for pod in &pods {
        let args = pod["spec"]["containers"][0]["args"].as_array().unwrap();
        let address = args.iter().find_map(|arg| text(arg).strip_prefix("--http-address=").map(str::to_owned));
        let port = address.map_or(8080, |address| address.rsplit(':').next().unwrap().parse().unwrap());
        serving.insert((text(&pod["metadata"]["name"]), port));
    }
    serving
}
