use jiff::Timestamp;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::*;
use crate::decide::client::holders::Holder;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn owner(api_version: &str, kind: &str) -> OwnerReference {
    OwnerReference { api_version: api_version.into(), kind: kind.into(), name: "web".into(), ..Default::default() }
}

/// An OAuthClient whose client took the place of another at second 100, and which wants restarts.
fn client(spec: Value, status: Value) -> OAuthClient {
    let mut object = json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "rollout": { "restart": "Injected" } },
        "status": {
            "clientId": "c-2", "lastReplacedAt": "1970-01-01T00:01:40Z",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Ready", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }],
        },
    });
    for (part, changes) in [("spec", spec), ("status", status)] {
        for (field, value) in changes.as_object().unwrap() {
            object[part][field] = value.clone();
        }
    }
    serde_json::from_value(object).unwrap()
}

fn wanted() -> Due {
    due(&client(json!({}), json!({}))).unwrap()
}

fn holder(pod: &str, created: i64, ending: bool) -> Holder {
    Holder { ending, ..Holder::new(pod, at(created)) }
}

#[test]
fn restarts_are_due_once_a_client_took_the_place_of_another_and_is_ready() {
    assert_eq!(
        wanted(),
        Due { client_id: "c-2".into(), replaced_at: at(100), secret: "web-oauth".into(), name: "web".into() }
    );
    let named = due(&client(json!({ "secret": { "name": "login" } }), json!({}))).unwrap();
    assert_eq!(named.secret, "login");
}

