//! The states in which the tests of this crate see objects: the data of the health tests in `gitops/argocd`.
//!
//! With `SEEN_STATES=<directory>`, each run keeps one object of each state there; `make health-data` makes the data of them,
//! with the health that kstatus gives each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use harness::kstatus;
use meshagent_operator::api::Reason;
use serde_json::{Map, Value, json};

use super::fixture::in_repository;

const VARIABLE: &str = "SEEN_STATES";
const KINDS: [&str; 3] = ["OAuthClient", "MeshAgentProject", "ClusterMeshAgentProject"];

fn folder(kind: &str) -> PathBuf {
    in_repository("gitops/argocd/meshagent.com").join(kind)
}

fn find<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

fn is_current(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

fn is_suspended(object: &Value) -> bool {
    let says_so = |type_| find(object, type_).is_some_and(|condition| condition["reason"] == "Suspended");
    object["spec"]["suspend"] == true && (says_so("Ready") || says_so("Synced"))
}

/// The name of an object's state; `None` for an object that is being deleted, whose health Argo CD tells without any test.
fn state(object: &Value) -> Option<String> {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let Some(ready) = find(object, "Ready") else { return Some("new".to_owned()) };
    if !is_current(object) {
        return Some("edited".to_owned());
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let mut name = format!("{}-{}", word(&ready["reason"]), word(&ready["status"]));
    for type_ in ["Stalled", "Reconciling"] {
        if find(object, type_).is_some() {
            name = format!("{name}-{}", type_.to_lowercase());
        }
    }
    Some(name)
}

/// Keeps an object, if this run is to keep one of each state.
pub fn keep(object: &Value) {
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some(directory) = env::var_os(VARIABLE).map(PathBuf::from) else { return };
    if let Some(state) = state(object).filter(|_| KINDS.contains(&kind)) {
        let folder = directory.join(kind);
        fs::create_dir_all(&folder).unwrap();
        // Renamed at the end: tests that see the same state at once would write one file together.
        let unfinished = folder.join(format!("{}.unfinished", uuid::Uuid::new_v4()));
        fs::write(&unfinished, object.to_string()).unwrap();
        fs::rename(&unfinished, folder.join(format!("{state}.json"))).unwrap();
    }
}

/// The text with ids, times and ports that are the same in each run; different ids stay different.
fn steady(text: &str) -> String {
    const TIME: &str = "2026-01-01T00:00:00Z";
    let id = |number: usize| format!("5eed0000-0000-4000-8000-{number:012}");
    let (mut steady, mut rest, mut ids) = (String::new(), text, Vec::new());
    while let Some(character) = rest.chars().next() {
        let is_time =
            |part: &&str| part.starts_with("20") && part.ends_with('Z') && part.parse::<jiff::Timestamp>().is_ok();
        let port =
            rest.strip_prefix("127.0.0.1:").map(|rest| rest.len() - rest.trim_start_matches(char::is_numeric).len());
        let (written, length) = if let Some(part) = rest.get(..36).filter(|part| uuid::Uuid::try_parse(part).is_ok()) {
            let known = ids.iter().position(|id| *id == part);
            let number = known.unwrap_or_else(|| {
                ids.push(part);
                ids.len() - 1
            });
            (id(number), part.len())
        } else if let Some(part) = rest.get(..TIME.len()).filter(is_time) {
            (TIME.to_owned(), part.len())
        } else if let Some(port) = port {
            ("meshagent.example.com".to_owned(), "127.0.0.1:".len() + port)
        } else {
            (character.to_string(), character.len_utf8())
        };
        steady += &written;
        rest = &rest[length..];
    }
    steady
}

/// What health looks at: nothing that differs from run to run, and the namespace of the examples.
fn example(object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "generation"] {
        if !object["metadata"][field].is_null() {
            metadata.insert(field.to_owned(), object["metadata"][field].clone());
        }
    }
    let mut example = json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata });
    for part in ["spec", "status"] {
        if !object[part].is_null() {
            example[part] = object[part].clone();
        }
    }
    if let Some(status) = example["status"].as_object_mut() {
        status.remove("credentialDigest");
        status.remove("secretResourceVersion");
    }
    let text = steady(&example.to_string());
    let namespace = object["metadata"]["namespace"].as_str();
    let text = namespace.map_or(text.clone(), |namespace| text.replace(namespace, "shop"));
    serde_json::from_str(&text).unwrap()
}

