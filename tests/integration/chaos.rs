//! The operator killed at random, again and again, while people work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::Random;
use serde_json::{Value, json};
use simulator::admin::Route;
use simulator::fault::{Fault, FaultRule, ResetAt, Stage};

use super::fixture::{Fixture, LONG, condition, datum};

const KILLS: usize = 50;
const CLIENTS: u64 = 20;

#[tokio::test]
async fn killed_fifty_times_it_ends_with_exactly_the_declared_clients() {
    let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("CHAOS_SEED={seed}");
    let mut random = Random::new(seed);
    let orphans = json!({ "orphans": { "minAge": "1s" } });
    // A process that was killed leaves a Lease behind, and waiting for its end is not what this is about.
    let args = ["--resync-interval", "5s", "--leader-elect", "false"];
    let fixture = Fixture::own_with("chaos", &args, Default::default(), &orphans).await;
    let theirs = fixture
        .admin
        .create_client(
            fixture.project,
            &serde_json::from_value(json!({
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
                "redirect_uris": ["https://theirs.example"],
                "scope": "openid",
            }))
            .unwrap(),
        )
        .await
        .unwrap();
    disturb(&fixture).await;
    let mut declared: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..KILLS {
        for _ in 0..random.below(3) + 1 {
            work(&fixture, &mut declared, &mut random).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        let process = fixture.operator.as_ref().unwrap().process();
        process.kill().unwrap();
        process.restart().unwrap();
    }
    fixture.admin.clear_faults().await.unwrap();
    let objects = until_settled(&fixture, &declared, &theirs.client.client_id).await;
    for (name, object) in &objects {
        let secret = fixture.get("secret", &format!("{name}-oauth")).await;
        assert_eq!(object["status"]["clientId"], datum(&secret, "CLIENT_ID"), "{name}");
        assert!(fixture.accepts(&secret).await, "the credential of {name} is not accepted");
    }
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    let untouched = remote.iter().find(|client| client.client_id == theirs.client.client_id);
    assert_eq!(untouched, Some(&theirs.client));
    no_token_was_posted_twice(&fixture).await;
    is_at_rest(&fixture).await;
}

/// A token is for one POST, whoever was killed in between: hence no more clients than POSTs of unknown outcome.
async fn no_token_was_posted_twice(fixture: &Fixture) {
    let calls = fixture.calls().await;
    let posts = calls.iter().filter(|call| call.method == "POST").filter_map(|call| call.body.as_ref());
    let tokens: Vec<&Value> = posts.map(|body| &body["metadata"]["meshagent.com/create-token"]).collect();
    let distinct: BTreeSet<&str> = tokens.iter().filter_map(|token| token.as_str()).collect();
    assert!(!tokens.is_empty());
    assert_eq!(distinct.len(), tokens.len(), "a token was POSTed twice, or a POST bore none");
}

/// Waits for three resyncs, which are to write nothing.
async fn is_at_rest(fixture: &Fixture) {
    let versions =
        async || fixture.kubectl(&["get", "maoc,secret", "-o", "jsonpath={.items[*].metadata.resourceVersion}"]).await;
    let before = versions().await;
    fixture.admin.clear_calls().await.unwrap();
    harness::eventually(LONG, "three resyncs", async || {
        let seen = fixture.calls().await.len();
        if seen >= 3 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await
    .unwrap();
    let written = fixture.calls().await.into_iter().filter(|call| call.method != "GET").count();
    assert_eq!(written, 0, "something is still changed in MeshAgent");
    assert_eq!(versions().await, before, "something is still written in Kubernetes");
}

/// Faults that strike a POST now and then, for as long as they last.
async fn disturb(fixture: &Fixture) {
    let faults = [
        Fault::Status { status: 500, body: None, headers: Default::default(), commit: true },
        Fault::Reset { at: ResetAt::After },
        Fault::Reset { at: ResetAt::Before },
        Fault::CommitLate { after: Duration::from_secs(2), status: 504 },
        Fault::Delay { duration: Duration::from_millis(500), stage: Stage::After },
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let rule = FaultRule::on(Route::ClientsCreate, fault).times(2).after(3 + u64::try_from(n).unwrap() * 2);
        fixture.admin.fault(&rule.in_project(fixture.project)).await.unwrap();
    }
}

/// One thing that a user does.
async fn work(fixture: &Fixture, declared: &mut BTreeMap<String, u64>, random: &mut Random) {
    let name = format!("web{}", random.below(CLIENTS));
    match random.below(4) {
        0 if declared.contains_key(&name) => {
            fixture.kubectl(&["delete", "maoc", &name, "--wait=false"]).await;
            declared.remove(&name);
        }
        _ => {
            let variant = random.below(1000);
            let spec = json!({ "redirectUris": [format!("https://{variant}.example/cb")] });
            let manifest = fixture.client(&name, &spec).to_string();
            // An object of that name may still be going; then the apply is left out.
            let deleting = fixture
                .kubectl(&["get", "maoc", &name, "--ignore-not-found", "-o", "jsonpath={.metadata.deletionTimestamp}"])
                .await;
            if deleting.is_empty() {
                fixture.kubectl.run_with_input(&["apply", "-f", "-"], &manifest).await.unwrap();
                declared.insert(name, variant);
            }
        }
    }
}

/// Waits until the project holds exactly the declared clients (and those retiring), each as it is declared.
async fn until_settled(fixture: &Fixture, declared: &BTreeMap<String, u64>, theirs: &str) -> BTreeMap<String, Value> {
    harness::eventually(3 * LONG, "exactly the declared clients are left", async || {
        let text = fixture.kubectl(&["get", "maoc", "-o", "json"]).await;
        let list: Value = serde_json::from_str(&text).unwrap();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let objects: BTreeMap<String, Value> =
            items.into_iter().map(|o| (o["metadata"]["name"].as_str().unwrap_or_default().to_owned(), o)).collect();
        if objects.keys().ne(declared.keys()) {
            return Err(format!("objects are {:?}, not {:?}", objects.keys(), declared.keys()));
        }
        if let Some((name, object)) = objects.iter().find(|(_, o)| condition(o, "Ready") != "True/Ready") {
            return Err(format!("{name} is {}", object["status"]["conditions"]));
        }
        let mut expected: Vec<String> = vec![theirs.to_owned()];
        for object in objects.values() {
            expected.extend(object["status"]["clientId"].as_str().map(str::to_owned));
            let retiring = object["status"]["retiring"].as_array().cloned().unwrap_or_default();
            expected.extend(retiring.iter().filter_map(|former| former["clientId"].as_str()).map(str::to_owned));
        }
        let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
        let mut ids: Vec<String> = remote.iter().map(|client| client.client_id.clone()).collect();
        expected.sort();
        ids.sort();
        if ids != expected {
            return Err(format!("the project holds {} clients, not {}", ids.len(), expected.len()));
        }
        for (name, variant) in declared {
            let id = objects[name]["status"]["clientId"].as_str().unwrap_or_default();
            let client = remote.iter().find(|client| client.client_id == id);
            if client.is_none_or(|client| client.redirect_uris != [format!("https://{variant}.example/cb")]) {
                return Err(format!("{name} is not as declared"));
            }
        }
        Ok(objects)
    })
    .await
    .unwrap()
}