#[test]
fn nothing_is_due_where_no_restart_is_wanted_or_the_client_may_go_again() {
    let not_ready = json!([{
        "type": "Ready", "status": "False", "reason": "ProjectNotReady", "message": "",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    for (spec, status) in [
        (json!({ "rollout": null }), json!({})),
        (json!({ "rollout": {} }), json!({})),
        (json!({ "rollout": { "restart": "None" } }), json!({})),
        (json!({ "suspend": true }), json!({})),
        (json!({}), json!({ "lastReplacedAt": null })),
        (json!({}), json!({ "clientId": null })),
        (json!({}), json!({ "clientId": "" })),
        (json!({}), json!({ "conditions": not_ready })),
        (json!({}), json!({ "conditions": null })),
    ] {
        assert_eq!(due(&client(spec.clone(), status.clone())), None, "{spec} {status}");
    }
    let mut leaving = client(json!({}), json!({}));
    leaving.metadata.deletion_timestamp = Some(crate::decide::time::stamp(at(1)));
    assert_eq!(due(&leaving), None);
    leaving.status = None;
    assert_eq!(due(&leaving), None);
}

#[test]
fn the_last_of_several_replacements_counts() {
    let retiring = json!([
        { "clientId": "c-0", "deleteAfter": "1970-01-02T00:00:00Z", "replacedAt": "1970-01-01T00:00:50Z" },
        { "clientId": "c-1", "deleteAfter": "1970-01-02T00:00:00Z", "replacedAt": "1970-01-01T00:01:41Z" },
        { "clientId": "c-x", "deleteAfter": "1970-01-02T00:00:00Z" },
    ]);
    assert_eq!(due(&client(json!({}), json!({ "retiring": retiring }))).unwrap().replaced_at, at(101));
    let only_retiring = json!({ "retiring": retiring, "lastReplacedAt": null });
    assert_eq!(due(&client(json!({}), only_retiring)).unwrap().replaced_at, at(101));
}

#[test]
fn pods_from_before_are_stale_unless_they_end_anyway() {
    let pods = Holders::Seen(vec![holder("old", 100, false), holder("new", 101, false), holder("ending", 5, true)]);
    let names: Vec<&str> = wanted().stale(&pods).iter().map(|holder| holder.pod.as_str()).collect();
    assert_eq!(names, ["old"]);
    for unseen in [Holders::Unseen, Holders::Unknown] {
        assert!(wanted().stale(&unseen).is_empty());
    }
}

fn workload(kind: WorkloadKind, changes: &[(&str, Value)]) -> Workload {
    let mut object = json!({
        "metadata": {
            "name": "web", "namespace": "shop", "resourceVersion": "7", "generation": 3,
            "annotations": { "deployment.kubernetes.io/revision": "4" },
        },
        "spec": { "replicas": 2, "template": { "metadata": { "labels": { "meshagent.com/oauth-client": "web" } } } },
        "status": { "observedGeneration": 3, "updateRevision": "web-4" },
    });
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    Workload::new(kind, serde_json::from_value::<DynamicObject>(object).unwrap())
}

const KINDS: [WorkloadKind; 4] =
    [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet, WorkloadKind::Rollout];

#[test]
fn a_restart_is_one_annotation_that_names_the_client_or_argos_own_field() {
    let patch = |kind| {
        let verdict = judge(&workload(kind, &[]), None, &wanted());
        let Verdict::Restart(patch) = verdict else { panic!("{verdict:?}") };
        patch
    };
    let annotated = json!({
        "metadata": { "resourceVersion": "7" },
        "spec": { "template": { "metadata": { "annotations": { "meshagent.com/credential": "c-2" } } } },
    });
    for kind in &KINDS[..3] {
        assert_eq!(patch(*kind), annotated, "{kind:?}");
    }
    let restart_at = json!({ "metadata": { "resourceVersion": "7" }, "spec": { "restartAt": "1970-01-01T00:01:41Z" } });
    assert_eq!(patch(WorkloadKind::Rollout), restart_at);
}

/// Every patch that is carried out, and whatever else becomes of the object, answers the question for good.
#[test]
fn what_was_restarted_for_this_client_is_not_restarted_again() {
    for kind in KINDS {
        let mut object = serde_json::to_value(&workload(kind, &[]).object).unwrap();
        let Verdict::Restart(patch) = judge(&workload(kind, &[]), None, &wanted()) else { panic!("{kind:?}") };
        json_patch::merge(&mut object, &patch);
        let restarted = Workload::new(kind, serde_json::from_value(object).unwrap());
        assert_eq!(judge(&restarted, None, &wanted()), Verdict::Rolling, "{kind:?}");
        let next = Due { client_id: "c-3".into(), replaced_at: at(200), ..wanted() };
        assert!(matches!(judge(&restarted, None, &next), Verdict::Restart(_)), "{kind:?}");
    }
}

#[test]
fn a_rollout_of_others_that_replaces_the_pods_is_enough() {
    for (kind, latest, former) in [(WorkloadKind::Deployment, "4", "3"), (WorkloadKind::StatefulSet, "web-4", "web-3")]
    {
        assert_eq!(judge(&workload(kind, &[]), Some(former), &wanted()), Verdict::Rolling, "{kind:?}");
        assert!(matches!(judge(&workload(kind, &[]), Some(latest), &wanted()), Verdict::Restart(_)), "{kind:?}");
        let edited = workload(kind, &[("/metadata/generation", json!(4))]);
        assert_eq!(judge(&edited, Some(latest), &wanted()), Verdict::Rolling, "its controller has not seen the edit");
    }
}

#[test]
fn what_is_not_restarted_is_told_what_to_do() {
    let by_hand = "delete its pods one by one, and each comes back with the new credential";
    let controlled =
        json!([{ "apiVersion": "example.com/v1", "kind": "App", "name": "shop", "uid": "1", "controller": true }]);
    let told = |kind, changes: &[(&str, Value)]| {
        let verdict = judge(&workload(kind, changes), None, &wanted());
        let Verdict::Pending(obstacle) = verdict else { panic!("{verdict:?}") };
        obstacle.sentence("web")
    };
    let sentence = |why: &str| {
        format!("has a former credential of OAuthClient web in its environment and is not restarted: {why}")
    };
    let paused = [("/spec/paused", json!(true))];
    let resume = "it is paused; `kubectl rollout resume deployment/web -n shop`, and it is restarted";
    assert_eq!(told(WorkloadKind::Deployment, &paused), sentence(resume));
    assert_eq!(told(WorkloadKind::Rollout, &paused), sentence("it is paused; resume it, and it is restarted"));
    for strategy in
        [json!({ "type": "OnDelete" }), json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } })]
    {
        let said = format!("its update strategy replaces no pods by itself (OnDelete, or a partition); {by_hand}");
        assert_eq!(told(WorkloadKind::StatefulSet, &[("/spec/updateStrategy", strategy)]), sentence(&said));
    }
    let scaled = "it is scaled to no replicas; pods that it gets later have the new credential";
    assert_eq!(told(WorkloadKind::Deployment, &[("/spec/replicas", json!(0))]), sentence(scaled));
    let elsewhere = "App shop controls it; restart it there";
    assert_eq!(told(WorkloadKind::Deployment, &[("/metadata/ownerReferences", controlled)]), sentence(elsewhere));
    let job = "a Job runs to its end; if the former client ends before it does, start the Job anew";
    assert_eq!(of_other_owner(&owner("batch/v1", "Job")).sentence("web"), sentence(job));
    let other = format!("a ReplicaSet is nothing that the operator restarts; {by_hand}");
    assert_eq!(of_other_owner(&owner("apps/v1", "ReplicaSet")).sentence("web"), sentence(&other));
    let workflow = "a Workflow is nothing that the operator restarts; restart it by its own means";
    assert_eq!(of_other_owner(&owner("argoproj.io/v1alpha1", "Workflow")).sentence("web"), sentence(workflow));
}

