//! The parts of a spec that have to be known even if the rest is broken: an object with an invalid spec must still be
//! deletable.

use crate::api::oauth_client::OAuthClientSpec;
use crate::decide::client::next::Deletion;
use crate::decide::marker::Policy;
use crate::decide::published;

/// The parts of a spec that a deletion needs, read without judging the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Essentials {
    /// What becomes of the client with its object; `None`: the spec does not say, or not in words that are known.
    pub policy: Option<Policy>,
    /// Whether the spec asks to take over an existing client.
    pub adopts: bool,
    /// Whether nothing is to be written for now.
    pub suspended: bool,
    /// The name of the Secret.
    pub secret_name: String,
}

impl Essentials {
    /// Reads the spec of the OAuthClient with this name.
    #[must_use]
    pub fn read(spec: &OAuthClientSpec, name: &str) -> Self {
        let named = spec.secret.as_ref().and_then(|secret| secret.name.clone());
        Self {
            policy: match spec.deletion_policy.as_deref() {
                Some("Delete") => Some(Policy::Delete),
                Some("Retain") => Some(Policy::Retain),
                Some(_) | None => None,
            },
            adopts: spec.adopt.is_some(),
            suspended: spec.suspend == Some(true),
            secret_name: named.unwrap_or_else(|| published::secret_name(name)),
        }
    }

    /// What becomes of the client with its object. `adopted`: what the status says of an adoption; the marker knows it
    /// as well, but a deletion has to know it without asking. `default`: for a spec that does not say.
    #[must_use]
    pub fn policy(&self, adopted: bool, default: Policy) -> Policy {
        self.policy.unwrap_or(if adopted || self.adopts { Policy::Retain } else { default })
    }

    /// How the object goes. The client of a suspended object is retained: a pass that may write nothing can delete
    /// nothing.
    #[must_use]
    pub fn deletion(&self, adopted: bool, default: Policy, forced: bool) -> Deletion {
        let policy = if self.suspended { Policy::Retain } else { self.policy(adopted, default) };
        Deletion { policy, forced }
    }

    /// Whether the object owns the Secret: false where the garbage collector could take the Secret before its time.
    #[must_use]
    pub fn owns_secret(&self, adopted: bool, default: Policy) -> bool {
        self.policy(adopted, default) == Policy::Delete && !self.suspended && !adopted && !self.adopts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn essentials(policy: Option<Policy>, adopts: bool, suspended: bool) -> Essentials {
        Essentials { policy, adopts, suspended, secret_name: "web-oauth".to_owned() }
    }

    #[test]
    fn what_a_deletion_needs_is_read_off_a_broken_spec() {
        let spec = serde_json::json!({ "deletionPolicy": "Keep", "redirectUris": ["nonsense"], "suspend": true });
        let spec: OAuthClientSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(Essentials::read(&spec, "web"), essentials(None, false, true));
    }

    #[test]
    fn a_policy_that_is_not_said_is_the_operators_and_retain_for_an_adopted_client() {
        use Policy::{Delete, Retain};
        let policy = |said, adopts, adopted, default| essentials(said, adopts, false).policy(adopted, default);
        assert_eq!(policy(None, false, false, Delete), Delete);
        assert_eq!(policy(None, false, false, Retain), Retain);
        assert_eq!(policy(None, true, false, Delete), Retain, "the spec adopts");
        assert_eq!(policy(None, false, true, Delete), Retain, "the status remembers it");
        assert_eq!(policy(Some(Delete), true, true, Retain), Delete, "what is said counts");
    }

    #[test]
    fn a_suspended_object_is_released_as_retained_whatever_its_policy() {
        let going =
            |suspended| essentials(Some(Policy::Delete), false, suspended).deletion(false, Policy::Delete, true);
        assert_eq!(going(false), Deletion { policy: Policy::Delete, forced: true });
        assert_eq!(going(true), Deletion { policy: Policy::Retain, forced: true });
    }

    #[test]
    fn a_secret_is_owned_only_if_it_goes_with_its_object() {
        let owned = |policy, adopts, suspended, adopted| {
            essentials(policy, adopts, suspended).owns_secret(adopted, Policy::Delete)
        };
        assert!(owned(None, false, false, false));
        assert!(!owned(Some(Policy::Retain), false, false, false), "retained");
        assert!(!owned(None, false, true, false), "suspended");
        assert!(!owned(Some(Policy::Delete), true, false, false), "adopting");
        assert!(!owned(Some(Policy::Delete), false, false, true), "adopted");
    }
}
