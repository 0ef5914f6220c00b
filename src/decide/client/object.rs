//! The OAuthClient as Kubernetes keeps it, read into what a pass reasons with; and back, where a text is our own form.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::desired::lifecycle::{DEFAULT_OVERLAP, overlap};
use super::holders::Holders;
use super::observed::{Named, Object, Recorded, Replaced, Retiring};
use crate::api::names;
use crate::api::oauth_client::{OAuthClient, OAuthClientStatus, Retiring as RetiringStatus};
use crate::decide::id::{ClientId, CredentialDigest, DriftDigest, Token, Uid, Version};
use crate::decide::time::{ClockState, PATIENCE, ahead};

/// The API server's own finalizer for `--cascade=orphan`.
const ORPHANING: &str = "orphan";

/// The parts of the object that decide.
#[must_use]
pub fn facts(object: &OAuthClient, holders: &Holders, now: Timestamp) -> Object {
    let metadata = &object.metadata;
    let uid = Uid::new(metadata.uid.as_deref().unwrap_or_default());
    let status = object.status.as_ref();
    let last_replaced = status.and_then(|status| status.last_replaced_at.as_ref());
    let overlap = overlap(&object.spec).unwrap_or(DEFAULT_OVERLAP);
    Object {
        version: Version::new(metadata.resource_version.as_deref().unwrap_or_default()),
        finalizer: has_finalizer(object),
        token: annotation(metadata, names::CREATE_TOKEN_ANNOTATION).and_then(|text| Token::read(text, &uid)),
        unknown: annotation(metadata, names::UNKNOWN_TOKENS_ANNOTATION)
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|text| Token::read(text, &uid))
            .collect(),
        recorded: status.map_or_else(Recorded::default, |status| recorded(status, holders, now)),
        rotation_asked: rotation_requested(object),
        replaced: last_replaced.map_or(Replaced::LongAgo, |at| replaced(at, overlap, now)),
        orphaning: has(object, ORPHANING),
        uid,
    }
}

/// The clients that the object names, as in its [`facts`].
#[must_use]
pub fn named(object: &OAuthClient) -> Named {
    let status = object.status.as_ref();
    Named {
        uid: Uid::new(object.metadata.uid.as_deref().unwrap_or_default()),
        own: status.and_then(|status| stated(&status.client_id)).map(ClientId::new),
        retiring: status.into_iter().flat_map(retiring).map(|former| ClientId::new(&former.client_id)).collect(),
    }
}

/// Whether our finalizer is on the object.
#[must_use]
pub fn has_finalizer(object: &OAuthClient) -> bool {
    has(object, names::FINALIZER)
}

fn has(object: &OAuthClient, wanted: &str) -> bool {
    object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == wanted)
}

/// The value of the annotation that holds the tokens of unknown outcome: separated by single spaces, in order.
#[must_use]
pub fn unknown_tokens_text(tokens: &BTreeSet<Token>) -> String {
    let tokens: Vec<&str> = tokens.iter().map(Token::as_str).collect();
    tokens.join(" ")
}

/// The values of the annotations that ask for a reconcile, Flux's before ours; empty without one. The two are separate
/// requests: a tool that writes one knows nothing of the other.
#[must_use]
pub fn reconcile_requests(object: &OAuthClient) -> [&str; 2] {
    [names::FLUX_RECONCILE_REQUESTED_ANNOTATION, names::RECONCILE_REQUESTED_ANNOTATION]
        .map(|name| annotation(&object.metadata, name).unwrap_or_default())
}

/// Whether one of the [`reconcile_requests`] has a value that was not handled yet.
#[must_use]
pub fn reconcile_requested(object: &OAuthClient) -> bool {
    new_reconcile_request(object).is_some()
}

