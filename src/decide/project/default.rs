//! The cluster project that the operator itself applies, and what of it belongs to people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value, json};

use crate::api::ClusterMeshAgentProject;
use crate::api::names::{GROUP, MANAGER, VERSION};
use crate::decide::project::reference::DEFAULT_PROJECT;

/// A Secret of the operator's own namespace, and the data key that holds a project's API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySecret {
    /// The Secret's name.
    pub name: String,
    /// The data key.
    pub key: String,
}

/// What the operator applies server-side, without force, as the project `default`; `None` if all that it would set is
/// somebody else's. `present` is the project as it is.
#[must_use]
pub fn application(secret: &KeySecret, present: Option<&ClusterMeshAgentProject>) -> Option<Value> {
    let mut spec = Map::new();
    let reference = json!({ "name": secret.name, "key": secret.key });
    match (present, present.map(|project| Owners::of(project, "apiKeySecretRef"))) {
        (None, _) | (_, None | Some(Owners { others: false, .. })) => {
            spec.insert("apiKeySecretRef".to_owned(), reference);
        }
        // Somebody changed a part of the applied reference. Leaving the reference out would take the other part away.
        (Some(project), Some(Owners { others: true, ours: true })) => {
            spec.insert("apiKeySecretRef".to_owned(), json!(project.spec.project.api_key_secret_ref));
        }
        (Some(_), Some(Owners { others: true, ours: false })) => {}
    }
    // The selector, kept beside names that somebody wrote, would still allow all namespaces.
    if !present.is_some_and(|project| Owners::of(project, "allowedNamespaces").others) {
        spec.insert("allowedNamespaces".to_owned(), json!({ "selector": {} }));
    }
    (!spec.is_empty() || present.is_some_and(|project| applied(project).next().is_some())).then(|| {
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "ClusterMeshAgentProject",
            "metadata": { "name": DEFAULT_PROJECT },
            "spec": spec,
        })
    })
}

/// Who has set a field of the spec, or something in it.
struct Owners {
    ours: bool,
    others: bool,
}

impl Owners {
    fn of(project: &ClusterMeshAgentProject, field: &str) -> Self {
        let ours = applied(project).any(|entry| sets(entry, field));
        let others = entries(project).any(|entry| !is_ours(entry) && sets(entry, field));
        Self { ours, others }
    }
}

fn entries(project: &ClusterMeshAgentProject) -> impl Iterator<Item = &ManagedFieldsEntry> {
    project.metadata.managed_fields.iter().flatten()
}

/// The entries that the operator applied before.
fn applied(project: &ClusterMeshAgentProject) -> impl Iterator<Item = &ManagedFieldsEntry> {
    entries(project).filter(|entry| is_ours(entry))
}

/// Whether the operator applied an entry: finalizer and status are written under the same name, but not applied.
fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
}

fn sets(entry: &ManagedFieldsEntry, field: &str) -> bool {
    let field = format!("f:{field}");
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some_and(|spec| spec.get(&field).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> KeySecret {
        KeySecret { name: "meshagent-api-key".to_owned(), key: "apiKey".to_owned() }
    }

    /// The project with its key in `by-hand`, and the fields of its spec that each manager has set.
    fn present(managers: &[(&str, &str, &[&str])]) -> ClusterMeshAgentProject {
        let managed: Vec<_> = managers
            .iter()
            .map(|(manager, operation, fields)| {
                let fields: Map<_, _> = fields.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
                json!({ "manager": manager, "operation": operation, "fieldsV1": { "f:spec": fields } })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "meshagent.com/v1alpha1",
            "kind": "ClusterMeshAgentProject",
            "metadata": { "name": "default", "managedFields": managed },
            "spec": { "apiKeySecretRef": { "name": "by-hand" } },
        }))
        .unwrap()
    }

    fn spec(project: Option<&ClusterMeshAgentProject>) -> Option<Value> {
        application(&secret(), project).map(|whole| whole["spec"].clone())
    }

    const BOTH: &[&str] = &["apiKeySecretRef", "allowedNamespaces"];

    #[test]
    fn a_project_that_is_not_there_is_made_for_all_namespaces() {
        let whole = application(&secret(), None).unwrap();
        assert_eq!(
            whole,
            json!({
                "apiVersion": "meshagent.com/v1alpha1",
                "kind": "ClusterMeshAgentProject",
                "metadata": { "name": "default" },
                "spec": {
                    "apiKeySecretRef": { "name": "meshagent-api-key", "key": "apiKey" },
                    "allowedNamespaces": { "selector": {} },
                },
            })
        );
    }

    #[test]
    fn what_was_applied_before_is_applied_again_whatever_else_the_operator_wrote() {
        let project =
            present(&[(MANAGER, "Apply", BOTH), (MANAGER, "Update", &[]), ("kubectl-edit", "Update", &["apiUrl"])]);
        assert_eq!(spec(Some(&project)), spec(None));
    }

    #[test]
    fn a_project_that_somebody_wrote_whole_is_left_alone() {
        let project = present(&[("kubectl-client-side-apply", "Update", BOTH)]);
        assert_eq!(spec(Some(&project)), None);
    }

    #[test]
    fn namespaces_that_somebody_allowed_are_the_only_ones() {
        let project = present(&[(MANAGER, "Apply", BOTH), ("kubectl-patch", "Update", &["allowedNamespaces"])]);
        let key = json!({ "apiKeySecretRef": { "name": "meshagent-api-key", "key": "apiKey" } });
        assert_eq!(spec(Some(&project)), Some(key));
    }

    #[test]
    fn a_reference_that_somebody_changed_stays_as_it_is() {
        let project = present(&[(MANAGER, "Apply", BOTH), ("kubectl-patch", "Update", &["apiKeySecretRef"])]);
        assert_eq!(spec(Some(&project)).unwrap()["apiKeySecretRef"], json!({ "name": "by-hand" }));
        let project = present(&[("somebody", "Update", &["apiKeySecretRef"])]);
        assert_eq!(spec(Some(&project)), Some(json!({ "allowedNamespaces": { "selector": {} } })));
    }
}
