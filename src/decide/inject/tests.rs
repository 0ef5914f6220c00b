use serde_json::{Value, json};

use super::*;

mod laws;

fn defaults() -> Defaults {
    Defaults { form: Form::Env, skip_containers: BTreeSet::from(["istio-proxy".to_owned()]) }
}

fn labelled(annotations: Value, spec: Value) -> Value {
    json!({ "metadata": { "labels": { "meshagent.com/oauth-client": "web" }, "annotations": annotations }, "spec": spec })
}

fn read(pod: &Value) -> Pod {
    serde_json::from_value(pod.clone()).unwrap()
}

fn injection(pod: &Value) -> Injection {
    inject(&read(pod), &defaults()).unwrap().unwrap()
}

/// The pod as it is after the webhook.
fn injected(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let patch = injection(&pod).patch;
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

fn refused(annotations: Value) -> String {
    let pod = labelled(annotations, json!({ "containers": [{ "name": "app" }] }));
    inject(&read(&pod), &defaults()).unwrap_err().to_string()
}

/// What a container's variables are called, in order.
fn variables(container: &Value) -> Vec<&str> {
    container["env"].as_array().into_iter().flatten().map(|entry| entry["name"].as_str().unwrap()).collect()
}

const ALL: [&str; 6] = [
    "MESHAGENT_OAUTH_CLIENT_ID",
    "MESHAGENT_OAUTH_CLIENT_SECRET",
    "MESHAGENT_OAUTH_AUTHORIZE_URL",
    "MESHAGENT_OAUTH_TOKEN_URL",
    "MESHAGENT_OAUTH_SCOPES",
    "MESHAGENT_PROJECT_ID",
];

#[test]
fn a_pod_without_the_label_is_left_alone() {
    let pod = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "app" }] } });
    assert_eq!(inject(&read(&pod), &defaults()), Ok(None));
}

#[test]
fn a_container_gets_six_variables_before_its_own_and_only_the_pair_is_waited_for() {
    let own = json!([{ "name": "CLIENT", "value": "$(MESHAGENT_OAUTH_CLIENT_ID)" }]);
    let pod = labelled(Value::Null, json!({ "containers": [{ "name": "app", "env": own }] }));
    let source = |key: &str| json!({ "secretKeyRef": { "name": "web-oauth", "key": key } });
    let optional = |key: &str| json!({ "secretKeyRef": { "name": "web-oauth", "key": key, "optional": true } });
    let wanted = json!([
        { "name": "MESHAGENT_OAUTH_CLIENT_ID", "valueFrom": source("CLIENT_ID") },
        { "name": "MESHAGENT_OAUTH_CLIENT_SECRET", "valueFrom": source("CLIENT_SECRET") },
        { "name": "MESHAGENT_OAUTH_AUTHORIZE_URL", "valueFrom": optional("AUTHORIZE_URL") },
        { "name": "MESHAGENT_OAUTH_TOKEN_URL", "valueFrom": optional("TOKEN_URL") },
        { "name": "MESHAGENT_OAUTH_SCOPES", "valueFrom": optional("SCOPES") },
        { "name": "MESHAGENT_PROJECT_ID", "valueFrom": optional("PROJECT_ID") },
        { "name": "CLIENT", "value": "$(MESHAGENT_OAUTH_CLIENT_ID)" },
    ]);
    let injected = injected(&pod);
    assert_eq!(injected["spec"]["containers"][0]["env"], wanted);
    assert_eq!(injected["metadata"]["annotations"], json!({ "meshagent.com/injected": "env:app" }));
}

#[test]
fn a_variable_that_the_container_sets_stays_and_one_of_the_pair_keeps_the_whole_pair_out() {
    let own = |name: &str| json!({ "name": "app", "env": [{ "name": name, "value": "mine" }] });
    let pod = labelled(
        json!({}),
        json!({ "containers": [own("MESHAGENT_OAUTH_SCOPES"), own("MESHAGENT_OAUTH_CLIENT_SECRET")] }),
    );
    let result = injected(&pod);
    let [scopes, secret] = [0, 1].map(|index| variables(&result["spec"]["containers"][index]));
    assert_eq!(scopes, [ALL[0], ALL[1], ALL[2], ALL[3], ALL[5], ALL[4]]);
    assert_eq!(secret, [ALL[2], ALL[3], ALL[4], ALL[5], ALL[1]]);
    let said = "container app sets MESHAGENT_OAUTH_CLIENT_SECRET itself, and so gets no client id and secret";
    assert_eq!(injection(&pod).warnings, [said]);
}

