//! The definitions as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{ClusterMeshAgentProject, MeshAgentProject, OAuthClient};

/// All definitions, in the order in which they are written.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finished(OAuthClient::crd()),
        finished(MeshAgentProject::crd()),
        finished(ClusterMeshAgentProject::crd()),
    ]
}

/// The derived definition, with what cannot be said on the types.
fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = definition
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut());
    for root in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        tidy(root);
        if let Some(status) = root
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"))
        {
            // Without it kstatus calls an object that nobody has looked at yet Current.
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    definition
}

fn tidy(schema: &mut JSONSchemaProps) {
    // The API server drops a null where none is allowed. Where it is, rules would have to tell it from an absent field.
    schema.nullable = None;
    schema.title = None;
    schema.description = schema.description.as_deref().map(unwrapped);
    if schema.type_.as_deref() == Some("array") && schema.x_kubernetes_list_type.is_none() {
        schema.x_kubernetes_list_type = Some("atomic".to_owned());
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        tidy(value);
    }
}

/// Paragraphs in one line each: `kubectl explain` breaks lines itself, but keeps those that it finds.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
