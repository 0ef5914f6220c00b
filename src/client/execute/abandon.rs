//! Abandoned clients, which a person gave up on: the project's status lists them before their OAuthClient goes.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Executor;
use crate::api::names::MANAGER;
use crate::api::project::{Orphan, ProjectStatus};
use crate::api::{ClusterMeshAgentProject, MeshAgentProject, limits};
use crate::client::pass::Pass;
use crate::decide::client::observed::Answer;
use crate::decide::id::ClientId;
use crate::decide::project::reference::{ProjectKey, ProjectKind};
use crate::decide::time::stamp;
use crate::kubernetes::within;

impl Executor<'_> {
    /// Lists the clients among the project's orphans. Without a project, only Events and logs tell of them.
    pub(in crate::client) async fn abandon(&self, pass: &Pass<'_>, client_ids: &[ClientId]) -> Answer {
        let key = ProjectKey::of(&pass.object);
        let orphan = |client_id: &ClientId| Orphan {
            client_id: client_id.to_string(),
            namespace: pass.object.namespace().unwrap_or_default(),
            name: pass.object.name_any(),
            since: stamp(pass.now),
        };
        let orphans: Vec<Orphan> = client_ids.iter().map(orphan).collect();
        self.projects.abandon(&key, orphans.clone());
        let requests = self.requests.clone();
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => {
                let api: Api<ClusterMeshAgentProject> = Api::all(requests);
                list_orphans(&api, &key.name, &orphans, |project| project.status).await
            }
            ProjectKind::MeshAgentProject => {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let api: Api<MeshAgentProject> = Api::namespaced(requests, namespace);
                list_orphans(&api, &key.name, &orphans, |project| project.status).await
            }
        }
    }
}

async fn list_orphans<K>(
    api: &Api<K>,
    name: &str,
    orphans: &[Orphan],
    status: impl Fn(K) -> Option<ProjectStatus>,
) -> Answer
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let project = match within("read the project", api.get(name)).await {
        Ok(project) => project,
        Err(error) if error.proves_absence_of::<K>(name) => return Answer::Abandoned,
        Err(error) => return Answer::Failed(error.of_object()),
    };
    let version = project.resource_version();
    let status = status(project).unwrap_or_default();
    let mut listed = status.orphans.unwrap_or_default();
    let known = |orphan: &&Orphan| !listed.iter().any(|known| known.client_id == orphan.client_id);
    let new: Vec<Orphan> = orphans.iter().filter(known).cloned().collect();
    let room = limits::ORPHANS.saturating_sub(listed.len()).min(new.len());
    let omitted = i64::try_from(new.len() - room).unwrap_or(i64::MAX) + status.orphans_omitted.unwrap_or(0);
    listed.extend(new.into_iter().take(room));
    let patch = json!({
        "metadata": { "resourceVersion": version },
        "status": { "orphans": listed, "orphansOmitted": (omitted > 0).then_some(omitted) },
    });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match within("list what is given up in the project's status", api.patch_status(name, &params, &Patch::Merge(patch)))
        .await
    {
        Ok(_) => Answer::Abandoned,
        Err(error) => Answer::Failed(error.of_object()),
    }
}
