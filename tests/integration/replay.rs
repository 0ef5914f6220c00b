//! Passes as the operator carried them out, decided anew: a pass is the fold of its answers, and what decides is the
//! very code that the model explores.

use std::collections::BTreeSet;

use harness::eventually;
use meshagent_operator::client::journal::PassRecord;
use serde_json::json;
use simulator::admin::{Fault, FaultRule, Route};

use super::adoption::made_by_hand;
use super::fixture::{Fixture, LONG, condition, start_operator_with};
use super::rotation::{ask_to_rotate, client_id, look, ready};

const ARGS: [&str; 4] = ["--resync-interval", "2s", "--log-level", "meshagent_operator::client::journal=trace,info"];

/// The name of a step or an answer.
fn name(debug: &str) -> String {
    debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// The passes that the log tells of.
fn passes(log: &str) -> Vec<PassRecord> {
    let texts = log.lines().filter_map(|line| line.find("{\"beginning\"").map(|start| &line[start..]));
    texts.map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[tokio::test]
async fn every_pass_is_the_fold_of_its_answers() {
    let mut fixture = Fixture::own("replay", &[]).await;
    fixture.stop_operator().await;
    fixture.operator = Some(start_operator_with(fixture.control_plane.get(), &ARGS));
    let refused = Fault::Status { status: 503, body: None, headers: [].into(), commit: true };
    fixture
        .admin
        .fault(&FaultRule::on(Route::ClientsCreate, refused).in_project(fixture.project).times(1))
        .await
        .unwrap();
    let (before, _) = ready(&fixture, "web", &json!({ "rotation": { "overlap": "1s" } })).await;
    ready(&fixture, "kept", &json!({ "deletionPolicy": "Retain" })).await;
    let edited = json!({ "redirectUris": ["https://b.example/cb"], "rotation": { "overlap": "1s" } });
    fixture.apply(&fixture.client("web", &edited)).await;
    look(&fixture, "web", "edited").await;
    ask_to_rotate(&fixture, "web", "monday").await;
    fixture.until("maoc", "web", "it is rotated", |o| client_id(o) != client_id(&before)).await;
    let mut renamed = edited.clone();
    renamed["secret"] = json!({ "name": "elsewhere", "labels": { "team": "shop" } });
    fixture.apply(&fixture.client("web", &renamed)).await;
    fixture.until("secret", "elsewhere", "the Secret moved", |_| true).await;
    fixture.kubectl(&["delete", "secret", "kept-oauth"]).await;
    fixture.until("maoc", "kept", "the lost credential is replaced", |o| condition(o, "Ready") == "True/Ready").await;
    let existing = made_by_hand(&fixture).await;
    fixture.apply(&fixture.client("adopted", &json!({ "adopt": { "clientId": existing.client.client_id } }))).await;
    fixture.until("maoc", "adopted", "it is looked at", |o| condition(o, "Ready") != "/").await;
    for name in ["web", "kept", "adopted"] {
        fixture.kubectl(&["delete", "maoc", name, "--timeout=60s"]).await;
    }
    let process = fixture.operator.as_ref().unwrap().process();
    let passes = eventually(LONG, "the passes are written down", async || {
        let passes = passes(&process.log());
        if passes.len() > 10 { Ok(passes) } else { Err(passes.len()) }
    })
    .await
    .unwrap();
    for (number, pass) in passes.iter().enumerate() {
        if let Err(differs) = pass.replay() {
            panic!("pass {number} of {}: {differs}\n{pass:#?}", passes.len());
        }
    }
    let turns = passes.iter().flat_map(|pass| &pass.turns);
    let steps: BTreeSet<String> = turns.map(|turn| name(&format!("{:?}", turn.step))).collect();
    let wanted = ["WriteIntent", "DryRun", "Post", "Publish", "Put", "Relocate", "Delete", "Record", "RemoveFinalizer"];
    for step in wanted {
        assert!(steps.contains(step), "no pass took {step}: {steps:?}");
    }
}
