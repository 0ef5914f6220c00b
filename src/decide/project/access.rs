//! Which OAuthClients may use a project, and why one may not.

use std::collections::BTreeMap;

use super::no_access::namespaces_withheld;
use super::reference::{ProjectKey, ProjectKind};
use super::selector::Selector;
use crate::api::Reason;
use crate::api::project::AllowedNamespaces;
use crate::decide::failure::Failure;

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Which namespaces may use a project.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// The namespace that the project is in.
    Own,
    /// The namespaces that are named or have matching labels.
    Some { names: Vec<String>, selector: Option<Selector> },
}

impl Allowed {
    /// Reads `allowedNamespaces` of a cluster project, or of its `adoption`. A field that is left out means none; an
    /// empty selector means all; a selector that cannot be read means none.
    #[must_use]
    pub fn read(allowed: Option<&AllowedNamespaces>) -> Self {
        let AllowedNamespaces { names, selector } = allowed.cloned().unwrap_or_default();
        Self::Some { names: names.unwrap_or_default(), selector: selector.as_ref().and_then(Selector::read) }
    }

    /// Whether labels of namespaces decide.
    #[must_use]
    pub fn goes_by_labels(&self) -> bool {
        match self {
            Self::Own => false,
            Self::Some { names: _, selector } => selector.as_ref().is_some_and(|selector| !selector.selects_all()),
        }
    }

    /// Whether the namespace may use the project; `None` if that depends on labels that are not known.
    fn allows(&self, namespace: &str, labels: Option<&Labels>) -> Option<bool> {
        match self {
            Self::Own => Some(true),
            Self::Some { names, selector } => {
                if names.iter().any(|name| name == namespace) {
                    return Some(true);
                }
                let Some(selector) = selector else { return Some(false) };
                if selector.selects_all() {
                    return Some(true);
                }
                labels.map(|labels| selector.matches(labels))
            }
        }
    }
}

/// What is known of a project, as far as it decides who may use it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Whether there is a connection that worked once.
    pub connected: bool,
    /// Why the project is not Ready.
    pub failure: Option<&'a Failure>,
    /// Whether the project takes calls all the same, and only its listing is larger than can be read.
    pub answers: bool,
    /// The namespaces that may use the project.
    pub allowed: &'a Allowed,
    /// The namespaces that may take over clients that the project holds already.
    pub adoption: &'a Allowed,
}

/// An OAuthClient that wants to use a project.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    pub namespace: &'a str,
    /// The namespace's labels; `None`: not seen yet. A namespace that an object is in exists.
    pub labels: Option<&'a Labels>,
    /// What the API server says if it does not let the operator see namespaces.
    pub withheld: Option<&'a str>,
    pub deleting: bool,
}

/// What an OAuthClient may do with its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Why the project may not be used now.
    pub failure: Option<Failure>,
    /// Whether an existing client may be taken over by `spec.adopt`; false too while that depends on labels of the
    /// namespace that were not seen yet, whose arrival is an event.
    pub may_adopt: bool,
}

/// What a user may do with a project; `exists`: whether there is such an object. `None`: the project was not checked
/// yet, or the labels that decide were not seen yet, so nothing may be said.
#[must_use]
pub fn resolve(key: &ProjectKey, project: Option<Offer<'_>>, exists: bool, user: User<'_>) -> Option<Access> {
    let Some(Offer { connected, failure, answers, allowed, adoption }) = project else {
        return (!exists).then(|| Access { failure: Some(not_found(key)), may_adopt: false });
    };
    let User { namespace, labels, withheld, deleting } = user;
    // A watch that was interrupted does not say what was deleted meanwhile.
    let failure = if exists { failure.cloned() } else { Some(not_found(key)) };
    let failure = match failure {
        // The key that worked last is good enough to clean up with, and a client of known id is deleted without a
        // listing.
        Some(failure) if deleting && connected && (answers || is_about_the_object(failure.reason)) => None,
        Some(failure) if failure.reason == Reason::ProjectNotFound => Some(failure),
        failure => match (deleting || allowed.allows(namespace, labels) == Some(true), withheld) {
            (true, _) => failure.map(|failure| for_users(key, failure)),
            (false, Some(said)) if labels.is_none() && allowed.goes_by_labels() => Some(namespaces_withheld(key, said)),
            (false, _) => {
                allowed.allows(namespace, labels)?;
                Some(not_allowed(key, namespace))
            }
        },
    };
    Some(Access { failure, may_adopt: adoption.allows(namespace, labels).unwrap_or(false) })
}

/// A project's failure as its users are told. What is wrong with the project's own spec is no fault of theirs.
fn for_users(key: &ProjectKey, failure: Failure) -> Failure {
    if matches!(failure.reason, Reason::InvalidSpec | Reason::RejectedByAPI) {
        let message = format!("{key} cannot be used ({}): {}", failure.reason.as_str(), failure.message);
        return Failure::wait(Reason::ProjectNotReady, message);
    }
    failure
}

/// Whether only the object, or what it refers to, is not as it was when the connection worked. (`ProjectNotReady` of a
/// project means a key that the Kubernetes API does not give out.)
fn is_about_the_object(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ProjectNotFound | Reason::CredentialsNotFound | Reason::ProjectNotReady | Reason::ProjectMismatch
    )
}

/// The failure of an object whose project does not exist.
#[must_use]
pub fn not_found(key: &ProjectKey) -> Failure {
    let fix = match key.kind {
        ProjectKind::MeshAgentProject => "create it in this namespace",
        ProjectKind::ClusterMeshAgentProject => "create it, or have it created by whoever runs the cluster",
    };
    let message = format!(
        "there is no {key}; {fix} (kubectl explain {}.spec says how), or correct spec.projectRef",
        key.kind.as_str().to_lowercase()
    );
    Failure::wait(Reason::ProjectNotFound, message)
}

/// The failure of an object whose project exists and cannot be decoded.
#[must_use]
pub fn unreadable(key: &ProjectKey, problem: &str) -> Failure {
    let message = format!("{key} cannot be read: {problem}; correct or remove that field");
    Failure::wait(Reason::ProjectNotReady, message)
}

fn not_allowed(key: &ProjectKey, namespace: &str) -> Failure {
    Failure::wait(
        Reason::NamespaceNotAllowed,
        format!(
            "{key} does not allow namespace {namespace}; add it to spec.allowedNamespaces of the project (left out means \
             none, selector: {{}} means all)"
        ),
    )
}

#[cfg(test)]
mod tests;