/// The handled requests after a pass that acted on both: first the new one, as its writer waits for its value, then the
/// other.
#[must_use]
pub fn handled_reconcile_requests(object: &OAuthClient) -> [Option<String>; 2] {
    let [last, _] = handled_before(object);
    let requests = reconcile_requests(object);
    let present = || requests.into_iter().filter(|request| !request.is_empty());
    let handled = new_reconcile_request(object).or_else(|| present().find(|request| last == Some(request)));
    let handled = handled.or_else(|| present().next());
    let other = present().find(|request| Some(*request) != handled);
    [handled, other].map(|request| request.map(str::to_owned))
}

fn new_reconcile_request(object: &OAuthClient) -> Option<&str> {
    let [last, also] = handled_before(object);
    let is_new = |request: &&str| is_new(request, last) && Some(*request) != also;
    reconcile_requests(object).into_iter().find(is_new)
}

fn handled_before(object: &OAuthClient) -> [Option<&str>; 2] {
    let status = object.status.as_ref();
    let last = status.and_then(|status| status.last_handled_reconcile_at.as_deref());
    [last, status.and_then(|status| status.also_handled_reconcile_at.as_deref())]
}

/// The value of the annotation that asks for another client in the place of the present one; empty without one.
#[must_use]
pub fn rotation_request(object: &OAuthClient) -> &str {
    annotation(&object.metadata, names::ROTATE_REQUESTED_ANNOTATION).unwrap_or_default()
}

/// Whether the [`rotation_request`] has a value that was not handled yet.
#[must_use]
pub fn rotation_requested(object: &OAuthClient) -> bool {
    let handled = object.status.as_ref().and_then(|status| status.last_handled_rotate_at.as_deref());
    is_new(rotation_request(object), handled)
}

/// A status that never handled a request (a new object, or one restored from a backup) takes the present value as
/// handled: what is asked for is a change, not a state.
fn is_new(request: &str, handled: Option<&str>) -> bool {
    !request.is_empty() && handled.is_some_and(|handled| handled != request)
}

/// Whether a person gave up on the client of this object. The annotation names the uid, so that a copy of the YAML does
/// not give up on another.
#[must_use]
pub fn is_forced(object: &OAuthClient) -> bool {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    !uid.is_empty() && annotation(&object.metadata, names::FORCE_RELEASE_ANNOTATION) == Some(uid)
}

fn recorded(status: &OAuthClientStatus, holders: &Holders, now: Timestamp) -> Recorded {
    Recorded {
        client_id: stated(&status.client_id).map(ClientId::new),
        secret_version: stated(&status.secret_resource_version).map(Version::new),
        digest: stated(&status.credential_digest).map(CredentialDigest::new),
        retiring: retiring(status)
            .map(|former| Retiring {
                client_id: ClientId::new(&former.client_id),
                due: holders.may_be_deleted(former, now),
            })
            .collect(),
        managed_keys: status.managed_metadata_keys.iter().flatten().cloned().collect(),
        secret_name: stated(&status.secret_name).map(str::to_owned),
        adopted: status.adopted.unwrap_or(false),
        drift: stated(&status.persisting_drift).map(DriftDigest::new),
        project_id: stated(&status.project_id).map(str::to_owned),
    }
}

/// The former clients that may be deleted now.
#[must_use]
pub fn due(object: &OAuthClient, holders: &Holders, clock: ClockState, now: Timestamp) -> Vec<ClientId> {
    let retiring = object.status.iter().flat_map(retiring);
    let due = retiring.filter(|former| clock.may_delete() && holders.may_be_deleted(former, now));
    due.map(|former| ClientId::new(&former.client_id)).collect()
}

/// The former clients that a status names.
fn retiring(status: &OAuthClientStatus) -> impl Iterator<Item = &RetiringStatus> {
    status.retiring.iter().flatten().filter(|former| !former.client_id.is_empty())
}

