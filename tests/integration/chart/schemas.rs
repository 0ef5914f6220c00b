//! All manifests of the repository, checked by kubeconform against what a real API server publishes of its types.

use std::collections::BTreeSet;

use futures::future::join_all;
use harness::{ControlPlane, Options, Output, Workdir, definition, tool};
use serde_json::{Value, json};
use tokio::process::Command;

use super::Helm;
use super::monitoring::definitions_of_prometheus;
use super::render::CASES;
use crate::fixture::{crds, in_repository};

/// Kinds of Argo CD, Flux and cert-manager whose definitions no test has.
const WITHOUT_SCHEMA: &str =
    "ApplicationSet,GitRepository,Kustomization,ResourceSet,ResourceSetInputProvider,Certificate,Issuer";
/// Files that are no manifests: Kustomize's own, values of a chart, and data of tests for Argo CD.
const NO_MANIFESTS: &str = r"/(kustomization|name-reference|values|\w+_test)\.yaml$";

/// A folder with a schema for each kind.
struct Schemas(Workdir);

impl Schemas {
    /// Those of a cluster that has the definitions of this repository, of Prometheus and of Flux's Helm releases.
    async fn published() -> Self {
        let releases = "config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml";
        let releases = definition("github.com/fluxcd/helm-controller", releases).unwrap();
        let manifests = [crds(), definitions_of_prometheus(), releases].join("\n---\n");
        let options = Options { manifests, without_controller_manager: true, ..Options::default() };
        let plane = ControlPlane::start(options).await.unwrap();
        let kubectl = plane.kubectl().unwrap();
        kubectl.run(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]).await.unwrap();
        harness::eventually(crate::fixture::LONG, "all types are published", async || {
            let text = kubectl.run(&["get", "--raw", "/openapi/v2"]).await.map_err(|error| error.to_string())?;
            let published: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let kinds = kinds(&published["definitions"]);
            let missing: Vec<_> = ["OAuthClient", "ServiceMonitor", "HelmRelease"]
                .into_iter()
                .filter(|wanted| !kinds.iter().any(|(kind, _)| kind["kind"] == *wanted))
                .collect();
            if missing.is_empty() { Ok(Self::write(published["definitions"].clone())) } else { Err(missing.join(", ")) }
        })
        .await
        .unwrap()
    }

    fn write(mut definitions: Value) -> Self {
        let workdir = Workdir::create("schemas").unwrap();
        close(&mut definitions);
        // A quantity may be a number too, which the API server takes and does not publish.
        definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] = json!(["string", "number"]);
        for (kind, name) in kinds(&definitions) {
            let [group, version, kind] = ["group", "version", "kind"].map(|field| kind[field].as_str().unwrap());
            let group = group.split('.').next().filter(|group| !group.is_empty());
            let file = [Some(kind), group, Some(version)].into_iter().flatten().collect::<Vec<_>>().join("-");
            let schema = json!({ "$ref": format!("definitions.json#/definitions/{name}") }).to_string();
            workdir.write(&format!("{}.json", file.to_lowercase()), &schema).unwrap();
        }
        workdir.write("definitions.json", &json!({ "definitions": definitions }).to_string()).unwrap();
        Self(workdir)
    }

    async fn check(&self, files: &[&str], manifest: &str) -> Output {
        let location = self.0.path().join("{{.ResourceKind}}{{.KindSuffix}}.json");
        let mut command = Command::new(tool("kubeconform").unwrap());
        command.args(["-strict", "-output", "json", "-summary", "-skip", WITHOUT_SCHEMA]);
        command.args(["-ignore-filename-pattern", NO_MANIFESTS, "-schema-location"]).arg(location).args(files);
        harness::run(command, manifest).await.unwrap()
    }

    /// Fails unless all is valid, and there is as much as said at least.
    async fn are_met(&self, files: &[&str], manifest: &str, number: u64) {
        let output = self.check(files, manifest).await;
        assert!(output.status.success(), "{files:?}: {}{}", output.stdout, output.stderr);
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        assert!(told["summary"]["valid"].as_u64() >= Some(number), "{files:?}: {}", told["summary"]);
    }
}

/// The kinds that definitions are of, each with the definition's name.
fn kinds(definitions: &Value) -> Vec<(Value, String)> {
    let of = |definition: &Value| definition["x-kubernetes-group-version-kind"].as_array().cloned().unwrap_or_default();
    let all = definitions.as_object().unwrap().iter();
    all.flat_map(|(name, definition)| of(definition).into_iter().map(|kind| (kind, name.clone()))).collect()
}

/// Allows no field but those that are published, and numbers where a number or a text may stand.
fn close(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        if schema.get("format").is_some_and(|format| format == "int-or-string") {
            schema.insert("type".to_owned(), json!(["integer", "string"]));
        }
        let is_closed = schema.get("properties").is_some_and(Value::is_object)
            && !schema.contains_key("additionalProperties")
            && !schema.contains_key("x-kubernetes-preserve-unknown-fields");
        if is_closed {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        schema.values_mut().for_each(close);
    } else if let Some(schemas) = schema.as_array_mut() {
        schemas.iter_mut().for_each(close);
    }
}

/// What the chart renders without values, and with each value of the snapshot.
async fn rendered() -> Vec<String> {
    let helm = Helm::without_cluster();
    // The objects that users add are theirs.
    let cases = CASES.iter().filter(|case| !case.iter().any(|arg| arg.starts_with("extraObjects"))).copied();
    let mut manifests = join_all([&[][..]].into_iter().chain(cases).map(|case| helm.template(case))).await;
    manifests.sort();
    manifests.dedup();
    manifests
}

/// Clusters 4.
#[tokio::test]
async fn all_manifests_fit_what_the_api_server_publishes_and_a_wrong_field_does_not() {
    let schemas = Schemas::published().await;
    let manifests = rendered().await;
    assert!(manifests.len() > 50, "{}", manifests.len());
    // A manifest is seen once, however many values leave it as it is.
    let documents: BTreeSet<&str> = manifests.iter().flat_map(|manifest| manifest.split("\n---\n")).collect();
    schemas.are_met(&["-"], &documents.into_iter().collect::<Vec<_>>().join("\n---\n"), 100).await;
    let folders = ["crds", "deploy", "examples", "gitops"].map(|name| in_repository(name).display().to_string());
    schemas.are_met(&folders.each_ref().map(String::as_str), "", 40).await;

    let deployment = manifests.iter().find(|manifest| manifest.contains("kind: ServiceMonitor")).unwrap();
    for (right, wrong) in [("serviceAccountName:", "serviceAccount-Name:"), ("endpoints:", "endpoint:")] {
        assert!(deployment.contains(right));
        let output = schemas.check(&["-"], &deployment.replace(right, wrong)).await;
        let named = format!("additional properties '{}' not allowed", wrong.trim_end_matches(':'));
        assert!(!output.status.success() && output.stdout.contains(&named), "{}", output.stdout);
    }
    let client =
        "{apiVersion: meshagent.com/v1alpha1, kind: OAuthClient, metadata: {name: web}, spec: {redirectUri: []}}";
    let output = schemas.check(&["-"], client).await;
    assert!(output.stdout.contains("additional properties 'redirectUri' not allowed"), "{}", output.stdout);
}
