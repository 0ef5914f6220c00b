//! Calls of the Kubernetes API under a deadline, and what their failure means.

use futures::FutureExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::core::Status;
use kube::{Api, Client, Resource};

use crate::api::Reason;
use crate::decide::failure::Failure;

/// How long one call of the Kubernetes API may take.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// A write or read of the Kubernetes API that failed.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The API server answered with an error, or could not be reached.
    #[error("{operation}")]
    Call {
        operation: &'static str,
        /// Why the call failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer within the deadline.
    #[error("{operation}: no answer within {} s", DEADLINE.as_secs())]
    Deadline { operation: &'static str },
}

/// The objects of a kind in one namespace, or in all.
#[must_use]
pub fn scoped<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Carries out one call of the Kubernetes API, with a deadline.
///
/// # Errors
/// Returns the error of the call, or that it took too long.
pub fn within<'a, T: 'a>(
    operation: &'static str,
    call: impl Future<Output = kube::Result<T>> + Send + 'a,
) -> impl Future<Output = Result<T, KubernetesError>> + Send + 'a {
    // kube's calls take three kilobytes each: without a box, a pass would have room for all that it never makes, and be
    // copied with it.
    let call = call.boxed();
    async move {
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(KubernetesError::Call { operation, source: Box::new(source) }),
            Err(_) => Err(KubernetesError::Deadline { operation }),
        }
    }
}

impl KubernetesError {
    /// The answer of the API server, if it gave one of its own form.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            // Only this one of kube's many errors is an answer.
            Self::Call { source, .. } => {
                if let kube::Error::Api(status) = &**source {
                    Some(status)
                } else {
                    None
                }
            }
            Self::Deadline { .. } => None,
        }
    }

    /// Whether the answer is 409: another version, or already there.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// What the API server says if it refuses the call for want of a right (403). A refusal is never absence.
    #[must_use]
    pub fn forbids(&self) -> Option<&str> {
        self.status().filter(|status| status.code == 403).map(|status| status.message.as_str())
    }

    /// Whether the API server itself says that the object of this kind and name does not exist. A bare 404 of a
    /// proxy, or of an API server without the CRD, proves nothing.
    #[must_use]
    pub fn proves_absence_of<K: Resource<DynamicType = ()>>(&self, name: &str) -> bool {
        self.status().is_some_and(|status| {
            let named = status.details.as_ref().is_some_and(|details| {
                details.group == K::group(&()) && details.kind == K::plural(&()) && details.name == name
            });
            status.code == 404 && status.reason == "NotFound" && named
        })
    }

    /// What a failed write of the Secret means: the cluster refuses it, or nobody knows.
    #[must_use]
    pub fn of_secret(&self) -> Failure {
        match self.status() {
            Some(status) if status.code == 422 && status.message.contains("`immutable` is set") => Failure::stalled(
                Reason::SecretRejected,
                "the Secret is immutable, and Kubernetes keeps it so for ever; name another one in spec.secret.name, and the \
                 credential moves there, or delete the Secret, and a new client takes the place of this one",
            ),
            Some(status) if matches!(status.code, 400..=403 | 405..=408 | 413 | 422) => Failure::stalled(
                Reason::SecretRejected,
                format!("the cluster refuses the Secret: {}; allow it, then it is tried again", status.message),
            ),
            Some(_) | None => self.of_object(),
        }
    }

    /// The operation, and what the API server said of it.
    #[must_use]
    pub fn in_words(&self) -> String {
        self.status().map_or_else(|| self.to_string(), |status| format!("{self}: {}", status.message))
    }

    /// What a failed read or write of the object means.
    #[must_use]
    pub fn of_object(&self) -> Failure {
        let said = self.in_words();
        Failure::retry(Reason::Updating, format!("the Kubernetes API did not carry it out ({said}); trying again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::failure::Disposition;

    /// F26.
    #[test]
    fn a_right_that_is_missing_is_not_absence() {
        let answer = |code, reason: &str| {
            let status = Status::failure("secrets \"web\" is forbidden", reason).with_code(code);
            KubernetesError::Call { operation: "read", source: Box::new(kube::Error::Api(Box::new(status))) }
        };
        let forbidden = answer(403, "Forbidden");
        assert_eq!(forbidden.forbids(), Some("secrets \"web\" is forbidden"));
        assert!(!forbidden.proves_absence_of::<k8s_openapi::api::core::v1::Secret>("web"));
        assert_eq!(answer(404, "NotFound").forbids(), None);
    }

    #[test]
    fn a_refused_secret_says_why_and_an_immutable_one_what_to_do() {
        let said = |message: &str| {
            let source = Box::new(kube::Error::Api(Box::new(Status::failure(message, "Invalid").with_code(422))));
            let failure = KubernetesError::Call { operation: "replace the credential", source }.of_secret();
            assert_eq!((failure.reason, failure.disposition), (Reason::SecretRejected, Disposition::Stalled));
            failure.message
        };
        let immutable = said("data: Forbidden: field is immutable when `immutable` is set");
        assert!(immutable.contains("name another one in spec.secret.name") && immutable.contains("delete the Secret"));
        assert_eq!(said("no"), "the cluster refuses the Secret: no; allow it, then it is tried again");
    }
}