#[test]
fn a_template_that_names_another_oauthclient_or_none_replaces_the_pods_by_itself() {
    let label = "/spec/template/metadata/labels/meshagent.com~1oauth-client";
    for (pointer, value) in [(label, json!("shop")), ("/spec/template/metadata/labels", json!({}))] {
        let mut object = serde_json::to_value(&workload(WorkloadKind::DaemonSet, &[]).object).unwrap();
        *object.pointer_mut(pointer).unwrap() = value;
        let changed = Workload::new(WorkloadKind::DaemonSet, serde_json::from_value(object).unwrap());
        assert_eq!(judge(&changed, None, &wanted()), Verdict::Rolling, "{pointer}");
    }
    let elsewhere = workload(WorkloadKind::Rollout, &[("/spec/template", Value::Null)]);
    assert!(matches!(judge(&elsewhere, None, &wanted()), Verdict::Restart(_)), "the template is in another object");
}

#[test]
fn new_pods_read_the_secret_that_the_template_names() {
    let secret = |changes: &[(&str, Value)]| workload(WorkloadKind::Deployment, changes).secret("web");
    assert_eq!(secret(&[]).as_deref(), Some("web-oauth"));
    let named = json!({ "meshagent.com/secret-name": " login " });
    assert_eq!(secret(&[("/spec/template/metadata/annotations", named)]).as_deref(), Some("login"));
    assert_eq!(secret(&[("/spec/template", Value::Null)]), None);
}

#[test]
fn a_rollout_has_ended_when_all_pods_are_new_and_available() {
    let done = json!({
        "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2,
        "restartedAt": "1970-01-01T01:01:41+01:00",
    });
    let rolled = |kind, status: &Value| {
        let spec = ("/spec/restartAt", json!("1970-01-01T00:01:41Z"));
        workload(kind, &[("/status", status.clone()), spec]).has_rolled_out()
    };
    for kind in KINDS {
        assert!(rolled(kind, &done), "{kind:?}");
        let mut behind = done.clone();
        behind["observedGeneration"] = json!(2);
        assert!(!rolled(kind, &behind), "{kind:?}");
        assert!(!rolled(kind, &json!({ "observedGeneration": 3, "desiredNumberScheduled": 2 })), "{kind:?}");
    }
    for (kind, field) in [
        (WorkloadKind::Deployment, "replicas"),
        (WorkloadKind::Deployment, "availableReplicas"),
        (WorkloadKind::StatefulSet, "updatedReplicas"),
        (WorkloadKind::DaemonSet, "updatedNumberScheduled"),
        (WorkloadKind::DaemonSet, "numberAvailable"),
    ] {
        let mut under_way = done.clone();
        under_way[field] = json!(1);
        assert!(!rolled(kind, &under_way), "{kind:?} {field}");
    }
}

#[test]
fn a_restart_begins_when_no_new_pod_can_be_taken_for_one_from_before() {
    assert!(!wanted().is_over(at(100)) && wanted().is_over(at(101)));
}

#[test]
fn a_policys_refusal_is_no_missing_right() {
    assert!(lacks_right(
        "deployments.apps \"web\" is forbidden: User \"operator\" cannot patch resource \"deployments\""
    ));
    assert!(!lacks_right("policy: container \"app\" cannot run as root"));
    assert!(!lacks_right("admission webhook \"policy\" denied the request: no restarts on Fridays"));
}

#[test]
fn a_partition_of_none_and_owners_that_do_not_control_are_in_nobodys_way() {
    let partition = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
    let owned = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1" }]);
    for changes in [
        [("/spec/updateStrategy", partition)],
        [("/metadata/ownerReferences", owned)],
        [("/spec/replicas", json!(null))],
    ] {
        let verdict = judge(&workload(WorkloadKind::StatefulSet, &changes), None, &wanted());
        assert!(matches!(verdict, Verdict::Restart(_)), "{changes:?}: {verdict:?}");
    }
}

#[test]
fn a_workload_that_goes_is_left_to_go() {
    let changes = [("/metadata/deletionTimestamp", json!("1970-01-01T00:00:00Z")), ("/spec/paused", json!(true))];
    assert_eq!(judge(&workload(WorkloadKind::Deployment, &changes), None, &wanted()), Verdict::Leaving);
}

#[test]
fn a_kind_is_told_by_its_group() {
    assert_eq!(WorkloadKind::of(&owner("apps/v1", "Deployment")), Some(WorkloadKind::Deployment));
    assert_eq!(WorkloadKind::of(&owner("argoproj.io/v1alpha1", "Rollout")), Some(WorkloadKind::Rollout));
    for (api_version, kind) in [("apps/v1", "ReplicaSet"), ("example.com/v1", "Deployment"), ("v1", "Deployment")] {
        assert_eq!(WorkloadKind::of(&owner(api_version, kind)), None, "{api_version} {kind}");
    }
    for kind in KINDS {
        let ApiResource { api_version, kind: name, .. } = kind.resource();
        assert_eq!(WorkloadKind::of(&owner(&api_version, &name)), Some(kind));
    }
}
