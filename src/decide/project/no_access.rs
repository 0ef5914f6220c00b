//! Why what a project is reached with cannot be had, and what to do: commands that work when they are pasted.

use super::reference::ProjectKey;
use super::spec::{ApiKeyRef, BundleKind, BundleRef};
use crate::api::Reason;
use crate::decide::failure::Failure;

/// How many data keys a message names.
const NAMED: usize = 5;

/// Why something cannot be had from the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAccess {
    /// The object does not exist.
    Absent,
    /// The object is there, without the data key that is asked for.
    Lacking {
        /// The data keys that the object has, in order.
        present: Vec<String>,
    },
    /// The operator may not read the object, which says nothing about what is there.
    Withheld {
        /// The API server's own words.
        said: String,
    },
}

/// A datum that a project is reached with.
#[derive(Clone, Copy, Debug)]
pub enum Needed<'a> {
    /// The API key.
    ApiKey(&'a ApiKeyRef),
    /// The certificates that are trusted besides the public ones.
    Bundle(&'a BundleRef),
}

impl Needed<'_> {
    /// What the project says of itself while the datum cannot be had from this namespace.
    #[must_use]
    pub fn failure(self, namespace: &str, why: &NoAccess) -> Failure {
        let (kind, name, key) = self.place();
        let (field, kind) = (self.field(), kind.as_str());
        match why {
            NoAccess::Absent => missing(&format!(
                "{field}: there is no {kind} {name} in namespace {namespace}; {}",
                self.creation(namespace)
            )),
            NoAccess::Lacking { present } if present.is_empty() => missing(&format!(
                "{field}: the {kind} {name} in namespace {namespace} has no data; {}",
                self.addition(namespace)
            )),
            NoAccess::Lacking { present } => missing(&format!(
                "{field}: the {kind} {name} in namespace {namespace} has no data key {key}; it has {}. Set {field}.key of the \
                 project to the one that holds {}",
                names(present),
                self.content()
            )),
            NoAccess::Withheld { said } => {
                let plural = format!("{}s", kind.to_lowercase());
                withheld(&format!("read {kind} {name} in namespace {namespace} ({field})"), "get", &plural, said)
            }
        }
    }

    fn place(&self) -> (BundleKind, &str, &str) {
        match self {
            Self::ApiKey(ApiKeyRef { secret, key }) => (BundleKind::Secret, secret, key),
            Self::Bundle(BundleRef { kind, name, key }) => (*kind, name, key),
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::ApiKey(_) => "spec.apiKeySecretRef",
            Self::Bundle(_) => "spec.caBundleRef",
        }
    }

    const fn content(self) -> &'static str {
        match self {
            Self::ApiKey(_) => "the API key",
            Self::Bundle(_) => "the certificates",
        }
    }

    /// How to create an object that does not exist; the command fails for one that does.
    fn creation(&self, namespace: &str) -> String {
        let (kind, name, key) = self.place();
        let word = match kind {
            BundleKind::Secret => "secret generic",
            BundleKind::ConfigMap => "configmap",
        };
        match self {
            Self::ApiKey(_) => {
                format!(
                    "create it: kubectl create {word} {name} -n {namespace} --from-literal={key}=\"$MESHAGENT_API_KEY\""
                )
            }
            Self::Bundle(_) => format!(
                "write the certificates into a file ca.pem, and create it: kubectl create {word} {name} -n {namespace} \
                 --from-file={key}=ca.pem"
            ),
        }
    }

    /// How to fill an object that has no data.
    fn addition(&self, namespace: &str) -> String {
        let (kind, name, key) = self.place();
        match (self, kind) {
            (Self::ApiKey(_), _) => format!(
                "put the API key there: kubectl patch secret {name} -n {namespace} --type=merge \
                 -p '{{\"stringData\":{{\"{key}\":\"'\"$MESHAGENT_API_KEY\"'\"}}}}'"
            ),
            (Self::Bundle(_), BundleKind::Secret | BundleKind::ConfigMap) => {
                format!("put the certificates there, as data key {key}")
            }
        }
    }
}

fn missing(message: &str) -> Failure {
    Failure::wait(Reason::CredentialsNotFound, message)
}

