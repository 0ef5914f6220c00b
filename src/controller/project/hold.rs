//! A project is held by a finalizer while OAuthClients use it: it is not to vanish under them, nor is the key in memory
//! with which they are deleted.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::json;

use super::{Context, WRITE_RETRY};
use crate::api::names::{MANAGER, PROJECT_FINALIZER};
use crate::controller::declared::Declared;
use crate::kubernetes::{KubernetesError, within};

/// How many users a message names.
const NAMED: usize = 5;

fn is_held(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == PROJECT_FINALIZER)
}

impl<K: Declared> Context<K> {
    /// Whether the object is being deleted, and nothing but the finalizer keeps it.
    pub(super) fn is_free(&self, object: &K) -> bool {
        let deleted = object.meta().deletion_timestamp.is_some() && is_held(object);
        deleted && self.shared.triggers.known_users(&object.key()).is_some_and(|users| users.is_empty())
    }

    /// Takes the finalizer off.
    pub(super) async fn release(&self, object: &K) -> Action {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != PROJECT_FINALIZER);
        match self.put_finalizers(object, finalizers).await {
            Ok(_) => {
                tracing::info!(project = %object.key(), "released: no OAuthClient uses it any more");
                Action::await_change()
            }
            // Of its newer version, or of its end, the watch tells.
            Err(error) if error.is_conflict() || error.proves_absence_of::<K>(&object.name_any()) => {
                Action::await_change()
            }
            Err(error) => {
                tracing::warn!(project = %object.key(), "{}", error.of_object().message);
                Action::requeue(WRITE_RETRY)
            }
        }
    }

    /// Puts the finalizer on, also after somebody's `kubectl replace` took it off. Returns the object if that changed it.
    pub(super) async fn hold(&self, object: &K) -> Result<Option<K>, KubernetesError> {
        if object.meta().deletion_timestamp.is_some() || is_held(object) {
            return Ok(None);
        }
        let finalizers = object.finalizers().iter().cloned().chain([PROJECT_FINALIZER.to_owned()]).collect();
        self.put_finalizers(object, finalizers).await.map(Some)
    }

    async fn put_finalizers(&self, object: &K, finalizers: Vec<String>) -> Result<K, KubernetesError> {
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
        let api = K::api(self.shared.requests.clone(), object.namespace().as_deref());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(patch);
        within("write the project's finalizer", api.patch(&object.name_any(), &params, &patch)).await
    }

    /// What is said of an object that is being deleted and held.
    pub(super) fn why_held(&self, object: &K) -> Option<String> {
        object.meta().deletion_timestamp.as_ref()?;
        let users = self.shared.triggers.known_users(&object.key())?;
        (is_held(object) && !users.is_empty()).then(|| held_by(&users))
    }
}

/// Who stands in the way of a deletion, and what to do.
fn held_by(users: &[String]) -> String {
    let named = users.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match users.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (count, use_it) = (users.len(), if users.len() == 1 { "OAuthClient uses" } else { "OAuthClients use" });
    format!(
        "the project cannot be deleted yet: {count} {use_it} it: {named}{more}; delete them, and it goes by itself (if one \
         does not go, its status says why)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_five_users_are_named_and_the_others_counted() {
        let users = |count: usize| (0..count).map(|n| format!("shop/web{n}")).collect::<Vec<_>>();
        let rest = "; delete them, and it goes by itself (if one does not go, its status says why)";
        assert_eq!(
            held_by(&users(1)),
            format!("the project cannot be deleted yet: 1 OAuthClient uses it: shop/web0{rest}")
        );
        let five = "shop/web0, shop/web1, shop/web2, shop/web3, shop/web4";
        assert_eq!(
            held_by(&users(5)),
            format!("the project cannot be deleted yet: 5 OAuthClients use it: {five}{rest}")
        );
        assert_eq!(
            held_by(&users(7)),
            format!("the project cannot be deleted yet: 7 OAuthClients use it: {five} and 2 more{rest}")
        );
    }
}
