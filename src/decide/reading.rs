//! From the object as Kubernetes holds it to the facts that decide.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::id::{ClientId, Digest, Token, Uid, Version};
use super::observed::{Object, Recorded, Replaced, Retiring};
use crate::api::names::{
    CREATE_TOKEN_ANNOTATION, FINALIZER, FLUX_RECONCILE_REQUESTED_ANNOTATION, RECONCILE_REQUESTED_ANNOTATION,
    UNKNOWN_TOKENS_ANNOTATION,
};
use crate::api::{OAuthClient, OAuthClientStatus};

/// How long a former client lives after it was replaced.
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// After a replacement nothing is POSTed for so long, whatever the reason.
const PAUSE_AFTER_REPLACEMENT: Duration = Duration::from_secs(10 * 60);

/// The facts of an object.
#[must_use]
pub fn object(object: &OAuthClient, now: Timestamp) -> Object {
    let uid = Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
    let annotation = |key: &str| object.annotations().get(key).map(String::as_str);
    let unknown = annotation(UNKNOWN_TOKENS_ANNOTATION).unwrap_or_default();
    let status = object.status.as_ref();
    Object {
        version: Version::new(object.metadata.resource_version.as_deref().unwrap_or_default()),
        finalizer: object.finalizers().iter().any(|finalizer| finalizer == FINALIZER),
        token: annotation(CREATE_TOKEN_ANNOTATION).and_then(|token| Token::read(token, &uid)),
        unknown: unknown.split_whitespace().filter_map(|token| Token::read(token, &uid)).collect(),
        recorded: status.map(|status| recorded(status, now)).unwrap_or_default(),
        rotation_asked: false,
        replaced: replaced(status.and_then(|status| status.last_replaced_at.as_ref().map(|at| at.0)), now),
        uid,
    }
}

fn recorded(status: &OAuthClientStatus, now: Timestamp) -> Recorded {
    let retiring = status
        .retiring
        .iter()
        .flatten()
        .map(|former| Retiring { client_id: ClientId::new(&former.client_id), due: former.delete_after.0 <= now });
    Recorded {
        client_id: status.client_id.as_ref().map(ClientId::new),
        secret_version: status.secret_resource_version.as_ref().map(Version::new),
        digest: status.credential_digest.as_ref().map(Digest::new),
        retiring: retiring.collect(),
        managed_keys: status.managed_metadata_keys.iter().flatten().cloned().collect(),
    }
}

fn replaced(at: Option<Timestamp>, now: Timestamp) -> Replaced {
    // A time in the future is another clock's: the pass errs on the side of waiting.
    match at.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default()) {
        None => Replaced::LongAgo,
        Some(age) if age < PAUSE_AFTER_REPLACEMENT => Replaced::JustNow,
        Some(age) if age < OVERLAP => Replaced::WithinOverlap,
        Some(_) => Replaced::LongAgo,
    }
}

/// The tokens of unknown outcome, as their annotation holds them: separated by spaces.
#[must_use]
pub fn unknown_tokens_text(unknown: &BTreeSet<Token>) -> String {
    unknown.iter().map(Token::as_str).collect::<Vec<_>>().join(" ")
}

/// The value of the annotation that asks for a look at the remote client, ours before Flux's; empty without one.
#[must_use]
pub fn reconcile_request(object: &OAuthClient) -> &str {
    let annotations = object.annotations();
    annotations
        .get(RECONCILE_REQUESTED_ANNOTATION)
        .or_else(|| annotations.get(FLUX_RECONCILE_REQUESTED_ANNOTATION))
        .map_or("", String::as_str)
}

/// Whether that annotation has a value that was not handled yet. A status that never handled one takes the present
/// value as handled.
#[must_use]
pub fn reconcile_requested(object: &OAuthClient) -> bool {
    let handled = object.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref());
    handled.is_some_and(|handled| handled != reconcile_request(object)) && !reconcile_request(object).is_empty()
}
