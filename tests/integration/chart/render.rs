//! The manifests that the chart renders, without a cluster.

use std::collections::BTreeSet;
use std::fs;

use harness::tool;
use serde_json::Value;
use tokio::process::Command;

use super::{Helm, chart};
use crate::fixture::in_repository;

/// Each case of the snapshot: the values that are given, as Helm's arguments.
pub(super) const CASES: &[&[&str]] = &[
    &["--set", "replicas=1"],
    &["--set", "clients=10000"],
    &["--set-json", r#"resources={"limits":{"memory":"1Gi"}}"#],
    &["--set", "image.registry=registry.example.com/mirror"],
    &["--set", "image.repository=platform/operator"],
    &["--set", "image.tag=1.2.3"],
    &["--set", "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
    &["--set", "image.pullPolicy=Always"],
    &["--set", "image.pullSecrets={pull}"],
    &[
        "--set",
        "global.imageRegistry=registry.example.com",
        "--set-json",
        r#"global.imagePullSecrets=[{"name":"pull"}]"#,
    ],
    &["--set", "crds.enabled=false"],
    &["--set", "rbac.create=false"],
    &["--set", "rbac.aggregate=false"],
    &["--set", "rbac.pods=false"],
    &["--set", "serviceAccount.create=false"],
    &["--set", "serviceAccount.name=theirs"],
    &["--set", "serviceAccount.annotations.who=me"],
    &["--set", "defaultProject.secretName=meshagent-api-key"],
    &["--set", "defaultProject.secretName=meshagent-api-key", "--set", "defaultProject.secretKey=key"],
    &["--set", "injection.enabled=false"],
    &["--set", "injection.replicas=1"],
    &["--set", "injection.port=8443"],
    &["--set", "injection.form=file"],
    &["--set", "injection.skipContainers={envoy}"],
    &["--set-json", r#"injection.resources={"limits":{"memory":"1Gi"}}"#],
    &["--set", "injection.certManager=true"],
    &["--set", "rollout.enabled=true"],
    &["--set", "watchNamespaces={shop,billing}"],
    &["--set", "rollout.enabled=true,watchNamespaces={shop,billing}"],
    &["--set", "clusterId=production"],
    &["--set", "allowedApiHosts={api.meshagent.com,api.example.com:8443}"],
    &["--set", "defaultDeletionPolicy=Retain"],
    &["--set", "resyncInterval=1h"],
    &["--set", "log.level=debug"],
    &["--set", "log.format=text"],
    &["--set", "proxy.http=http://proxy:3128"],
    &["--set", "proxy.https=http://proxy:3128"],
    &["--set", "proxy.https=http://proxy:3128", "--set", r"proxy.exclude=.svc\,10.0.0.0/8"],
    &["--set", "fullnameOverride=maop"],
    &["--set", "labels.team=platform"],
    &["--set", "podLabels.mesh=out"],
    &["--set", "podAnnotations.scrape=yes"],
    &[
        "--set-json",
        r#"pod={"priorityClassName":"high","nodeSelector":{"pool":"system"},"tolerations":[{"operator":"Exists"}]}"#,
    ],
    &[
        "--set-json",
        r#"pod={"containers":[{"name":"operator","env":[{"name":"MESHAGENT_OPERATOR_MAX_CONCURRENT","value":"8"}]},{"name":"sidecar","image":"example.com/sidecar"}]}"#,
    ],
    &[
        "--set-json",
        r#"pod={"containers":[{"name":"webhook","env":[{"name":"MESHAGENT_OPERATOR_LOG_LEVEL","value":"debug"}]}]}"#,
    ],
    &["--set-json", r#"pod={"volumes":[{"name":"more","emptyDir":{}}],"serviceAccountName":"theirs"}"#],
    &["--set", "podDisruptionBudget.enabled=false"],
    &["--set", "networkPolicy.enabled=true"],
    &["--set", "networkPolicy.enabled=true", "--set-json", r#"networkPolicy.metricsFrom=[{"namespaceSelector":{}}]"#],
    &["--set", "networkPolicy.enabled=true", "--set-json", r#"networkPolicy.egress=[{"ports":[{"port":3128}]}]"#],
    &["--set", "serviceMonitor.enabled=true"],
    &["--set", "serviceMonitor.enabled=true", "--set", "serviceMonitor.interval=30s"],
    &["--set", "serviceMonitor.enabled=true", "--set", "serviceMonitor.labels.prometheus=main"],
    &["--set", "prometheusRule.enabled=true"],
    &["--set", "prometheusRule.enabled=true", "--set", "prometheusRule.labels.prometheus=main"],
    &["--set", "dashboard.enabled=true"],
    &["--set", "dashboard.enabled=true", "--set-json", r#"dashboard.labels={"grafana_dashboard":"yes"}"#],
    &["--set", "dashboard.enabled=true", "--set", "dashboard.annotations.folder=Identity"],
    &[
        "--set-json",
        r#"extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"more"}},"kind: {{ .Release.Name }}"]"#,
    ],
];

const SNAPSHOT: &str = "tests/integration/chart/values.snapshot";

/// The lines that `to` has besides those of `from`, and those that it lacks, in order.
fn difference(from: &[String], to: &[String]) -> Vec<String> {
    let mut longest = vec![vec![0_usize; to.len() + 1]; from.len() + 1];
    for left in (0..from.len()).rev() {
        for right in (0..to.len()).rev() {
            longest[left][right] = if from[left] == to[right] {
                longest[left + 1][right + 1] + 1
            } else {
                longest[left + 1][right].max(longest[left][right + 1])
            };
        }
    }
    let (mut left, mut right, mut lines) = (0, 0, Vec::new());
    while left < from.len() || right < to.len() {
        if left < from.len() && right < to.len() && from[left] == to[right] {
            (left, right) = (left + 1, right + 1);
        } else if right == to.len() || (left < from.len() && longest[left + 1][right] >= longest[left][right + 1]) {
            lines.push(format!("- {}", from[left]));
            left += 1;
        } else {
            lines.push(format!("+ {}", to[right]));
            right += 1;
        }
    }
    lines
}

/// The lines of a manifest, without long values such as definitions, alerts and the dashboard: their kind says enough.
fn lines(manifest: &str) -> Vec<String> {
    let mut kept = Vec::new();
    for document in manifest.split("\n---\n") {
        let field = |name: &str| document.lines().find_map(|line| line.trim().strip_prefix(name));
        let kind = field("kind: ").unwrap_or_default();
        let long =
            ["CustomResourceDefinition", "PrometheusRule"].contains(&kind) || document.contains("dashboard.json: \"{");
        let all = document.lines().filter(|line| !line.starts_with("# Source") && !line.trim().is_empty());
        let all = all.take_while(|line| !(long && (line.starts_with("spec:") || line.starts_with("data:"))));
        kept.extend(all.map(str::to_owned));
        kept.push("---".to_owned());
    }
    kept
}

async fn snapshot() -> String {
    let helm = Helm::without_cluster();
    let default = lines(&helm.template(&[]).await);
    let mut text = "# Written by `make snapshots`; a test fails when the chart renders anything else.\n\
                    # First the chart without values, its definitions cut short; then what each value changes.\n"
        .to_owned();
    default.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    for case in CASES {
        text.push_str(&format!("\n== {}\n", case.join(" ")));
        let changed = difference(&default, &lines(&helm.template(case).await));
        assert!(!changed.is_empty(), "{case:?} changes nothing");
        changed.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    text
}

#[tokio::test]
async fn each_value_changes_the_manifests_as_it_did() {
    let rendered = snapshot().await;
    if std::env::var_os("WRITE_SNAPSHOTS").is_some() {
        fs::write(in_repository(SNAPSHOT), &rendered).unwrap();
    }
    let kept = fs::read_to_string(in_repository(SNAPSHOT)).unwrap_or_default();
    let differs = kept.lines().zip(rendered.lines()).find(|(kept, rendered)| kept != rendered);
    assert!(kept == rendered, "the chart renders something else; look, then run: make snapshots\n{differs:#?}");
}

/// The plain manifests, without the marks of Helm: nobody is to take them for a release.
async fn manifests() -> String {
    let header = "# Written by `make snapshots` from the chart; a test fails when this file is stale.\n";
    let rendered = Helm::without_cluster().template(&[]).await;
    let of_helm = ["helm.sh/chart: ", "app.kubernetes.io/managed-by: Helm", "# Source: "];
    let lines = rendered.lines().filter(|line| !of_helm.iter().any(|start| line.trim().starts_with(start)));
    [header.to_owned(), lines.map(|line| format!("{line}\n")).collect()].concat()
}

#[tokio::test]
async fn the_plain_manifests_are_what_the_chart_renders() {
    let rendered = manifests().await;
    if std::env::var_os("WRITE_SNAPSHOTS").is_some() {
        fs::write(in_repository("deploy/operator.yaml"), &rendered).unwrap();
    }
    let kept = fs::read_to_string(in_repository("deploy/operator.yaml")).unwrap_or_default();
    assert!(kept == rendered, "deploy/operator.yaml is stale; run: make snapshots");
}

#[test]
fn each_value_has_a_case() {
    fn paths(prefix: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value.as_object().filter(|map| !map.is_empty()) {
            // Labels by name are one value.
            Some(map) if !prefix.ends_with("labels") => {
                map.iter().for_each(|(name, value)| paths(&format!("{prefix}.{name}"), value, found));
            }
            _ => drop(found.insert(prefix.trim_start_matches('.').to_owned())),
        }
    }
    let values: Value = serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap();
    let mut all = BTreeSet::new();
    paths("", &values, &mut all);
    let given: Vec<&str> = CASES.iter().flat_map(|case| case.iter()).filter_map(|arg| arg.split('=').next()).collect();
    all.retain(|path| !given.iter().any(|given| given == path || given.starts_with(&format!("{path}."))));
    assert_eq!(all, BTreeSet::new(), "values without a case");
}

#[tokio::test]
async fn helm_lint_has_nothing_to_say() {
    let helm = Helm::without_cluster();
    let everything = [
        "--set",
        "defaultProject.secretName=key,networkPolicy.enabled=true,serviceMonitor.enabled=true",
        "--set",
        "prometheusRule.enabled=true,dashboard.enabled=true,watchNamespaces={shop},clusterId=a",
        "--set",
        "proxy.https=http://proxy:3128,image.pullSecrets={pull}",
    ];
    for more in [&[][..], &everything] {
        let said = helm.run(&[&["lint", "--strict", "{chart}"], more].concat()).await;
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed") && !said.contains("[WARNING]"), "{said}");
    }
}

/// The checks of kube-score that the chart does not pass, and why.
const NOT_PASSED: &[(&str, &str)] = &[
    ("container-resources", "a CPU limit would throttle the leader while it has to renew its Lease"),
    ("container-ephemeral-storage-request-and-limit", "the root is read-only, and no volume is written to"),
    ("container-image-pull-policy", "a version's tag, or a digest, does not change"),
    ("deployment-has-host-podantiaffinity", "a soft spread over nodes and zones stands in its place"),
];

#[tokio::test]
async fn kube_score_finds_what_is_known_and_nothing_else() {
    let manifests = Helm::without_cluster().template(&["--set", "networkPolicy.enabled=true"]).await;
    let mut command = Command::new(tool("kube-score").unwrap());
    command.args(["score", "--output-format=json", "--kubernetes-version=v1.33", "-"]);
    let output = harness::run(command, &manifests).await.unwrap();
    let scored: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let deployment = scored.iter().any(|object| object["type_meta"]["kind"] == "Deployment");
    assert!(deployment, "{}{}", output.stdout, output.stderr);
    let checks = scored.iter().flat_map(|object| object["checks"].as_array().unwrap());
    let failed = checks.filter(|check| check["skipped"] == false && check["grade"].as_u64().unwrap() < 10);
    let found: BTreeSet<_> = failed.map(|check| check["check"]["id"].as_str().unwrap()).collect();
    let known = NOT_PASSED.iter().map(|(check, _)| *check).collect();
    assert_eq!(found, known, "{}", output.stdout);
}

#[tokio::test]
async fn a_wrong_value_is_refused_by_its_path() {
    let helm = Helm::without_cluster();
    for (value, path, problem) in [
        ("replicas=two", "/replicas", "got string, want integer"),
        ("replicas=-1", "/replicas", "minimum"),
        ("clients=0", "/clients", "minimum"),
        ("replica=2", "", "additional properties 'replica' not allowed"),
        ("image.name=x", "/image", "additional properties 'name' not allowed"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy", "value must be one of"),
        ("image.digest=sha256:short", "/image/digest", "does not match pattern"),
        ("image.registry=https://registry.example.com/", "/image/registry", "does not match pattern"),
        ("watchNamespaces={Shop}", "/watchNamespaces/0", "does not match pattern"),
        ("watchNamespaces=shop", "/watchNamespaces", "got string, want array"),
        ("resyncInterval=10 minutes", "/resyncInterval", "does not match pattern"),
        ("defaultDeletionPolicy=Keep", "/defaultDeletionPolicy", "value must be one of"),
        ("defaultProject.secretKey=a/b", "/defaultProject/secretKey", "does not match pattern"),
        ("injection.port=443", "/injection/port", "minimum"),
        ("injection.port=8080", "/injection/port", "not"),
        ("injection.form=files", "/injection/form", "value must be one of"),
        ("injection.skipContainers={Envoy}", "/injection/skipContainers/0", "does not match pattern"),
        ("log.format=yaml", "/log/format", "value must be one of"),
        ("rollout.enabled=yes", "/rollout/enabled", "got string, want boolean"),
        ("crds.enabled=maybe", "/crds/enabled", "got string, want boolean"),
        ("pod=x", "/pod", "got string, want object"),
    ] {
        let output = helm.try_run(&["template", "a", "{chart}", "--set", value]).await;
        assert!(!output.status.success(), "{value} is accepted");
        assert!(
            output.stderr.contains(&format!("at '{path}'")) && output.stderr.contains(problem),
            "{value}: {}",
            output.stderr
        );
    }
    let blind = helm.try_run(&["template", "a", "{chart}", "--set", "rollout.enabled=true,rbac.pods=false"]).await;
    assert!(blind.stderr.contains("rollout.enabled needs rbac.pods"), "{}", blind.stderr);
}

/// An umbrella chart gives all charts below it `global`, and conditions are usually called `enabled`.
#[tokio::test]
async fn an_umbrella_chart_may_share_values_and_switch_it_off() {
    let helm = Helm::without_cluster();
    let umbrella = helm.home.path().join("umbrella");
    fs::create_dir_all(umbrella.join("charts")).unwrap();
    let chart_yaml = "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  - name: meshagent-operator\n    \
                      version: 0.1.0\n    condition: meshagent-operator.enabled\n";
    fs::write(umbrella.join("Chart.yaml"), chart_yaml).unwrap();
    std::os::unix::fs::symlink(chart(), umbrella.join("charts/meshagent-operator")).unwrap();
    let path = umbrella.display().to_string();
    let render = async |values: &str| helm.run(&["template", "all", &path, "--set", values]).await;
    let on = render("global.imageRegistry=registry.example.com,global.anything.else=1,meshagent-operator.enabled=true")
        .await;
    assert!(on.contains("image: registry.example.com/meshagent/meshagent-operator:"), "{on}");
    assert!(!render("meshagent-operator.enabled=false").await.contains("kind: Deployment"));
}

/// The API server checks in another test what the restricted profile asks of the pod.
#[tokio::test]
async fn the_rights_hold_no_wildcard_and_no_workload() {
    let rendered = Helm::without_cluster().template(&["--set", "crds.enabled=false"]).await;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
    let rules = objects.iter().flat_map(|object| object["rules"].as_array().into_iter().flatten());
    let text: Vec<String> = rules.map(Value::to_string).collect();
    assert!(text.len() > 10, "{text:?}");
    for rule in text {
        assert!(!rule.contains('*') && !rule.contains("\"apps\""), "{rule}");
        // A right to metadata alone cannot be given.
        assert!(!rule.contains("\"pods\"") || rule.contains(r#""verbs":["list","watch"]"#), "{rule}");
    }
}

#[tokio::test]
async fn a_scoped_install_has_no_right_to_secrets_of_the_whole_cluster() {
    let rendered =
        Helm::without_cluster().template(&["--set", "crds.enabled=false,watchNamespaces={shop,billing}"]).await;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
    let mut with_secrets = BTreeSet::new();
    for object in &objects {
        let rules = object["rules"].to_string();
        if rules.contains("\"secrets\"") {
            assert_eq!(object["kind"], "Role", "{object}");
            with_secrets.insert(object["metadata"]["namespace"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(with_secrets, ["billing", "meshagent-operator", "shop"].map(str::to_owned).into());
}
