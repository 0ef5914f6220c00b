//! The id of this cluster, which stands in the marker of each client.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::cause::root_cause;
use crate::decide::id::ClusterId;

const NAMESPACE: &str = "kube-system";
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The cluster has an id, but the operator cannot know it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster's id, the uid of the namespace {NAMESPACE}, cannot be read ({answer}); set --cluster-id to a value that \
     differs between clusters and never changes{}, or let the operator get that namespace",
    if *.scoped { " (with --watch-namespaces it is usually needed)" } else { "" }
)]
pub struct Error {
    /// What the API server said.
    pub answer: String,
    /// Whether only some namespaces are watched.
    pub scoped: bool,
}

/// The uid of `kube-system`. An API server that cannot be asked is asked again, for as long as it takes.
pub(super) async fn id(requests: &Client, scoped: bool, mut unreachable: impl FnMut(&str)) -> Result<ClusterId, Error> {
    let namespaces: Api<Namespace> = Api::all(requests.clone());
    let mut wait = FIRST_WAIT;
    loop {
        let answer = match namespaces.get_metadata(NAMESPACE).await {
            Ok(namespace) => match namespace.metadata.uid {
                Some(uid) => return Ok(ClusterId::new(uid)),
                None => "the answer holds no uid".to_owned(),
            },
            Err(kube::Error::Api(status)) if is_definite(status.code) => {
                return Err(Error { answer: status.message, scoped });
            }
            // kube's own text for a broken connection says no more than that there was none.
            Err(error) => root_cause(&error).to_string(),
        };
        unreachable(&answer);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether asking again will not help. After a 401 it may: tokens are renewed on disk.
fn is_definite(code: u16) -> bool {
    matches!(code, 403 | 404)
}

#[cfg(test)]
mod tests;
