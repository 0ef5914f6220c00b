use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::decide::client::desired::Present;
use crate::decide::project::spec::ProjectSettings;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn generated() -> String {
    let mut out = Vec::new();
    crate::cli::crds::run(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_generated_crds_are_fresh() {
    let written = std::fs::read_to_string(in_repository("crds/meshagent.com.yaml")).unwrap();
    assert!(
        written == generated(),
        "crds/meshagent.com.yaml is stale; run: cargo run --bin meshagent-operator -- crds > crds/meshagent.com.yaml"
    );
}

#[test]
fn the_generated_stream_is_read_back_as_the_crds() {
    let read: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&generated()).unwrap();
    assert_eq!(read, crds::all());
}

#[test]
fn every_kind_has_the_frozen_group_and_version() {
    for crd in crds::all() {
        assert_eq!(crd.spec.group, names::GROUP);
        let versions: Vec<&str> = crd.spec.versions.iter().map(|version| version.name.as_str()).collect();
        assert_eq!(versions, [names::VERSION]);
    }
    assert_eq!(OAuthClient::api_version(&()), format!("{}/{}", names::GROUP, names::VERSION));
    assert_eq!(names::PREFIX, format!("{}/", names::GROUP));
}

/// Calls `visit` with each part of each schema and its path.
fn each_part(visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    fn part(path: &str, schema: &JSONSchemaProps, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
        visit(path, schema);
        for (name, property) in schema.properties.iter().flatten() {
            part(&format!("{path}.{name}"), property, visit);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
            part(&format!("{path}[]"), item, visit);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
            part(&format!("{path}{{}}"), value, visit);
        }
    }
    for crd in crds::all() {
        let root = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        part(&crd.spec.names.kind, root, visit);
    }
}

#[test]
fn the_status_has_the_only_default() {
    let mut defaults = Vec::new();
    each_part(&mut |path, schema| {
        defaults.extend(schema.default.as_ref().map(|default| (path.to_owned(), default.0.clone())));
    });
    let wanted = ["OAuthClient.status", "MeshAgentProject.status", "ClusterMeshAgentProject.status"]
        .map(|path| (path.to_owned(), serde_json::json!({"observedGeneration": -1})));
    assert_eq!(defaults, wanted);
}

#[test]
fn only_references_have_required_fields() {
    let mut required = BTreeSet::new();
    each_part(&mut |path, schema| {
        let fields = schema.required.iter().flatten().map(|field| format!("{path}.{field}"));
        required.extend(fields.filter(|field| field.contains(".spec")));
    });
    let wanted = [
        "ClusterMeshAgentProject.spec",
        "ClusterMeshAgentProject.spec.adoption.allowedNamespaces.selector.matchExpressions[].key",
        "ClusterMeshAgentProject.spec.adoption.allowedNamespaces.selector.matchExpressions[].operator",
        "ClusterMeshAgentProject.spec.allowedNamespaces.selector.matchExpressions[].key",
        "ClusterMeshAgentProject.spec.allowedNamespaces.selector.matchExpressions[].operator",
        "ClusterMeshAgentProject.spec.apiKeySecretRef",
        "ClusterMeshAgentProject.spec.apiKeySecretRef.name",
        "ClusterMeshAgentProject.spec.caBundleRef.kind",
        "ClusterMeshAgentProject.spec.caBundleRef.name",
        "MeshAgentProject.spec",
        "MeshAgentProject.spec.apiKeySecretRef",
        "MeshAgentProject.spec.apiKeySecretRef.name",
        "MeshAgentProject.spec.caBundleRef.kind",
        "MeshAgentProject.spec.caBundleRef.name",
        "OAuthClient.spec",
        "OAuthClient.spec.adopt.clientId",
        "OAuthClient.spec.adopt.credentialSecretRef.name",
        "OAuthClient.spec.projectRef.kind",
        "OAuthClient.spec.projectRef.name",
    ];
    assert_eq!(required, wanted.map(str::to_owned).into());
}

#[test]
fn every_field_of_a_spec_says_its_default_or_rule() {
    each_part(&mut |path, schema| {
        let is_field = path.contains(".spec.") && !path.ends_with("[]") && !path.ends_with("{}");
        // The fields of a selector are described by Kubernetes.
        if is_field && !path.contains(".selector.") {
            let text = schema.description.as_deref().unwrap_or_default();
            assert!(text.contains("Default: ") || text.contains("Rule: "), "{path}: {text:?}");
        }
    });
}

#[test]
fn lists_are_atomic_but_for_conditions_and_integers_have_signs() {
    each_part(&mut |path, schema| {
        if schema.type_.as_deref() == Some("array") {
            let wanted = if path.ends_with(".conditions") { "map" } else { "atomic" };
            assert_eq!(schema.x_kubernetes_list_type.as_deref(), Some(wanted), "{path}");
        }
        if schema.type_.as_deref() == Some("integer") {
            assert_eq!(schema.format.as_deref(), Some("int64"), "{path}");
        }
        // A selector that was left empty is told from one that is absent.
        let may_be_null = path.ends_with(".selector.matchLabels") || path.ends_with(".selector.matchExpressions");
        assert_eq!(schema.nullable, may_be_null.then_some(true), "{path}");
    });
}

/// A rule on the root is evaluated at each write, that of the finalizer included: tightened, it would hold up deletions.
#[test]
fn on_the_root_stand_only_the_rule_of_the_name_and_those_that_ask_whether_a_client_exists() {
    let mut rules = Vec::new();
    each_part(&mut |path, schema| {
        let of_the_root = schema.x_kubernetes_validations.iter().flatten().filter(|_| !path.contains('.'));
        rules.extend(of_the_root.map(|rule| (path.to_owned(), rule.rule.clone())));
    });
    let name = ("OAuthClient".to_owned(), "size(self.metadata.name) <= 63".to_owned());
    let (names, others): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| *rule == name);
    assert_eq!((names.len(), others.len()), (1, 2));
    for (kind, rule) in others {
        let starts = "!has(oldSelf.status) || !has(oldSelf.status.clientId) || ";
        assert!(kind == "OAuthClient" && rule.starts_with(starts), "{kind}: {rule}");
    }
}