#[test]
fn a_mount_holds_the_whole_secret_and_none_is_made_twice() {
    let files = json!({ "meshagent.com/inject-as": "file" });
    let pod = labelled(
        files,
        json!({ "containers": [{ "name": "app", "volumeMounts": [] }, { "name": "worker" }], "volumes": [{ "name": "tmp", "emptyDir": {} }] }),
    );
    let injected = injected(&pod);
    let mount =
        json!([{ "name": "meshagent-oauth", "mountPath": "/var/run/secrets/meshagent.com/oauth", "readOnly": true }]);
    for container in injected["spec"]["containers"].as_array().unwrap() {
        assert_eq!(container["volumeMounts"], mount);
        assert_eq!(container["env"], Value::Null);
    }
    let volume = json!({ "name": "meshagent-oauth", "secret": { "secretName": "web-oauth" } });
    assert_eq!(injected["spec"]["volumes"], json!([{ "name": "tmp", "emptyDir": {} }, volume]));
    assert_eq!(injected["metadata"]["annotations"]["meshagent.com/injected"], "file:app,worker");
    assert_eq!(injection(&injected).patch.0, []);
}

#[test]
fn a_volume_of_our_name_for_something_else_is_refused() {
    let files = json!({ "meshagent.com/inject-as": "file" });
    let other = json!([{ "name": "meshagent-oauth", "emptyDir": {} }]);
    let pod = labelled(files, json!({ "containers": [{ "name": "app" }], "volumes": other }));
    let said = inject(&read(&pod), &defaults()).unwrap_err().to_string();
    assert_eq!(
        said,
        "spec.volumes has a volume called meshagent-oauth that is not the Secret web-oauth; give that volume another name"
    );
}

#[test]
fn values_are_chosen_and_a_front_end_holds_no_secret() {
    let chosen = json!({ "meshagent.com/inject-keys": "authorizeUrl, clientId" });
    let pod = labelled(chosen, json!({ "containers": [{ "name": "app" }] }));
    let result = injected(&pod);
    assert_eq!(variables(&result["spec"]["containers"][0]), [ALL[0], ALL[2]]);
    assert!(!injection(&pod).patch.to_string().contains("CLIENT_SECRET"));
}

#[test]
fn secret_and_data_keys_are_named_where_the_oauthclient_names_them() {
    let named = json!({ "meshagent.com/secret-name": "login", "meshagent.com/secret-keys": "clientId=id, clientSecret=password,scopes=" });
    let pod = labelled(named, json!({ "containers": [{ "name": "app" }] }));
    let result = injected(&pod);
    let container = &result["spec"]["containers"][0];
    assert_eq!(variables(container), [ALL[0], ALL[1], ALL[2], ALL[3], ALL[5]]);
    let keys: Vec<_> = (0..3).map(|index| &container["env"][index]["valueFrom"]["secretKeyRef"]["key"]).collect();
    assert_eq!(keys, ["id", "password", "AUTHORIZE_URL"]);
    assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"]["name"], "login");
}

#[test]
fn regular_containers_are_chosen_without_those_to_skip_and_others_only_by_name() {
    let spec = json!({
        "initContainers": [{ "name": "migrate" }, { "name": "sidecar", "restartPolicy": "Always" }],
        "containers": [{ "name": "app" }, { "name": "istio-proxy" }],
        "ephemeralContainers": [{ "name": "debug" }],
    });
    let chosen = |annotations: Value| {
        injected(&labelled(annotations, spec.clone()))["metadata"]["annotations"]["meshagent.com/injected"].clone()
    };
    assert_eq!(chosen(json!({})), "env:app");
    let named = |names: &str| chosen(json!({ "meshagent.com/containers": names }));
    assert_eq!(named("istio-proxy,sidecar,migrate"), "env:migrate,sidecar,istio-proxy");
    assert_eq!(named("debug,app"), "env:app");
    let missing = labelled(json!({ "meshagent.com/containers": "ap" }), spec.clone());
    let said = [
        "the pod has no container called ap, which its annotation meshagent.com/containers names",
        "no container of this pod gets the credential",
    ];
    assert_eq!(injection(&missing).warnings, said);
    let told = |names: &str| {
        let annotations = json!({ "meshagent.com/containers": names });
        injection(&labelled(annotations, spec.clone())).warnings[0].clone()
    };
    assert!(told("a,b,c,d,e").contains("called a, b, c, d, e, which"), "{}", told("a,b,c,d,e"));
    assert!(told("a,b,c,d,e,f").contains("called a, b, c, d, e, and more, which"), "{}", told("a,b,c,d,e,f"));
}

