//! Commands in messages, made such that they work when they are pasted.

use kube::ResourceExt;

use crate::api::OAuthClient;
use crate::decide::failure::Failure;

/// The object of a command, as the messages of `decide` name it.
const THE_OBJECT: &str = "maoc <name>";

/// The failure in words that name the object in their commands.
#[must_use]
pub fn addressed(object: &OAuthClient, failure: &Failure) -> Failure {
    let named = || format!("maoc {} -n {}", object.name_any(), object.namespace().unwrap_or_default());
    let message = if failure.message.contains(THE_OBJECT) {
        failure.message.replace(THE_OBJECT, &named())
    } else {
        failure.message.clone()
    };
    Failure { message, ..failure.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;

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
