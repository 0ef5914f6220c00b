use super::*;

fn spec(fields: serde_json::Value) -> MeshAgentProjectSpec {
    serde_json::from_value(fields).unwrap()
}

#[test]
fn a_key_is_enough() {
    let read = ProjectSettings::read(&spec(serde_json::json!({"apiKeySecretRef": {"name": "meshagent"}})));
    let wanted = ProjectSettings {
        project_id: None,
        api_url: "https://api.meshagent.com".to_owned(),
        api_key: ApiKeyRef { secret: "meshagent".to_owned(), key: "api-key".to_owned() },
        ca_bundle: None,
        orphans: Orphans { policy: OrphanPolicy::Delete, min_age: Duration::from_secs(86_400) },
    };
    assert_eq!(read, Ok(wanted));
}

#[test]
fn every_field_is_read() {
    let read = ProjectSettings::read(&spec(serde_json::json!({
        "projectId": "7f3c2e1a-0d5b-4c8e-9f6a-1b2c3d4e5f60",
        "apiUrl": "http://localhost:8080/prefix//",
        "apiKeySecretRef": {"name": "meshagent", "key": "MESHAGENT_API_KEY"},
        "caBundleRef": {"kind": "ConfigMap", "name": "roots", "key": "bundle.pem"},
        "orphans": {"policy": "Report", "minAge": "90d"},
    })));
    let wanted = ProjectSettings {
        project_id: Some("7f3c2e1a-0d5b-4c8e-9f6a-1b2c3d4e5f60".to_owned()),
        api_url: "http://localhost:8080/prefix".to_owned(),
        api_key: ApiKeyRef { secret: "meshagent".to_owned(), key: "MESHAGENT_API_KEY".to_owned() },
        ca_bundle: Some(BundleRef {
            kind: BundleKind::ConfigMap,
            name: "roots".to_owned(),
            key: "bundle.pem".to_owned(),
        }),
        orphans: Orphans { policy: OrphanPolicy::Report, min_age: Duration::from_secs(7_776_000) },
    };
    assert_eq!(read, Ok(wanted));
}

#[test]
fn all_that_is_wrong_is_said() {
    let refused = ProjectSettings::read(&spec(serde_json::json!({
        "projectId": "../admin",
        "apiUrl": "https://api.meshagent.com@evil.example",
        "caBundleRef": {"kind": "File", "key": ".."},
        "orphans": {"policy": "Keep", "minAge": "1w"},
    })));
    let sentences: Vec<String> = refused.unwrap_err().problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "spec.projectId is not an id of a MeshAgent project; copy it from MeshAgent Studio, or leave the field out if the \
             key begins with ma-",
            "spec.apiUrl has a user name or password; remove what stands between // and @, and the @",
            "spec.apiKeySecretRef.name is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a \
             letter or digit at both ends",
            "spec.caBundleRef.kind is not a word that is known here; use one of Secret, ConfigMap",
            "spec.caBundleRef.name is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a \
             letter or digit at both ends",
            "spec.caBundleRef.key is not a data key of a Secret; use letters, digits, -, _ and . only, and no .. at its start",
            "spec.orphans.policy is not a word that is known here; use one of Delete, Report",
            "spec.orphans.minAge is not one whole number with a unit; write it like 30s, 15m, 12h or 90d",
        ]
    );
}

fn cluster(fields: serde_json::Value) -> Vec<String> {
    let spec: ClusterMeshAgentProjectSpec = serde_json::from_value(fields).unwrap();
    let refused = ProjectSettings::read_cluster(&spec).err();
    refused.into_iter().flat_map(|refused| refused.problems).map(|problem| problem.to_string()).collect()
}

/// F4. All forms are in `tests/integration/forms.rs`.
#[test]
fn a_selector_is_refused_by_each_part_that_cannot_be_read() {
    let said = cluster(serde_json::json!({
        "apiKeySecretRef": {"name": "meshagent"},
        "allowedNamespaces": {"names": ["team-*"], "selector": {
            "matchLabels": {"a b": "x"},
            "matchExpressions": [{"key": "env", "operator": "NotIn", "values": []}, {"key": "env", "operator": "in"}],
            "matchLabel": {"env": "prod"},
        }},
        "adoption": {"allowedNamespaces": {"selector": {"matchLabels": null}}},
    }));
    assert_eq!(
        said,
        [
            "spec.allowedNamespaces.names[0] is not the name of a namespace; write each name in full, and use the selector for \
             more than can be named",
            "spec.allowedNamespaces.selector has a field of a name that is not known; write matchLabels or matchExpressions",
            "spec.allowedNamespaces.selector.matchLabels has a key that is not a name like tier or example.com/tier; use \
             letters, digits, -, _ and ., with a letter or digit at both ends",
            "spec.allowedNamespaces.selector.matchExpressions[0].values does not fit the operator: In and NotIn need values, \
             Exists and DoesNotExist take none; add values, or change the operator",
            "spec.allowedNamespaces.selector.matchExpressions[1].operator is not a word that is known here; use one of In, \
             NotIn, Exists, DoesNotExist",
            "spec.adoption.allowedNamespaces.selector.matchLabels is empty; name what is to match, or write selector: {} for \
             all namespaces",
        ]
    );
}

#[test]
fn a_selector_that_can_be_read_is_no_problem() {
    let expressions = serde_json::json!([
        {"key": "env", "operator": "In", "values": ["prod"]},
        {"key": "env", "operator": "NotIn", "values": ["test"]},
        {"key": "env", "operator": "Exists"},
        {"key": "env", "operator": "DoesNotExist"},
    ]);
    for selector in [serde_json::json!({}), serde_json::json!({"matchExpressions": expressions})] {
        let said = cluster(serde_json::json!({
            "apiKeySecretRef": {"name": "meshagent"},
            "allowedNamespaces": {"names": ["shop"], "selector": selector},
        }));
        assert_eq!(said, [""; 0], "{selector}");
    }
}
