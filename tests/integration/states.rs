//! The states in which the tests of this crate see objects: the data of the health tests in `gitops/argocd`.
//!
//! With `SEEN_STATES=<directory>`, each run keeps one object of each state there; `make health-data` makes the data of them,
//! with the health that kstatus gives each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use harness::kstatus;
use meshagent_operator::api::Reason;
use serde_json::{Map, Value, json};

const VARIABLE: &str = "SEEN_STATES";
const KINDS: [&str; 3] = ["OAuthClient", "MeshAgentProject", "ClusterMeshAgentProject"];

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops/argocd/meshagent.com").join(kind)
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
        fs::create_dir_all(directory.join(kind)).unwrap();
        fs::write(directory.join(kind).join(format!("{state}.json")), object.to_string()).unwrap();
    }
}

/// The text with the same ids and times in each run.
fn steady(text: &str) -> String {
    const ID: &str = "5eed0000-0000-4000-8000-000000000000";
    const TIME: &str = "2026-01-01T00:00:00Z";
    let (mut steady, mut rest) = (String::new(), text);
    while let Some(character) = rest.chars().next() {
        let is_id = rest.get(..ID.len()).is_some_and(|part| uuid::Uuid::try_parse(part).is_ok());
        let is_time = rest.get(..TIME.len()).is_some_and(|part| {
            part.starts_with("20") && part.ends_with('Z') && part.parse::<jiff::Timestamp>().is_ok()
        });
        let (written, length) = match (is_id, is_time) {
            (true, _) => (ID.to_owned(), ID.len()),
            (false, true) => (TIME.to_owned(), TIME.len()),
            (false, false) => (character.to_string(), character.len_utf8()),
        };
        steady += &written;
        rest = &rest[length..];
    }
    steady
}

/// What health looks at: no metadata of this run, and the namespace of the examples.
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
    let text = steady(&example.to_string());
    let namespace = object["metadata"]["namespace"].as_str();
    let text = namespace.map_or(text.clone(), |namespace| text.replace(namespace, "shop"));
    serde_json::from_str(&text).unwrap()
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
        let data = folder(kind).join("testdata");
        let _none = fs::remove_dir_all(&data);
        fs::create_dir_all(&data).unwrap();
        let seen: BTreeSet<PathBuf> =
            fs::read_dir(directory.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        let mut tests = Vec::new();
        for path in seen {
            let object = example(&serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap());
            let file = format!("testdata/{}.yaml", path.file_stem().unwrap().to_str().unwrap());
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
}
