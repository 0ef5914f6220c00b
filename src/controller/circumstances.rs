//! What a failed pass depends on: while it is the same, the pass is not tried again before its time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use crate::api::{OAuthClient, Reason, names};
use crate::decide::client::object;
use crate::decide::id::{ClientId, Uid};
use crate::decide::words;
use crate::project::{ProjectClient, Resolution};

/// What people ask of an object. The operator's own writes change nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    generation: Option<i64>,
    /// The requests for a reconcile, from Flux and from others, and for a rotation.
    requests: [String; 3],
    forced: bool,
    deleting: bool,
    /// Whether the finalizer is on. `kubectl replace` takes finalizer and token off: they are put back at once.
    finalizer: bool,
    token: bool,
}

impl Asked {
    /// Whether people ask for the same. Finalizer and token do not count: the operator adds and removes them as well.
    pub(super) fn is_same_wish(&self, other: &Self) -> bool {
        let Self { generation, requests, forced, deleting, finalizer: _, token: _ } = self;
        generation == &other.generation
            && requests == &other.requests
            && forced == &other.forced
            && deleting == &other.deleting
    }

    pub(super) fn of(object: &OAuthClient) -> Self {
        let [flux, ours] = object::reconcile_requests(object);
        let annotations = object.metadata.annotations.as_ref();
        Self {
            generation: object.metadata.generation,
            requests: [flux, ours, object::rotation_request(object)].map(str::to_owned),
            forced: object::is_forced(object),
            deleting: object.metadata.deletion_timestamp.is_some(),
            finalizer: object::has_finalizer(object),
            token: annotations.is_some_and(|annotations| annotations.contains_key(names::CREATE_TOKEN_ANNOTATION)),
        }
    }
}

/// What is asked, and what the project offers.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    pub(super) asked: Asked,
    failure: Option<(Reason, String)>,
    may_adopt: bool,
    /// Whether the object's client is not replaced since many others are gone as well.
    many_gone: bool,
    /// The project client: another key or server makes another one.
    project: Weak<ProjectClient>,
    /// The hash of the object's clients as last listed, with the operator's own changes.
    clients: u64,
    /// The former clients that may be deleted: whatever else fails, they go on their day (F32).
    due: Vec<ClientId>,
}

impl Circumstances {
    pub(super) fn of(object: &OAuthClient, resolution: &Resolution, due: Vec<ClientId>) -> Self {
        let Resolution { project, failure, may_adopt, many_gone } = resolution;
        Self {
            asked: Asked::of(object),
            failure: failure.as_ref().map(|failure| (failure.reason, words::essence(&failure.message))),
            may_adopt: *may_adopt,
            many_gone: many_gone.is_some(),
            project: project.as_ref().map(Arc::downgrade).unwrap_or_default(),
            clients: project.as_ref().map_or(0, |project| clients(object, project)),
            due,
        }
    }
}

impl PartialEq for Circumstances {
    fn eq(&self, other: &Self) -> bool {
        let Self { asked, failure, may_adopt, many_gone, project, clients, due } = self;
        asked == &other.asked
            && failure == &other.failure
            && may_adopt == &other.may_adopt
            && many_gone == &other.many_gone
            && project.ptr_eq(&other.project)
            && clients == &other.clients
            && due == &other.due
    }
}

/// The hash of the clients that the object names. Clients of its POSTs of unknown outcome are left out: seeing them
/// listed is no reason for the next POST.
fn clients(object: &OAuthClient, project: &ProjectClient) -> u64 {
    let status = object.status.as_ref();
    let retiring = status.and_then(|status| status.retiring.as_deref()).unwrap_or_default();
    let adopted = object.spec.adopt.as_ref().and_then(|adopt| adopt.client_id.as_ref());
    let recorded = status.and_then(|status| status.client_id.as_ref());
    let named = retiring.iter().map(|former| &former.client_id).chain(recorded).chain(adopted);
    let named: Vec<ClientId> = named.map(ClientId::new).collect();
    let mut hasher = DefaultHasher::new();
    project.snapshot.relevant(&named, &Uid::new("")).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::failure::Failure;

    fn object() -> OAuthClient {
        let mut object = OAuthClient::new("web", Default::default());
        object.metadata.generation = Some(1);
        object
    }

    fn of(object: &OAuthClient, failure: Option<Failure>) -> Circumstances {
        Circumstances::of(object, &Resolution { project: None, failure, may_adopt: false, many_gone: None }, Vec::new())
    }

    #[test]
    fn the_operators_own_writes_and_new_numbers_in_old_words_change_nothing() {
        let object = object();
        let mut written = object.clone();
        written.status = Some(Default::default());
        written.metadata.resource_version = Some("8".into());
        let down = |id: &str| Some(Failure::retry(Reason::APIUnavailable, format!("503, request {id}")));
        assert_eq!(of(&object, down("a1b2c3d4")), of(&written, down("e5f6a7b8")));
    }

    #[test]
    fn each_change_that_people_or_the_project_make_is_one() {
        let annotated = |name: &str| {
            let mut annotated = object();
            annotated.metadata.annotations = Some([(name.to_owned(), "now".to_owned())].into());
            annotated
        };
        let (mut edited, mut deleted, mut finalizer) = (object(), object(), object());
        edited.metadata.generation = Some(2);
        deleted.metadata.deletion_timestamp = Some(crate::decide::time::stamp(jiff::Timestamp::UNIX_EPOCH));
        finalizer.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
        let changed = [
            edited,
            deleted,
            finalizer,
            annotated("meshagent.com/reconcile-requested-at"),
            annotated("reconcile.fluxcd.io/requestedAt"),
            annotated("meshagent.com/rotate-requested-at"),
            annotated("meshagent.com/create-token"),
        ];
        let before = of(&object(), None);
        for changed in changed {
            assert_ne!(before, of(&changed, None), "{:?}", changed.metadata);
        }
        let waits = |reason| Some(Failure::wait(reason, "no"));
        assert_ne!(before, of(&object(), waits(Reason::ProjectNotFound)));
        assert_ne!(of(&object(), waits(Reason::ProjectNotReady)), of(&object(), waits(Reason::ProjectNotFound)));
        let allowed = Resolution { project: None, failure: None, may_adopt: true, many_gone: None };
        assert_ne!(before, Circumstances::of(&object(), &allowed, Vec::new()));
        let due = Resolution { may_adopt: false, ..allowed.clone() };
        assert_eq!(before, Circumstances::of(&object(), &due, Vec::new()));
        assert_ne!(before, Circumstances::of(&object(), &due, vec![ClientId::new("c0")]), "F32: its last pod is gone");
        let many_gone = Some(Failure::stalled(Reason::ProjectNotReady, "seven"));
        let held = Resolution { many_gone, ..due };
        assert_ne!(
            before,
            Circumstances::of(&object(), &held, Vec::new()),
            "F24: what is accepted, or comes back, lets it go on"
        );
    }
}
