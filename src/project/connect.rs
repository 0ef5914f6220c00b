//! The connection to a project, made from its spec and its key.

use std::str::FromStr;
use std::sync::Arc;

use super::access::Access;
use super::client::ProjectClient;
use super::snapshot::Snapshot;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::project::spec::{BundleRef, ProjectSettings};
use crate::meshagent::{ApiUrl, BuildError, Connection, Gate, MeshAgent, Observer, Timeouts};
use crate::proxy::Environment;
use crate::secret::ApiKey;

/// Builds the connection; makes no call. Returns the one from `before` if nothing of it has changed, since that knows
/// of a pause that the server asked for. The snapshot of the project's clients outlives another key or other
/// certificates.
///
/// # Errors
/// Says what keeps it from connecting, and names the field to correct, if there is one.
pub fn connect(
    settings: &ProjectSettings,
    Access { api_key, ca_bundle }: &Access,
    before: Option<&Arc<ProjectClient>>,
    observer: Observer,
    gate: Gate,
) -> Result<Arc<ProjectClient>, Failure> {
    let invalid = |problem: String| Failure::stalled(Reason::InvalidSpec, problem);
    let project_id = project_id(settings.project_id.as_deref(), api_key)?;
    let base_url = ApiUrl::from_str(&settings.api_url).map_err(|error| invalid(format!("spec.apiUrl: {error}")))?;
    let (authorize_url, token_url) = (base_url.authorize_url(), base_url.token_url());
    let same = before.filter(|before| before.project_id == project_id && before.token_url == token_url);
    if let Some(unchanged) = same.filter(|before| before.api_key == *api_key && before.ca_bundle == *ca_bundle) {
        return Ok(Arc::clone(unchanged));
    }
    let proxy = Environment::of_process().proxy_for(base_url.as_url());
    let proxy = proxy.map_err(|error| Failure::retry(Reason::APIUnavailable, error.to_string()))?;
    let api = MeshAgent::new(Connection {
        base_url,
        project_id: project_id.clone(),
        key: api_key.clone(),
        ca_bundle: ca_bundle.clone(),
        proxy,
        timeouts: Timeouts::default(),
        observer,
        gate,
    })
    .map_err(|error| invalid(unusable(settings.ca_bundle.as_ref(), &error)))?;
    let snapshot = same.map_or_else(|| Arc::new(Snapshot::default()), |before| Arc::clone(&before.snapshot));
    let (api_key, ca_bundle) = (api_key.clone(), ca_bundle.clone());
    Ok(Arc::new(ProjectClient { api, api_key, ca_bundle, project_id, authorize_url, token_url, snapshot }))
}

/// Why there can be no connection, with the field that is to be corrected.
fn unusable(bundle: Option<&BundleRef>, error: &BuildError) -> String {
    match (error, bundle) {
        (BuildError::CaBundle(_), Some(BundleRef { kind, name, key })) => {
            format!("spec.caBundleRef: the data key {key} of {} {name}: {error}", kind.as_str())
        }
        (BuildError::CaBundle(_), None) | (BuildError::ProjectId | BuildError::Client(_), _) => error.to_string(),
    }
}

/// The project's id, from the spec and from the key; if both name one, they must agree.
fn project_id(declared: Option<&str>, api_key: &ApiKey) -> Result<String, Failure> {
    match (declared, api_key.project_id()) {
        (Some(declared), Some(carried)) if !declared.eq_ignore_ascii_case(&carried) => Err(Failure::stalled(
            Reason::ProjectMismatch,
            format!("the API key belongs to project {carried}, but spec.projectId is {declared}; correct one of them"),
        )),
        // The key's spelling counts if both name it: the server goes by that.
        (_, Some(carried)) => Ok(carried),
        (Some(declared), None) => Ok(declared.to_owned()),
        (None, None) => Err(Failure::stalled(
            Reason::InvalidSpec,
            "spec.projectId is missing, and the API key is not of the form that carries it (ma-…); set spec.projectId",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of project 01010101-0101-0101-0101-010101010101.
    const KEY: &str = "ma-AgICAgICAgICAgICAgICAg-AQEBAQEBAQEBAQEBAQEBAQ-not-a-secret";
    const CARRIED: &str = "01010101-0101-0101-0101-010101010101";

    fn reason(declared: Option<&str>, key: &str) -> Result<String, Reason> {
        project_id(declared, &ApiKey::new(key).unwrap()).map_err(|failure| failure.reason)
    }

    #[test]
    fn the_project_is_the_one_that_spec_or_key_names_and_they_have_to_agree() {
        let carried = || Ok(CARRIED.to_owned());
        assert_eq!(reason(None, KEY), carried());
        assert_eq!(reason(Some(CARRIED), KEY), carried());
        assert_eq!(reason(Some(&CARRIED.to_uppercase()), KEY), carried());
        assert_eq!(reason(Some("p1"), "an-access-token"), Ok("p1".to_owned()));
        assert_eq!(reason(Some("02020202-0202-0202-0202-020202020202"), KEY), Err(Reason::ProjectMismatch));
        assert_eq!(reason(None, "an-access-token"), Err(Reason::InvalidSpec));
    }

    #[test]
    fn a_mismatch_names_both_projects_and_nothing_of_the_key() {
        let failure = project_id(Some("p1"), &ApiKey::new(KEY).unwrap()).unwrap_err();
        assert!(failure.message.contains(CARRIED) && failure.message.contains("p1"), "{}", failure.message);
        assert!(!failure.message.contains("not-a-secret"));
    }
}