/// The operator lacks the right to do something with objects of a resource.
fn withheld(what: &str, verb: &str, resource: &str, said: &str) -> Failure {
    Failure::wait(
        Reason::ProjectNotReady,
        format!(
            "the operator may not {what}: it lacks the right to {verb} {resource} there. Give it back (its chart's ClusterRole \
             meshagent-operator holds it); clients stay as they are meanwhile. The API server says: {said}"
        ),
    )
}

/// The operator may not see namespaces, and what a project allows depends on their labels.
#[must_use]
pub fn namespaces_withheld(key: &ProjectKey, said: &str) -> Failure {
    let what = format!("see the labels of namespaces, by which {key} says who may use it");
    withheld(&what, "list and watch", "namespaces", said)
}

fn names(present: &[String]) -> String {
    let named = present.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match present.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::failure::Disposition;

    fn api_key() -> ApiKeyRef {
        ApiKeyRef { secret: "meshagent".to_owned(), key: "api-key".to_owned() }
    }

    fn bundle(kind: BundleKind) -> BundleRef {
        BundleRef { kind, name: "roots".to_owned(), key: "ca.crt".to_owned() }
    }

    fn lacking(present: &[&str]) -> NoAccess {
        NoAccess::Lacking { present: present.iter().map(|key| (*key).to_owned()).collect() }
    }

    /// F8.
    #[test]
    fn a_secret_without_the_data_key_is_not_to_be_created_again_but_the_field_is_to_be_set() {
        let failure = Needed::ApiKey(&api_key()).failure("shop", &lacking(&["apiKey", "note"]));
        assert_eq!((failure.reason, failure.disposition), (Reason::CredentialsNotFound, Disposition::Wait));
        assert_eq!(
            failure.message,
            "spec.apiKeySecretRef: the Secret meshagent in namespace shop has no data key api-key; it has apiKey, note. Set \
             spec.apiKeySecretRef.key of the project to the one that holds the API key"
        );
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        let said = Needed::Bundle(&bundle(BundleKind::ConfigMap)).failure("shop", &lacking(&many)).message;
        assert!(said.contains("a, b, c, d, e and 2 more. Set spec.caBundleRef.key"), "{said}");
        let empty = Needed::ApiKey(&api_key()).failure("shop", &lacking(&[])).message;
        assert!(!empty.contains("create secret"), "{empty}");
        assert!(
            empty.ends_with(
                "kubectl patch secret meshagent -n shop --type=merge -p '{\"stringData\":{\"api-key\":\"'\
                 \"$MESHAGENT_API_KEY\"'\"}}'"
            ),
            "{empty}"
        );
    }

    /// F8.
    #[test]
    fn what_is_not_there_is_named_whole_with_a_command_that_can_be_pasted() {
        let said = |needed: Needed<'_>| needed.failure("shop", &NoAccess::Absent).message;
        assert_eq!(
            said(Needed::ApiKey(&api_key())),
            "spec.apiKeySecretRef: there is no Secret meshagent in namespace shop; create it: kubectl create secret generic \
             meshagent -n shop --from-literal=api-key=\"$MESHAGENT_API_KEY\""
        );
        assert_eq!(
            said(Needed::Bundle(&bundle(BundleKind::ConfigMap))),
            "spec.caBundleRef: there is no ConfigMap roots in namespace shop; write the certificates into a file ca.pem, \
             and create it: kubectl create configmap roots -n shop --from-file=ca.crt=ca.pem"
        );
    }

    /// F26.
    #[test]
    fn what_is_withheld_is_not_missing_and_the_right_is_named() {
        let said = NoAccess::Withheld { said: "secrets \"meshagent\" is forbidden".to_owned() };
        let failure = Needed::ApiKey(&api_key()).failure("shop", &said);
        assert_eq!((failure.reason, failure.disposition), (Reason::ProjectNotReady, Disposition::Wait));
        assert_eq!(
            failure.message,
            "the operator may not read Secret meshagent in namespace shop (spec.apiKeySecretRef): it lacks the right to get \
             secrets there. Give it back (its chart's ClusterRole meshagent-operator holds it); clients stay as they are \
             meanwhile. The API server says: secrets \"meshagent\" is forbidden"
        );
        let bundle = Needed::Bundle(&bundle(BundleKind::ConfigMap)).failure("shop", &said).message;
        assert!(bundle.contains("right to get configmaps"), "{bundle}");
    }
}
