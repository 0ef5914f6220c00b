//! Which pods still hold a former credential in their environment: by the metadata of pods alone, which tell what the
//! webhook gave them and when they were created.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::api::names::{INJECTED_ANNOTATION, OAUTH_CLIENT_LABEL, SECRET_NAME_ANNOTATION};
use crate::api::oauth_client::Retiring;
use crate::decide::inject::{Form, read_record};
use crate::decide::published::secret_of_pod;
use crate::decide::time::later;

/// How long a former client lives on at most for pods that hold its credential, after its overlap has ended.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// On pods of StatefulSets and DaemonSets: the revision of the template that they were made by.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The most pods that a status names.
const MOST_NAMED: usize = 5;

/// A pod that got a credential as variables when it was created.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    pub pod: String,
    pub uid: String,
    pub created: Timestamp,
    /// The Secret that the pod reads.
    pub secret: String,
    /// What made the pod and would make it anew: its controller.
    pub owner: Option<OwnerReference>,
    /// The revision of a StatefulSet or DaemonSet that the pod was made by.
    pub revision: Option<String>,
    /// Whether the pod is being deleted.
    pub ending: bool,
}

/// The pods of one OAuthClient that run, as far as they are seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Holders {
    /// The operator may not see pods: the overlap alone counts.
    #[default]
    Unseen,
    /// Pods are not seen yet: nothing is concluded.
    Unknown,
    Seen(Vec<Holder>),
}

/// The OAuthClient whose credential a pod holds in its environment, by the webhook's record, and the pod as a holder.
#[must_use]
pub fn holder(metadata: &ObjectMeta) -> Option<(&str, Holder)> {
    let client = metadata.labels.as_ref()?.get(OAUTH_CLIENT_LABEL)?;
    let annotations = metadata.annotations.as_ref()?;
    let (form, containers) = read_record(annotations.get(INJECTED_ANNOTATION)?)?;
    if form != Form::Env || containers.is_empty() {
        return None;
    }
    let holder = Holder {
        pod: metadata.name.clone()?,
        uid: metadata.uid.clone().unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref()?.0,
        secret: secret_of_pod(client, annotations.get(SECRET_NAME_ANNOTATION).map(String::as_str)),
        owner: controller(metadata).cloned(),
        revision: metadata.labels.as_ref()?.get(REVISION_LABEL).cloned(),
        ending: metadata.deletion_timestamp.is_some(),
    };
    Some((client, holder))
}

/// What controls an object, by its owner references.
#[must_use]
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

impl Holder {
    /// A pod that nothing controls, of the OAuthClient `web`.
    #[cfg(test)]
    pub(crate) fn new(pod: impl Into<String>, created: Timestamp) -> Self {
        let (uid, secret) = (String::new(), "web-oauth".to_owned());
        Self { pod: pod.into(), uid, created, secret, owner: None, revision: None, ending: false }
    }

    /// Whether the pod was created before its client was replaced. The times of pods are whole seconds.
    #[must_use]
    pub fn is_from_before(&self, replaced: Timestamp) -> bool {
        self.created <= replaced
    }
}

impl Holders {
    /// The pods that may hold the credential of a former client: those that were created before it was replaced; all, if
    /// the status does not say when that was.
    fn of<'a>(&'a self, former: &Retiring) -> Vec<&'a Holder> {
        let replaced = former.replaced_at.as_ref().map(|at| at.0);
        let Self::Seen(holders) = self else { return Vec::new() };
        holders.iter().filter(|holder| replaced.is_none_or(|replaced| holder.is_from_before(replaced))).collect()
    }

    /// Whether a former client may be deleted: its overlap has ended, and no pod holds its credential any more, or its
    /// longest time is over.
    #[must_use]
    pub fn may_be_deleted(&self, former: &Retiring, now: Timestamp) -> bool {
        let ended = former.delete_after.0 <= now;
        ended && (now >= longest(former) || (*self != Self::Unknown && self.of(former).is_empty()))
    }

    /// When a former client is to be looked at again, unless a pod ends before.
    #[must_use]
    pub fn look_again(&self, former: &Retiring, now: Timestamp) -> Timestamp {
        if former.delete_after.0 <= now && !self.may_be_deleted(former, now) {
            longest(former)
        } else {
            former.delete_after.0
        }
    }

    /// The former client with the pods for which it lives on after its overlap.
    #[must_use]
    pub fn with_pods(&self, former: Retiring, now: Timestamp) -> Retiring {
        let lives_on = former.delete_after.0 <= now && !self.may_be_deleted(&former, now);
        let mut pods: Vec<String> = self.of(&former).into_iter().map(|holder| holder.pod.clone()).collect();
        pods.sort();
        if !lives_on || pods.is_empty() {
            return Retiring { pods: None, more_pods: None, ..former };
        }
        let more = pods.len().saturating_sub(MOST_NAMED);
        pods.truncate(MOST_NAMED);
        let more_pods = (more > 0).then(|| i64::try_from(more).unwrap_or(i64::MAX));
        Retiring { pods: Some(pods), more_pods, ..former }
    }
}

