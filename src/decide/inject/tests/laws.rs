//! What holds for every pod.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn entry() -> impl Strategy<Value = Value> + Clone {
    let name = select([&ALL[..], &["HOME", "CLIENT"]].concat());
    (name, any::<bool>()).prop_map(|(name, is_ours)| {
        let of_the_secret = json!({ "secretKeyRef": { "name": "web-oauth", "key": "K" } });
        if is_ours {
            json!({ "name": name, "valueFrom": of_the_secret })
        } else {
            json!({ "name": name, "value": "mine" })
        }
    })
}

fn container(names: &'static [&'static str]) -> impl Strategy<Value = Value> + Clone {
    let mount = select(vec!["/var/run/secrets/meshagent.com/oauth", "/var/run/secrets/meshagent.com/oauth/", "/data"]);
    let mount = mount.prop_map(|path| json!({ "name": "data", "mountPath": path }));
    (select(names), of(few_or_many(entry(), 500)), of(vec(mount, 0..3))).prop_map(|(name, env, mounts)| {
        let mut container = json!({ "name": name, "image": "example.com/image", "volumeMounts": mounts, "env": env });
        container.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        container
    })
}

/// A few of them usually, and now and then many.
fn few_or_many<S: Strategy<Value = Value> + Clone>(one: S, many: usize) -> impl Strategy<Value = Vec<Value>> + Clone {
    prop_oneof![9 => vec(one.clone(), 0..4), 1 => vec(one, many - 1..=many)]
}

fn containers(names: &'static [&'static str], many: usize) -> impl Strategy<Value = Vec<Value>> {
    few_or_many(container(names), many).prop_map(|mut containers| {
        for (index, container) in containers.iter_mut().enumerate().skip(1) {
            container["name"] = json!(format!("{}-{index}", container["name"].as_str().unwrap()));
        }
        containers
    })
}

fn annotations() -> impl Strategy<Value = Option<Value>> {
    let annotation = select(vec![
        ("meshagent.com/inject-as", "env"),
        ("meshagent.com/inject-as", "file"),
        ("meshagent.com/inject-keys", "clientId,scopes"),
        ("meshagent.com/secret-name", "login"),
        ("meshagent.com/secret-keys", "scopes=,clientId=ID"),
        ("meshagent.com/containers", "app,init"),
        ("meshagent.com/injected", "env:app"),
        ("example.com/note", "theirs"),
    ]);
    of(vec(annotation, 0..4)).prop_map(|chosen| {
        chosen.map(|chosen| {
            Value::Object(chosen.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect())
        })
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let volumes = of(vec(Just(json!({ "name": "data", "emptyDir": {} })), 0..2));
    let all = (annotations(), containers(&["app", "istio-proxy"], 200), containers(&["init"], 3), volumes);
    all.prop_map(|(annotations, containers, init, volumes)| {
        let mut pod = labelled(Value::Null, json!({ "containers": containers, "initContainers": init }));
        pod["metadata"]["generateName"] = json!("web-");
        pod["metadata"].as_object_mut().unwrap().remove("annotations");
        for (parent, field, value) in
            [("metadata", "annotations", annotations), ("spec", "volumes", volumes.map(Value::from))]
        {
            if let Some(value) = value {
                pod[parent][field] = value;
            }
        }
        pod
    })
}

/// The pod without what the webhook may add.
fn stripped(pod: &Value, original: &Value) -> Value {
    let mut pod = pod.clone();
    let annotations = pod["metadata"]["annotations"].as_object_mut();
    let given = |path: &str| original.pointer(path).cloned();
    if let Some(annotations) = annotations {
        annotations.remove("meshagent.com/injected");
        if let Some(record) = given("/metadata/annotations/meshagent.com~1injected") {
            annotations.insert("meshagent.com/injected".to_owned(), record);
        }
    }
    if given("/metadata/annotations").is_none() {
        pod["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.retain(|volume| volume["name"] != "meshagent-oauth");
    }
    if given("/spec/volumes").is_none() {
        pod["spec"].as_object_mut().unwrap().remove("volumes");
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in pod["spec"][list].as_array_mut().unwrap().iter_mut().enumerate() {
            let before = &original["spec"][list][index];
            for (field, added) in [("env", "env"), ("volumeMounts", "volumeMounts")] {
                let length = before[field].as_array().map_or(0, Vec::len);
                if let Some(present) = container[added].as_array_mut() {
                    let extra = present.len() - length;
                    // Variables come first, mounts last.
                    *present = if field == "env" { present.split_off(extra) } else { present[..length].to_vec() };
                }
                if before[field].is_null() {
                    container.as_object_mut().unwrap().remove(field);
                }
            }
        }
    }
    pod
}

/// The Secret that each of a container's pair of variables comes from.
fn pair(container: &Value) -> [Vec<&Value>; 2] {
    [ALL[0], ALL[1]].map(|name| {
        let entries = container["env"].as_array().into_iter().flatten();
        entries.filter(|entry| entry["name"] == name).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_pod_is_given_what_it_lacks_once_and_nothing_else_of_it_changes(pod in pod()) {
        let Ok(Some(injection)) = inject(&read(&pod), &defaults()) else {
            return Ok(());
        };
        let mut once = pod.clone();
        json_patch::patch(&mut once, &injection.patch).unwrap();
        prop_assert_eq!(stripped(&once, &pod), pod.clone());
        // A second call, by reinvocation, has nothing to add.
        prop_assert_eq!(inject(&read(&once), &defaults()).unwrap().unwrap().patch.0, vec![]);
        prop_assert!(once["metadata"]["annotations"]["meshagent.com/injected"].is_string());
    }

    #[test]
    fn no_container_gets_half_a_credential_or_a_variable_twice(pod in pod()) {
        let Ok(Some(injection)) = inject(&read(&pod), &defaults()) else {
            return Ok(());
        };
        let mut once = pod.clone();
        json_patch::patch(&mut once, &injection.patch).unwrap();
        for list in ["containers", "initContainers"] {
            for (index, container) in once["spec"][list].as_array().unwrap().iter().enumerate() {
                let before = pair(&pod["spec"][list][index]);
                let after = pair(container);
                let has_its_own = before.iter().any(|entries| !entries.is_empty());
                prop_assert!(!has_its_own || before == after, "{container}");
                prop_assert!(has_its_own || after[1].len() <= after[0].len(), "{container}");
                let (names, given) = (variables(container), variables(&pod["spec"][list][index]));
                let added: BTreeSet<&str> = names[..names.len() - given.len()].iter().copied().collect();
                prop_assert_eq!(added.len(), names.len() - given.len());
                prop_assert!(added.iter().all(|name| !given.contains(name)), "{container}");
            }
        }
    }
}