/// The states that no test of a kind may have met, made of one that is Ready: nobody has looked yet, or not at an edit.
fn derived(ready: &Value) -> [(&'static str, Value); 2] {
    let (mut new, mut edited) = (ready.clone(), ready.clone());
    new["status"] = json!({ "observedGeneration": -1 });
    edited["metadata"]["generation"] = json!(ready["metadata"]["generation"].as_i64().unwrap() + 1);
    [("new", new), ("edited", edited)]
}

/// The health that Argo CD is to show: what kstatus says, and Suspended besides.
async fn health(object: &Value) -> Value {
    let kstatus = kstatus(object).await.unwrap();
    let status = match kstatus.as_str() {
        _ if is_suspended(object) && is_current(object) => "Suspended",
        "Current" => "Healthy",
        "InProgress" => "Progressing",
        "Failed" => "Degraded",
        other => other,
    };
    let message = match find(object, "Ready") {
        None => "The operator has not looked at it yet".to_owned(),
        Some(_) if !is_current(object) => "The operator has not looked at the latest change yet".to_owned(),
        Some(ready) => format!("{}: {}", ready["reason"].as_str().unwrap(), ready["message"].as_str().unwrap()),
    };
    json!({ "status": status, "message": message })
}

#[tokio::test]
#[ignore = "writes the health tests of gitops/argocd from what an earlier run saw: make health-data"]
async fn the_states_that_were_seen_become_health_tests() {
    let directory = PathBuf::from(env::var_os(VARIABLE).expect("SEEN_STATES names the directory of an earlier run"));
    for kind in KINDS {
        let mut states = BTreeMap::new();
        for entry in fs::read_dir(directory.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let object: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            states.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), example(&object));
        }
        let ready = states["ready-true"].clone();
        states.extend(derived(&ready).map(|(state, object)| (state.to_owned(), object)));
        let data = folder(kind).join("testdata");
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir_all(&data).unwrap();
        let mut tests = Vec::new();
        for (state, object) in states {
            let file = format!("testdata/{state}.yaml");
            fs::write(folder(kind).join(&file), serde_saphyr::to_string(&object).unwrap()).unwrap();
            tests.push(json!({ "inputPath": file, "healthStatus": health(&object).await }));
        }
        let tests = serde_saphyr::to_string(&json!({ "tests": tests })).unwrap();
        fs::write(folder(kind).join("health_test.yaml"), tests).unwrap();
    }
}

/// The reasons that stand in the Ready condition of some health test's data.
fn reasons_with_data(kind: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder(kind).join("testdata")).unwrap();
    let texts = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let objects = texts.map(|text| serde_saphyr::from_str::<Value>(&text).unwrap());
    objects.filter_map(|object| Some(find(&object, "Ready")?["reason"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn each_reason_has_an_object_of_a_real_run_in_the_health_tests() {
    // A project's alone; one of an object that is being deleted; and one that lasts a moment, which no test can wait for.
    let others = [Reason::ManyClientsGone, Reason::Deleting, Reason::Updating].map(|reason| reason.as_str().to_owned());
    let found = reasons_with_data("OAuthClient");
    let missing: Vec<_> =
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !found.contains(*reason)).collect();
    let missing: Vec<_> = missing.into_iter().filter(|reason| !others.iter().any(|other| other == reason)).collect();
    assert!(missing.is_empty(), "no data of {missing:?}: SEEN_STATES=target/states make integration health-data");
    assert!(reasons_with_data("ClusterMeshAgentProject").contains("ManyClientsGone"));
    for kind in KINDS {
        for state in ["new", "edited", "ready-true"] {
            assert!(folder(kind).join(format!("testdata/{state}.yaml")).is_file(), "{kind} has no data of {state}");
        }
    }
}
