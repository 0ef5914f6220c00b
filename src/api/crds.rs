//! The CRDs as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{ClusterMeshAgentProject, MeshAgentProject, OAuthClient};

/// A column of `kubectl get`: name, type, where its value is, and what `--output wide` alone shows.
type Column = (&'static str, &'static str, &'static str, Width);

#[derive(Clone, Copy)]
enum Width {
    Always,
    Wide,
}

const READY: Column = ("Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#, Width::Always);
const REASON: Column = ("Reason", "string", r#".status.conditions[?(@.type=="Ready")].reason"#, Width::Always);
const AGE: Column = ("Age", "date", ".metadata.creationTimestamp", Width::Always);

const CLIENT_COLUMNS: [Column; 7] = [
    READY,
    REASON,
    ("Client ID", "string", ".status.clientId", Width::Always),
    ("Secret", "string", ".status.secretName", Width::Always),
    AGE,
    ("Project", "string", ".status.projectId", Width::Wide),
    ("Message", "string", r#".status.conditions[?(@.type=="Ready")].message"#, Width::Wide),
];

const PROJECT_COLUMNS: [Column; 5] = [
    READY,
    REASON,
    ("Project ID", "string", ".status.projectId", Width::Always),
    ("Clients", "integer", ".status.clients", Width::Always),
    AGE,
];

/// All CRDs, in the order in which they are written. What the types derive by themselves has neither columns nor the
/// status's default.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finished(OAuthClient::crd(), &CLIENT_COLUMNS),
        finished(MeshAgentProject::crd(), &PROJECT_COLUMNS),
        finished(ClusterMeshAgentProject::crd(), &PROJECT_COLUMNS),
    ]
}

/// The derived CRD, with what cannot be said on the types.
fn finished(mut crd: CustomResourceDefinition, columns: &[Column]) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns.iter().map(column).collect());
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        normalize(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            // kstatus calls an object without observedGeneration Current, even if nobody has looked at it yet.
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    crd
}

fn column(&(name, type_, json_path, width): &Column) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: json_path.to_owned(),
        priority: match width {
            Width::Always => None,
            Width::Wide => Some(1),
        },
        description: None,
        format: None,
    }
}

/// The schema as the API server keeps it, with lists that are replaced as a whole.
fn normalize(schema: &mut JSONSchemaProps) {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        // A selector allows null so that the operator can refuse it: the API server would drop a null that is not allowed.
        schema.description = schema.description.as_deref().map(unwrapped);
        return;
    }
    // The API server drops a null where none is allowed. Where null is allowed, rules have to tell it from an absent field.
    schema.nullable = None;
    schema.title = None;
    schema.description = schema.description.as_deref().map(unwrapped);
    if schema.type_.as_deref() == Some("array") && schema.x_kubernetes_list_type.is_none() {
        schema.x_kubernetes_list_type = Some("atomic".to_owned());
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        normalize(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => normalize(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(normalize),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        normalize(value);
    }
}

/// Paragraphs in one line each: `kubectl explain` breaks lines itself, but keeps those that it finds.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