fn longest(former: &Retiring) -> Timestamp {
    later(former.delete_after.0, LONGEST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::decide::time::stamp;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A client that was replaced at second 100, and whose overlap ends at second 160.
    fn former() -> Retiring {
        Retiring::new("c-1", Some(stamp(at(100))), stamp(at(160)))
    }

    fn seen(created: &[i64]) -> Holders {
        let pods = created.iter().enumerate();
        Holders::Seen(pods.map(|(index, second)| Holder::new(format!("web-{index}"), at(*second))).collect())
    }

    #[test]
    fn a_former_client_lives_at_least_for_its_overlap() {
        for holders in [Holders::Unseen, Holders::Unknown, seen(&[]), seen(&[50])] {
            assert!(!holders.may_be_deleted(&former(), at(159)));
            assert_eq!(holders.look_again(&former(), at(159)), at(160));
        }
    }

    #[test]
    fn a_former_client_lives_on_while_a_pod_from_before_runs_seven_days_at_most() {
        let end = at(160 + 7 * 24 * 60 * 60);
        for (holders, lives_on) in [
            (Holders::Unseen, false),
            (Holders::Unknown, true),
            (seen(&[]), false),
            (seen(&[101]), false),
            (seen(&[101, 100]), true),
        ] {
            assert_eq!(!holders.may_be_deleted(&former(), at(160)), lives_on, "{holders:?}");
            assert!(holders.may_be_deleted(&former(), end), "{holders:?}");
            assert_eq!(holders.look_again(&former(), at(160)), if lives_on { end } else { at(160) }, "{holders:?}");
        }
    }

    #[test]
    fn without_the_time_of_its_replacement_every_pod_counts() {
        let former = Retiring { replaced_at: None, ..former() };
        assert!(!seen(&[199]).may_be_deleted(&former, at(200)));
        assert!(seen(&[]).may_be_deleted(&former, at(200)));
    }

    #[test]
    fn the_status_names_five_pods_once_the_overlap_has_ended_and_none_before_or_after() {
        let holders = seen(&[1, 2, 3, 4, 5, 6, 7, 150]);
        let told = holders.with_pods(former(), at(160));
        assert_eq!(told.pods.unwrap(), ["web-0", "web-1", "web-2", "web-3", "web-4"]);
        assert_eq!(told.more_pods, Some(2));
        let before = Retiring { pods: Some(vec!["web-9".to_owned()]), more_pods: Some(3), ..former() };
        assert_eq!(holders.with_pods(before.clone(), at(159)), former());
        assert_eq!(seen(&[150]).with_pods(before.clone(), at(160)), former());
        assert_eq!(seen(&[1]).with_pods(before, at(160)).more_pods, None);
    }

    #[test]
    fn a_pod_holds_what_the_webhook_gave_it_as_variables() {
        let pod = |label: Option<&str>, record: Option<&str>| ObjectMeta {
            name: Some("web-0".to_owned()),
            labels: label.map(|name| BTreeMap::from([("meshagent.com/oauth-client".to_owned(), name.to_owned())])),
            annotations: record.map(|text| BTreeMap::from([("meshagent.com/injected".to_owned(), text.to_owned())])),
            creation_timestamp: Some(Time(at(7))),
            ..ObjectMeta::default()
        };
        let wanted = Holder::new("web-0", at(7));
        assert_eq!(holder(&pod(Some("web"), Some("env:app"))), Some(("web", wanted.clone())));
        let mut made = pod(Some("web"), Some("env:app"));
        let owner =
            |kind: &str, controls| OwnerReference { kind: kind.to_owned(), controller: controls, ..Default::default() };
        made.owner_references = Some(vec![owner("ConfigMap", None), owner("StatefulSet", Some(true))]);
        made.labels.as_mut().unwrap().insert("controller-revision-hash".to_owned(), "web-4".to_owned());
        made.deletion_timestamp = Some(Time(at(9)));
        let told = Holder {
            owner: Some(owner("StatefulSet", Some(true))),
            revision: Some("web-4".to_owned()),
            ending: true,
            ..wanted
        };
        assert_eq!(holder(&made), Some(("web", told)));
        for (label, record) in [
            (None, Some("env:app")),
            (Some("web"), None),
            (Some("web"), Some("file:app")),
            (Some("web"), Some("env:")),
            (Some("web"), Some("anything")),
        ] {
            assert_eq!(holder(&pod(label, record)), None, "{record:?}");
        }
    }
}
