//! The spec of a project, of either kind, validated once into types.

use std::time::Duration;

use super::{InvalidSpec, Problems, syntax};
use crate::api::duration;
use crate::api::project::{MeshAgentProjectSpec, OrphansSpec, SecretKeyRef};

const DEFAULT_API_URL: &str = "https://api.meshagent.com";
const DEFAULT_API_KEY: &str = "api-key";
const DEFAULT_MIN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach a project, and what becomes of its orphans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProjectSettings {
    /// The project's id, if the spec names one; else the API key carries it.
    pub project_id: Option<String>,
    /// Address of the MeshAgent API, without slashes at its end.
    pub api_url: String,
    /// Where the API key is.
    pub api_key: ApiKeyRef,
    /// What becomes of clients whose OAuthClient is gone.
    pub orphans: Orphans,
}

/// Where an API key is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyRef {
    /// The Secret's name.
    pub secret: String,
    /// The data key in it.
    pub key: String,
}

/// What becomes of clients whose OAuthClient is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Orphans {
    /// What is done with them.
    pub policy: OrphanPolicy,
    /// How long a client has to be an orphan first.
    pub min_age: Duration,
}

/// What is done with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrphanPolicy {
    /// They are deleted.
    Delete,
    /// They are listed in the project's status only.
    Report,
}

impl ProjectSettings {
    /// Reads the spec of a project.
    ///
    /// # Errors
    /// With all fields that cannot be carried out as they are written.
    pub fn read(spec: &MeshAgentProjectSpec) -> Result<Self, InvalidSpec> {
        let MeshAgentProjectSpec { project_id, api_url, api_key_secret_ref, orphans } = spec;
        let mut problems = Problems::default();
        if let Some(id) = project_id {
            problems.check("spec.projectId", syntax::project_id(id));
        }
        let api_url = api_url.as_deref().unwrap_or(DEFAULT_API_URL);
        problems.check("spec.apiUrl", syntax::api_url(api_url));
        let SecretKeyRef { name, key } = api_key_secret_ref.clone().unwrap_or_default();
        let secret = name.unwrap_or_default();
        problems.check("spec.apiKeySecretRef.name", syntax::object_name(&secret));
        let key = key.unwrap_or_else(|| DEFAULT_API_KEY.to_owned());
        problems.check("spec.apiKeySecretRef.key", syntax::data_key(&key));
        let orphans = read_orphans(&orphans.clone().unwrap_or_default(), &mut problems);
        problems.or(Self {
            project_id: project_id.clone(),
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_key: ApiKeyRef { secret, key },
            orphans,
        })
    }
}

fn read_orphans(orphans: &OrphansSpec, problems: &mut Problems) -> Orphans {
    let OrphansSpec { policy, min_age } = orphans;
    let policy = policy.as_deref().unwrap_or("Delete");
    problems.one_of("spec.orphans.policy", policy, &["Delete", "Report"]);
    let policy = if policy == "Delete" { OrphanPolicy::Delete } else { OrphanPolicy::Report };
    let min_age = min_age.as_deref().map_or(Ok(DEFAULT_MIN_AGE), duration::parse).unwrap_or_else(|error| {
        let (problem, fix) = error.problem_and_fix();
        problems.refuse("spec.orphans.minAge", problem.to_owned(), fix.to_owned());
        DEFAULT_MIN_AGE
    });
    Orphans { policy, min_age }
}

#[cfg(test)]
mod tests {
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
            "orphans": {"policy": "Report", "minAge": "90d"},
        })));
        let wanted = ProjectSettings {
            project_id: Some("7f3c2e1a-0d5b-4c8e-9f6a-1b2c3d4e5f60".to_owned()),
            api_url: "http://localhost:8080/prefix".to_owned(),
            api_key: ApiKeyRef { secret: "meshagent".to_owned(), key: "MESHAGENT_API_KEY".to_owned() },
            orphans: Orphans { policy: OrphanPolicy::Report, min_age: Duration::from_secs(7_776_000) },
        };
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let refused = ProjectSettings::read(&spec(serde_json::json!({
            "projectId": "../admin",
            "apiUrl": "https://api.meshagent.com@evil.example",
            "orphans": {"policy": "Keep", "minAge": "1w"},
        })));
        let sentences: Vec<String> = refused.unwrap_err().problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            sentences,
            [
                "spec.projectId is not an id of a MeshAgent project; copy it from MeshAgent Studio, or leave the field out if the \
                 key begins with ma-",
                "spec.apiUrl is not an absolute http or https URL without user name, query and fragment; write it like \
                 https://api.meshagent.com",
                "spec.apiKeySecretRef.name is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a \
                 letter or digit at both ends",
                "spec.orphans.policy is not a word that is known here; use one of Delete, Report",
                "spec.orphans.minAge is not one whole number with a unit; write it like 30s, 15m, 12h or 90d",
            ]
        );
    }
}
