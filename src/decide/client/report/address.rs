//! What a failure means for one object: commands that work when they are pasted, and the reason that names what is under
//! way.

use kube::ResourceExt;

use crate::api::{OAuthClient, Reason};
use crate::decide::failure::Failure;

/// The object of a command, as the messages of `decide` name it.
const THE_OBJECT: &str = "maoc <name>";

/// The failure with the reason that names what is under way for the object, in words that name it in their commands.
#[must_use]
pub fn addressed(object: &OAuthClient, failure: &Failure) -> Failure {
    let named = || format!("maoc {} -n {}", object.name_any(), object.namespace().unwrap_or_default());
    let message = if failure.message.contains(THE_OBJECT) {
        failure.message.replace(THE_OBJECT, &named())
    } else {
        failure.message.clone()
    };
    Failure { message, reason: under_way(object, failure.reason), ..failure.clone() }
}

/// A step that has to be repeated says `Updating`, and does not know what it is a part of.
fn under_way(object: &OAuthClient, reason: Reason) -> Reason {
    let has_client = object.status.as_ref().is_some_and(|status| status.client_id.is_some());
    if reason != Reason::Updating {
        reason
    } else if object.metadata.deletion_timestamp.is_some() {
        Reason::Deleting
    } else if has_client {
        Reason::Updating
    } else {
        Reason::Creating
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F8.
    #[test]
    fn a_command_names_the_object_and_its_namespace() {
        let mut object = OAuthClient::new("web", crate::api::OAuthClientSpec::default());
        object.metadata.namespace = Some("shop".to_owned());
        let lost = Failure::stalled(Reason::CredentialLost, "replace it: kubectl annotate --overwrite maoc <name> a=b");
        let said = addressed(&object, &lost).message;
        assert_eq!(said, "replace it: kubectl annotate --overwrite maoc web -n shop a=b");
        let other = Failure::stalled(Reason::CredentialLost, "as it is");
        assert_eq!(addressed(&object, &other), other);
    }
}