/// A status can be edited; an empty id would turn the address of one client into that of all.
fn stated(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A time a little ahead of our clock is another replica's, taken as just now. A time further ahead was written by a
/// clock that was wrong: it says nothing, or the next replacement would wait until then.
fn replaced(at: &Time, overlap: Duration, now: Timestamp) -> Replaced {
    let ago = Duration::try_from(now.duration_since(at.0)).unwrap_or_default();
    if ahead(at.0, now).is_some() {
        Replaced::LongAgo
    } else if ago < PATIENCE {
        Replaced::JustNow
    } else if ago < overlap {
        Replaced::WithinOverlap
    } else {
        Replaced::LongAgo
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: i64 = 1_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bare() -> OAuthClient {
        let mut object = OAuthClient::new("web", Default::default());
        object.metadata.uid = Some("0b5c".into());
        object.metadata.resource_version = Some("7".into());
        object
    }

    fn nothing() -> Object {
        Object {
            uid: Uid::new("0b5c"),
            version: Version::new("7"),
            finalizer: false,
            token: None,
            unknown: BTreeSet::new(),
            recorded: Recorded::default(),
            rotation_asked: false,
            replaced: Replaced::LongAgo,
            orphaning: false,
        }
    }

    fn token(random: &str) -> Token {
        Token::mint(&Uid::new("0b5c"), random)
    }

    #[test]
    fn a_new_object_says_nothing() {
        assert_eq!(facts(&bare(), &Holders::Unseen, at(NOW)), nothing());
    }

    #[test]
    fn all_that_decides_is_read() {
        let mut object = bare();
        object.metadata.finalizers = Some(vec!["orphan".into(), "meshagent.com/oauth-client".into()]);
        object.metadata.annotations = Some(BTreeMap::from([
            ("meshagent.com/create-token".into(), "0b5c.r3".into()),
            ("meshagent.com/unknown-tokens".into(), "0b5c.r2 0b5c.r1".into()),
            ("meshagent.com/rotate-requested-at".into(), "now".into()),
        ]));
        let retiring = |client_id: &str, second| RetiringStatus::new(client_id, None, Time(at(second)));
        object.status = Some(OAuthClientStatus {
            client_id: Some("c-3".into()),
            secret_resource_version: Some("5".into()),
            credential_digest: Some("d".into()),
            retiring: Some(vec![retiring("c-1", NOW), retiring("c-2", NOW + 1)]),
            managed_metadata_keys: Some(vec!["team".into(), "cost".into()]),
            last_replaced_at: Some(Time(at(NOW - 3600))),
            secret_name: Some("web-oauth".into()),
            adopted: Some(true),
            persisting_drift: Some("e".into()),
            project_id: Some("p".into()),
            last_handled_rotate_at: Some(String::new()),
            ..OAuthClientStatus::default()
        });
        let due = |client_id: &str, due| Retiring { client_id: ClientId::new(client_id), due };
        let wanted = Object {
            finalizer: true,
            token: Some(token("r3")),
            unknown: BTreeSet::from([token("r1"), token("r2")]),
            recorded: Recorded {
                client_id: Some(ClientId::new("c-3")),
                secret_version: Some(Version::new("5")),
                digest: Some(CredentialDigest::new("d")),
                retiring: vec![due("c-1", true), due("c-2", false)],
                managed_keys: BTreeSet::from(["cost".into(), "team".into()]),
                secret_name: Some("web-oauth".into()),
                adopted: true,
                drift: Some(DriftDigest::new("e")),
                project_id: Some("p".into()),
            },
            orphaning: true,
            rotation_asked: true,
            replaced: Replaced::WithinOverlap,
            ..nothing()
        };
        assert_eq!(facts(&object, &Holders::Unseen, at(NOW)), wanted);
        assert_eq!(named(&object), wanted.named());
    }

    #[test]
    fn tokens_of_another_uid_are_void() {
        let mut object = bare();
        object.metadata.annotations = Some(BTreeMap::from([
            ("meshagent.com/create-token".into(), "ffff.r3".into()),
            ("meshagent.com/unknown-tokens".into(), "ffff.r2 0b5c.r1 nonsense".into()),
        ]));
        let wanted = Object { unknown: BTreeSet::from([token("r1")]), ..nothing() };
        assert_eq!(facts(&object, &Holders::Unseen, at(NOW)), wanted);
    }

    #[test]
    fn empty_texts_in_a_status_name_nothing() {
        let mut object = bare();
        let nobody = RetiringStatus::new("", None, Time(at(0)));
        object.status = Some(OAuthClientStatus {
            client_id: Some(String::new()),
            secret_resource_version: Some(String::new()),
            credential_digest: Some(String::new()),
            retiring: Some(vec![nobody]),
            ..OAuthClientStatus::default()
        });
        assert_eq!(facts(&object, &Holders::Unseen, at(NOW)), nothing());
        assert_eq!(named(&object), nothing().named());
    }

    #[test]
    fn unknown_tokens_are_read_as_they_were_written() {
        let tokens = BTreeSet::from([token("r2"), token("r1")]);
        let text = unknown_tokens_text(&tokens);
        assert_eq!(text, "0b5c.r1 0b5c.r2");
        let mut object = bare();
        object.metadata.annotations = Some(BTreeMap::from([("meshagent.com/unknown-tokens".into(), text)]));
        assert_eq!(facts(&object, &Holders::Unseen, at(NOW)).unknown, tokens);
        assert_eq!(unknown_tokens_text(&BTreeSet::new()), "");
    }

    /// F10.
    #[test]
    fn a_replacement_in_the_future_delays_the_next_by_ten_minutes_and_a_replicas_skew_at_most() {
        let ahead = |seconds: i64| replaced(&Time(at(NOW + seconds)), DEFAULT_OVERLAP, at(NOW));
        assert_eq!(ahead(60), Replaced::JustNow, "the skew of another replica");
        assert_eq!([ahead(61), ahead(200_000_000)], [Replaced::LongAgo; 2], "a clock that was wrong");
    }

    #[test]
    fn a_replacement_is_recent_for_ten_minutes_and_bars_another_for_a_day() {
        let since = |seconds: i64| replaced(&Time(at(NOW - seconds)), DEFAULT_OVERLAP, at(NOW));
        let seen = [-60, 0, 599, 600, 86_399, 86_400].map(since);
        use Replaced::{JustNow, LongAgo, WithinOverlap};
        assert_eq!(seen, [JustNow, JustNow, JustNow, WithinOverlap, WithinOverlap, LongAgo]);
    }

    fn asking(value: &str, handled: Option<&str>) -> OAuthClient {
        let mut object = bare();
        let annotation = ("meshagent.com/rotate-requested-at".into(), value.into());
        object.metadata.annotations = (!value.is_empty()).then(|| BTreeMap::from([annotation]));
        let handled = handled.map(str::to_owned);
        object.status = Some(OAuthClientStatus { last_handled_rotate_at: handled, ..OAuthClientStatus::default() });
        object
    }

    #[test]
    fn a_request_is_done_once_for_each_new_value_and_never_for_one_that_came_with_the_object() {
        let asked = |value, handled| rotation_requested(&asking(value, handled));
        assert!(asked("monday", Some("")), "the first");
        assert!(asked("tuesday", Some("monday")), "the next");
        assert!(!asked("monday", Some("monday")), "done");
        assert!(!asked("", Some("monday")), "taken off");
        assert!(!asked("monday", None), "a new object, or one whose status a restore dropped");
    }

    #[test]
    fn giving_up_names_the_object_by_its_uid() {
        let with = |value: &str| {
            let mut object = bare();
            object.metadata.annotations = Some(BTreeMap::from([("meshagent.com/force-release".into(), value.into())]));
            is_forced(&object)
        };
        assert_eq!([with("0b5c"), with("true"), with("")], [true, false, false]);
        assert!(!is_forced(&bare()));
    }
}