#[test]
fn the_names_of_later_fields_are_free() {
    let kept = ["OAuthClient.spec.redirectUrisFrom", "OAuthClient.status.redirectUris", "OAuthClient.status.binding"];
    each_part(&mut |path, _| assert!(!kept.iter().any(|name| path.starts_with(name)), "{path}"));
}

#[test]
fn what_a_rule_reads_has_bounds() {
    each_part(&mut |path, schema| {
        let has_rule = schema.x_kubernetes_validations.is_some();
        let bound = match schema.type_.as_deref() {
            Some("string") => schema.max_length,
            Some("array") => schema.max_items,
            Some("object") if schema.additional_properties.is_some() => schema.max_properties,
            _ => Some(0),
        };
        assert!(!has_rule || bound.is_some(), "{path}");
    });
}

/// Reads one document as `T`, and refuses what `T` would not write again: a misspelt field.
fn strictly<T: DeserializeOwned + serde::Serialize>(document: &Value) -> T {
    let read: T = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&read).unwrap(), document);
    read
}

#[test]
fn every_example_is_a_valid_manifest() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(in_repository("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let kind = document["kind"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "OAuthClient" => {
                    let read: OAuthClient = strictly(&document);
                    Present::read(&read.spec, &read.metadata.name.unwrap()).unwrap();
                }
                "MeshAgentProject" => {
                    ProjectSettings::read(&strictly::<MeshAgentProject>(&document).spec).unwrap();
                }
                "ClusterMeshAgentProject" => {
                    ProjectSettings::read_cluster(&strictly::<ClusterMeshAgentProject>(&document).spec).unwrap();
                }
                other => assert_eq!(other, "Deployment", "{}", path.display()),
            }
            seen.insert(kind);
        }
    }
    let wanted = ["ClusterMeshAgentProject", "Deployment", "MeshAgentProject", "OAuthClient"];
    assert_eq!(seen, wanted.map(str::to_owned).into());
}

#[test]
fn an_object_that_the_schema_would_refuse_is_still_read() {
    let loose = serde_json::json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": {"name": "web"},
        "spec": {"projectRef": {}, "grantTypes": ["password"], "branding": {"theme": "pink"}, "unknown": 1},
        "status": {},
    });
    let read: OAuthClient = serde_json::from_value(loose).unwrap();
    assert_eq!(read.status, Some(OAuthClientStatus::default()));
}
