//! YAML that is copied, replaced and restored, and objects that cannot be deleted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::Namespace;
use serde_json::{Value, json};
use simulator::admin::Route;
use simulator::fault::{Fault, FaultRule, RouteMatch, Stage};

use super::fixture::{Fixture, LONG, condition, datum, message, start_operator};
use super::rotation::{ask_to_rotate, client_id, look, ready, retiring};

#[tokio::test]
async fn a_copy_under_another_name_and_namespace_gets_a_client_of_its_own() {
    let fixture = Fixture::shared("copied").await;
    let there = Namespace::create(fixture.control_plane.get(), "copy").await.unwrap();
    let allowed = json!({ "allowedNamespaces": { "names": [fixture.ns(), there.name()] } });
    fixture.apply(&fixture.project_manifest(&allowed)).await;
    let (original, secret) = ready(&fixture, "web", &json!({})).await;
    let yaml = fixture.kubectl(&["get", "maoc", "web", "-o", "yaml"]).await;
    assert!(yaml.contains("meshagent.com/create-token"), "there is no token to copy");
    // The copy is made as with `sed`: other names, without the two lines that the API server refuses on a new object.
    let refused = |line: &&str| !line.starts_with("  uid: ") && !line.starts_with("  resourceVersion: ");
    let lines: Vec<&str> = yaml.lines().filter(refused).collect();
    let copy = lines.join("\n").replace("name: web\n", "name: copy\n");
    let copy = copy.replace(&format!("namespace: {}", fixture.ns()), &format!("namespace: {}", there.name()));
    fixture.kubectl.run_with_input(&["apply", "-f", "-"], &copy).await.unwrap();
    let wait = ["wait", "-n", there.name(), "maoc/copy", "--for=condition=Ready", "--timeout=60s"];
    fixture.kubectl.run(&wait).await.unwrap();
    let get = async |kind: &str, name: &str| -> Value {
        let text = fixture.kubectl.run(&["get", "-n", there.name(), kind, name, "-o", "json"]).await.unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let copied = get("maoc", "copy").await;
    let mut wanted = [client_id(&original), client_id(&copied)];
    wanted.sort();
    let mut ids = fixture.remote_ids().await;
    ids.sort();
    assert_eq!((ids, fixture.count("POST").await), (wanted.to_vec(), 2));
    assert!(fixture.accepts(&get("secret", "copy-oauth").await).await, "the copy's credential is not accepted");
    let token = copied["metadata"]["annotations"]["meshagent.com/create-token"].as_str().unwrap();
    assert!(
        token.starts_with(copied["metadata"]["uid"].as_str().unwrap()),
        "the copy kept a token that is not its own"
    );
    fixture.kubectl.run(&["delete", "-n", there.name(), "maoc/copy", "--timeout=30s"]).await.unwrap();
    assert_eq!(fixture.remote_ids().await, [client_id(&original)]);
    assert!(fixture.accepts(&secret).await, "the original's credential is not accepted any more");
}

/// Waits until the object has its finalizer, object and Secret agree, and nothing is left to be cleaned up.
async fn until_at_rest(fixture: &Fixture, ready: &str) -> Value {
    harness::eventually(LONG, "object and Secret are at rest", async || {
        let (object, listed) =
            (fixture.get("maoc", "web").await, fixture.kubectl(&["get", "secrets", "-o", "json"]).await);
        let list: Value = serde_json::from_str(&listed).unwrap();
        let secret = list["items"][0].clone();
        let annotation = |object: &Value, name: &str| object["metadata"]["annotations"][name].clone();
        let token = annotation(&object, "meshagent.com/create-token");
        let agreed = token.is_string() && token == annotation(&secret, "meshagent.com/create-token");
        let clean = annotation(&object, "meshagent.com/unknown-tokens").is_null();
        let held = object["metadata"]["finalizers"] == json!(["meshagent.com/oauth-client"]);
        let said = condition(&object, "Ready").starts_with(ready);
        if agreed && clean && held && said { Ok(object) } else { Err(object["status"]["conditions"].to_string()) }
    })
    .await
    .unwrap()
}

async fn replace_twenty_times(fixture: &Fixture, manifest: &Value) {
    for _ in 0..20 {
        // `kubectl replace` reads the version first, and is refused if the operator wrote in between.
        harness::eventually(LONG, "it is replaced", async || {
            fixture.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await
        })
        .await
        .unwrap();
    }
}

async fn until_posted(fixture: &Fixture, posts: usize) {
    harness::eventually(LONG, "a POST is under way", async || {
        if fixture.count("POST").await >= posts { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
}

const POST_SECONDS: u64 = 2;

fn slow_post(fixture: &Fixture) -> FaultRule {
    let slow = Fault::Delay { duration: Duration::from_secs(POST_SECONDS), stage: Stage::Before };
    FaultRule::on(Route::ClientsCreate, slow).in_project(fixture.project)
}

#[tokio::test]
async fn replaced_twenty_times_while_it_is_created_it_ends_with_one_client() {
    // `kubectl replace` takes off which tokens are of unknown outcome, so what their POSTs made is left to the sweep.
    let orphans_go = json!({ "orphans": { "minAge": "1s" } });
    let args = ["--resync-interval", "2s"];
    let fixture = Fixture::own_with("replace-create", &args, Default::default(), &orphans_go).await;
    fixture.admin.fault(&slow_post(&fixture)).await.unwrap();
    let manifest = fixture.client("web", &json!({}));
    fixture.apply(&manifest).await;
    until_posted(&fixture, 1).await;
    let started = Instant::now();
    replace_twenty_times(&fixture, &manifest).await;
    // A POST takes two seconds, and its client is of use unless the object was replaced meanwhile: one more for each
    // two seconds of replacing, and the last.
    let most = 2 + usize::try_from(started.elapsed().as_secs() / POST_SECONDS).unwrap();
    let object = until_at_rest(&fixture, "True/Ready").await;
    fixture.until_remote("one client", |ids| ids == [client_id(&object)]).await;
    let posts = fixture.count("POST").await;
    assert!((1..=most).contains(&posts), "{posts} POSTs, at most {most}");
    let secret = fixture.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), client_id(&object));
    assert!(fixture.accepts(&secret).await, "the credential is not accepted");
}

#[tokio::test]
async fn replaced_twenty_times_while_it_is_rotated_it_keeps_finalizer_and_credential() {
    let orphans_go = json!({ "orphans": { "minAge": "1s" } });
    let args = ["--resync-interval", "2s"];
    let fixture = Fixture::own_with("replace-rotate", &args, Default::default(), &orphans_go).await;
    let (before, former) = ready(&fixture, "web", &json!({})).await;
    fixture.admin.fault(&slow_post(&fixture).times(1)).await.unwrap();
    let mut manifest = fixture.client("web", &json!({}));
    manifest["metadata"]["annotations"] = json!({ "meshagent.com/rotate-requested-at": "monday" });
    ask_to_rotate(&fixture, "web", "monday").await;
    until_posted(&fixture, 2).await;
    replace_twenty_times(&fixture, &manifest).await;
    // The client was rotated, or the POST was for nothing and the next one waits.
    let object = until_at_rest(&fixture, "True/").await;
    let mut wanted = retiring(&object);
    wanted.push(client_id(&object));
    assert!(wanted.contains(&client_id(&before)), "the former client is neither in use nor retiring");
    fixture
        .until_remote("no other client is left", |ids| {
            ids.len() == wanted.len() && ids.iter().all(|id| wanted.contains(id))
        })
        .await;
    // The POSTs are one for the client and one for the rotation; none follows for ten minutes, however often the object
    // was replaced (F28).
    assert_eq!(fixture.count("POST").await, 2);
    assert!(fixture.accepts(&former).await, "the credential is not accepted any more");
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the credential is not accepted");
}

#[tokio::test]
async fn an_object_restored_beside_its_secret_says_that_the_secret_is_to_be_deleted() {
    let mut fixture = Fixture::own("restored", &[]).await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    fixture.stop_operator().await;
    // The namespace is lost, but for the Secret; a backup tool restores the object, without status and under a new uid.
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
    fixture.kubectl(&["delete", "maoc", "web", "--cascade=orphan", "--timeout=60s"]).await;
    let mut backup = before.clone();
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        backup["metadata"].as_object_mut().unwrap().remove(field);
    }
    backup.as_object_mut().unwrap().remove("status");
    fixture.kubectl.run_with_input(&["create", "-f", "-"], &backup.to_string()).await.unwrap();
    let secret = fixture.get("secret", "web-oauth").await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    let stuck =
        fixture.until("maoc", "web", "the conflict is said", |o| condition(o, "Ready") == "False/SecretConflict").await;
    assert!(message(&stuck, "Ready").contains("delete that Secret"), "{}", message(&stuck, "Ready"));
    assert_eq!(condition(&stuck, "Stalled"), "True/SecretConflict");
    assert_eq!(fixture.get("secret", "web-oauth").await, secret);
    assert_eq!(fixture.count("POST").await, 1);

    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    fixture.wait_ready("web").await;
    let after = fixture.get("maoc", "web").await;
    assert_eq!(fixture.count("POST").await, 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
    // The owner of the former client is not known for sure: it is only reported until it is old enough.
    let project = fixture.until("cmaproj", &fixture.project_name, "the former is an orphan", has_orphans).await;
    assert_eq!(orphans(&project), [client_id(&before)]);
    let mut wanted = [client_id(&before), client_id(&after)];
    wanted.sort();
    let mut ids = fixture.remote_ids().await;
    ids.sort();
    assert_eq!(ids, wanted);
}

fn has_orphans(project: &Value) -> bool {
    !orphans(project).is_empty()
}

fn orphans(project: &Value) -> Vec<String> {
    let orphans = project["status"]["orphans"].as_array().cloned().unwrap_or_default();
    orphans.iter().filter_map(|orphan| orphan["clientId"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_object_whose_client_cannot_be_deleted_goes_by_the_command_that_its_message_names() {
    let orphans_go = json!({ "orphans": { "minAge": "1s" } });
    let args = ["--resync-interval", "2s"];
    let fixture = Fixture::own_with("forced", &args, Default::default(), &orphans_go).await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    ready(&fixture, "other", &json!({})).await;
    let unavailable = Fault::Status { status: 503, body: None, headers: BTreeMap::default(), commit: false };
    fixture.admin.fault(&FaultRule::on(RouteMatch::Any, unavailable)).await.unwrap();
    for name in ["web", "other"] {
        fixture.kubectl(&["delete", "maoc", name, "--wait=false"]).await;
    }
    let uid = before["metadata"]["uid"].as_str().unwrap();
    let command =
        format!("kubectl annotate --overwrite maoc web -n {} meshagent.com/force-release={uid}", fixture.ns());
    let stuck = fixture
        .until("maoc", "web", "it says why it is there", |o| message(o, "Ready").starts_with("cannot be deleted yet: "))
        .await;
    let said = message(&stuck, "Ready");
    assert!(
        said.contains("503") && said.ends_with(&format!("To give up on the client at MeshAgent: {command}")),
        "{said}"
    );

    // The uid of another object gives up on nothing.
    fixture.kubectl(&["annotate", "maoc", "other", &format!("meshagent.com/force-release={uid}")]).await;
    look(&fixture, "other", "now-1").await;
    assert!(fixture.exists("maoc", "other").await);

    fixture.kubectl.run(&command.split(' ').skip(1).collect::<Vec<_>>()).await.unwrap();
    fixture.kubectl(&["wait", "--for=delete", "maoc/web", "--timeout=30s"]).await;
    let project = fixture.get("cmaproj", &fixture.project_name).await;
    assert_eq!(orphans(&project), [client_id(&before)]);
    assert!(fixture.remote_ids().await.contains(&client_id(&before)));
    fixture.admin.clear_faults().await.unwrap();
    fixture.until_remote("the client that was given up, and the other one, are gone", <[String]>::is_empty).await;
    fixture.until("cmaproj", &fixture.project_name, "no orphan is left", |project| !has_orphans(project)).await;
    harness::eventually(LONG, "the other one went by itself", async || {
        if fixture.exists("maoc", "other").await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
}