#[test]
fn a_choice_that_was_made_is_not_widened_but_for_containers_that_the_pod_names() {
    let again = |annotations: Value| {
        let spec = json!({ "containers": [{ "name": "app" }, { "name": "added" }] });
        injected(&labelled(annotations, spec))["metadata"]["annotations"]["meshagent.com/injected"].clone()
    };
    assert_eq!(again(json!({ "meshagent.com/injected": "env:app" })), "env:app");
    assert_eq!(again(json!({ "meshagent.com/injected": "env:" })), "env:");
    let named = json!({ "meshagent.com/injected": "env:app", "meshagent.com/containers": "app,added" });
    assert_eq!(again(named), "env:app,added");
    // A record that came with a copied manifest, or that nobody can read.
    for copied in ["env:web", "anything", "shell:app"] {
        assert_eq!(again(json!({ "meshagent.com/injected": copied })), "env:app,added", "{copied}");
    }
}

#[test]
fn annotations_that_contradict_each_other_are_refused_by_their_names() {
    for (annotations, named) in [
        (
            json!({ "meshagent.com/inject-as": "file", "meshagent.com/inject-keys": "clientId" }),
            ["inject-as", "inject-keys"],
        ),
        (
            json!({ "meshagent.com/inject-as": "file", "meshagent.com/secret-keys": "clientId=id" }),
            ["inject-as", "secret-keys"],
        ),
        (
            json!({ "meshagent.com/inject-keys": "clientId,scopes", "meshagent.com/secret-keys": "scopes=" }),
            ["inject-keys", "secret-keys"],
        ),
    ] {
        let said = refused(annotations);
        assert!(named.iter().all(|name| said.contains(&format!("meshagent.com/{name}"))), "{said}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_annotation_and_what_to_write() {
    for (annotation, value, said) in [
        ("inject-as", "environment", "is not a word that is known here; use one of env, file"),
        ("inject-keys", "clientID", "use one of clientId, clientSecret, authorizeUrl, tokenUrl, scopes, projectId"),
        (
            "inject-keys",
            "clientSecret",
            "names clientSecret without clientId: a container never gets half a credential; add clientId",
        ),
        ("inject-keys", " , ", "names nothing; name something, or remove the annotation"),
        ("containers", "", "names nothing"),
        ("secret-name", "My Secret", "is not the name of a Kubernetes object"),
        ("secret-keys", "clientId", "write them like clientId=ID,clientSecret=SECRET,scopes="),
        ("secret-keys", "clientId=", "is not a data key of a Secret"),
        ("secret-keys", "clientId=a b", "is not a data key of a Secret"),
        ("secret-keys", "clientId=a,clientId=b", "names clientId twice; keep one of the two"),
        ("secret-keys", "id=a", "use one of clientId"),
    ] {
        let annotation = format!("meshagent.com/{annotation}");
        let refused = refused(json!({ annotation.as_str(): value }));
        assert!(
            refused.starts_with(&format!("metadata.annotations[{annotation}]")) && refused.contains(said),
            "{refused}"
        );
    }
}

#[test]
fn a_label_that_is_no_name_is_refused() {
    for name in ["", "Web", "-web", "we_b"] {
        let pod =
            json!({ "metadata": { "labels": { "meshagent.com/oauth-client": name } }, "spec": { "containers": [] } });
        let said = inject(&read(&pod), &defaults()).unwrap_err().to_string();
        assert!(said.starts_with("metadata.labels[meshagent.com/oauth-client] is not the name"), "{name}: {said}");
    }
}

#[test]
fn values_that_are_chosen_come_as_variables_where_files_are_the_default() {
    let defaults = Defaults { form: Form::File, ..defaults() };
    let record = |annotations: Value| {
        let mut pod = labelled(annotations, json!({ "containers": [{ "name": "app" }] }));
        let patch = inject(&read(&pod), &defaults).unwrap().unwrap().patch;
        json_patch::patch(&mut pod, &patch).unwrap();
        pod["metadata"]["annotations"]["meshagent.com/injected"].clone()
    };
    assert_eq!(record(json!({})), "file:app");
    assert_eq!(record(json!({ "meshagent.com/inject-as": "env" })), "env:app");
    assert_eq!(record(json!({ "meshagent.com/inject-keys": "clientId" })), "env:app");
}

#[test]
fn what_has_no_meaning_yet_is_told() {
    let pod = labelled(json!({ "meshagent.com/oauth-clients": "a,b" }), json!({ "containers": [{ "name": "app" }] }));
    let said = "meshagent.com/oauth-clients has no meaning yet; a pod gets the credential of its label";
    assert_eq!(injection(&pod).warnings, [said]);
}
