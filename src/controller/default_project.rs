//! Applies the cluster project `default`, if a flag says where its key is: Helm cannot make an object of a CRD that
//! the same release brings.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

use crate::api::ClusterMeshAgentProject;
use crate::api::names::MANAGER;
use crate::decide::project::default::{KeySecret, application};
use crate::decide::project::reference::DEFAULT_PROJECT;
use crate::kubernetes::{KubernetesError, within};

const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two tries: the CRD may come minutes after the operator.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Applies the project once, after as many tries as that takes.
pub(super) async fn apply(requests: Client, secret: KeySecret) {
    let projects = Api::all(requests);
    let mut wait = FIRST_WAIT;
    let mut said = None;
    while let Err(problem) = apply_once(&projects, &secret).await {
        if said.as_ref() != Some(&problem) {
            tracing::warn!("the cluster project {DEFAULT_PROJECT} cannot be applied yet: {problem}; trying again");
            said = Some(problem);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn apply_once(projects: &Api<ClusterMeshAgentProject>, secret: &KeySecret) -> Result<(), String> {
    let present = match within("read the default project", projects.get(DEFAULT_PROJECT)).await {
        Ok(project) if project.metadata.deletion_timestamp.is_some() => return Err("it is being deleted".to_owned()),
        Ok(project) => Some(project),
        Err(error) if error.proves_absence_of::<ClusterMeshAgentProject>(DEFAULT_PROJECT) => None,
        Err(error) => return Err(said(&error)),
    };
    let Some(wanted) = application(secret, present.as_ref()) else {
        tracing::info!("the cluster project {DEFAULT_PROJECT} is somebody else's, and stays as it is");
        return Ok(());
    };
    // The apply has no force: a field that somebody set since the read is a conflict, and the next try reads anew.
    let (params, wanted) = (PatchParams::apply(MANAGER), Patch::Apply(wanted));
    let applied = projects.patch(DEFAULT_PROJECT, &params, &wanted);
    within("apply the default project", applied).await.map_err(|error| said(&error))?;
    tracing::info!(secret = secret.name, "the cluster project {DEFAULT_PROJECT} is applied");
    Ok(())
}

fn said(error: &KubernetesError) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}
