//! Each fault as a caller meets it, and whether the call was committed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use simulator::admin::{Fault, FaultRule, Malformed, ResetAt, Route, RouteMatch, Stage};

use crate::support::{Sim, io_kind, reply};

const SHORT: Duration = Duration::from_millis(300);

fn status(status: u16, commit: bool) -> Fault {
    Fault::Status { status, body: None, headers: BTreeMap::new(), commit }
}

#[tokio::test]
async fn a_status_is_answered_and_nothing_committed() {
    let sim = Sim::start().await;
    let headers = BTreeMap::from([("Retry-After".to_owned(), "5".to_owned())]);
    let fault = Fault::Status { status: 429, body: Some("slow down".into()), headers, commit: false };
    sim.strike_once(Route::ClientsCreate, fault).await;
    let refused = reply(sim.post()).await;
    assert_eq!((refused.status, refused.body), (429, "slow down".into()));
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(sim.held().await.len(), 0);
    assert_eq!(reply(sim.post()).await.status, 200, "the fault was for one call");
}

#[tokio::test]
async fn a_call_may_be_committed_and_answered_500() {
    let sim = Sim::start().await;
    sim.strike_once(Route::ClientsCreate, status(500, true)).await;
    let answer = reply(sim.post()).await;
    assert_eq!((answer.status, answer.body.get("client")), (500, None));
    let calls = sim.admin.calls().await.unwrap();
    assert_eq!(calls[0].client_id.as_ref(), sim.held().await.first(), "the record knows what was committed");
}

#[tokio::test]
async fn a_redirect_and_a_page_from_a_gateway_can_be_answered() {
    let sim = Sim::start().await;
    let headers = BTreeMap::from([("Location".to_owned(), "https://elsewhere.example/".to_owned())]);
    let fault = Fault::Status { status: 307, body: None, headers, commit: false };
    sim.strike_once(RouteMatch::Any, fault).await;
    let moved = reply(sim.post()).await;
    assert_eq!((moved.status, moved.headers["location"].to_str().unwrap()), (307, "https://elsewhere.example/"));

    let headers = BTreeMap::from([("Content-Type".to_owned(), "text/html".to_owned())]);
    let fault = Fault::Status { status: 404, body: Some("<html>".into()), headers, commit: false };
    sim.strike_once(RouteMatch::Any, fault).await;
    let page = reply(sim.request(Method::GET, &sim.clients())).await;
    assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (404, "text/html"));
}

#[tokio::test]
async fn a_delay_holds_the_answer_before_or_after_the_commit() {
    let sim = Sim::start().await;
    for (stage, committed) in [(Stage::Before, 0), (Stage::After, 1)] {
        sim.strike_once(Route::ClientsCreate, Fault::Delay { duration: Duration::from_secs(60), stage }).await;
        let error = sim.post().timeout(SHORT).send().await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!((sim.held().await.len(), sim.last_status().await), (committed, None));
    }
    let begun = Instant::now();
    sim.strike_once(Route::ClientsCreate, Fault::Delay { duration: SHORT, stage: Stage::Before }).await;
    assert_eq!(reply(sim.post()).await.status, 200);
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_call_hangs_before_or_after_the_commit() {
    let sim = Sim::start().await;
    for (stage, committed) in [(Stage::Before, 0), (Stage::After, 1)] {
        sim.strike_once(Route::ClientsCreate, Fault::Hang { stage }).await;
        assert!(sim.post().timeout(SHORT).send().await.unwrap_err().is_timeout());
        assert_eq!((sim.held().await.len(), sim.last_status().await), (committed, None));
    }
}

#[tokio::test]
async fn a_connection_is_reset_before_during_and_after_the_call() {
    let sim = Sim::start().await;
    for (at, committed) in [(ResetAt::Before, 0), (ResetAt::After, 1)] {
        sim.strike_once(Route::ClientsCreate, Fault::Reset { at }).await;
        let error = sim.post().send().await.unwrap_err();
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset), "{at:?}: {error:?}");
        assert_eq!((sim.held().await.len(), sim.last_status().await), (committed, None), "{at:?}");
    }
    sim.strike_once(Route::ClientsCreate, Fault::Reset { at: ResetAt::During }).await;
    let answer = sim.post().send().await.unwrap();
    assert_eq!(answer.status(), 200, "the head arrives");
    let error = answer.bytes().await.unwrap_err();
    assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionReset), "{error:?}");
    assert_eq!((sim.held().await.len(), sim.last_status().await), (2, None));
}

#[tokio::test]
async fn a_body_is_truncated_after_the_commit() {
    let sim = Sim::start().await;
    sim.strike_once(Route::ClientsCreate, Fault::Truncate {}).await;
    let mut answer = sim.post().send().await.unwrap();
    let promised = answer.content_length().unwrap();
    let mut received = 0;
    let error = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => panic!("the body ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(io_kind(&error) != Some(ErrorKind::ConnectionReset), "an end, not a reset: {error:?}");
    assert_eq!(received, promised / 2);
    assert_eq!(sim.held().await.len(), 1);
}

#[tokio::test]
async fn a_delete_has_a_body_to_spoil_when_a_fault_needs_one() {
    let sim = Sim::start().await;
    for fault in [Fault::Truncate {}, Fault::Reset { at: ResetAt::During }] {
        let (id, _) = sim.create().await;
        sim.strike_once(Route::ClientsDelete, fault).await;
        let answer = sim.request(Method::DELETE, &format!("{}/{id}", sim.clients())).send().await.unwrap();
        assert!(answer.bytes().await.is_err());
        assert_eq!(sim.held().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_body_is_malformed_after_the_commit() {
    let sim = Sim::start().await;
    let forms = [Malformed::Html, Malformed::BrokenJson, Malformed::Empty, Malformed::NoSecret, Malformed::NoId];
    for form in forms {
        sim.strike_once(Route::ClientsCreate, Fault::Malformed { form }).await;
        let answer = reply(sim.post()).await;
        assert_eq!(answer.status, 200);
        let client = &answer.body["client"];
        let whole = client["client_id"].is_string() && client["client_secret"].is_string();
        assert!(!whole, "{form:?} would pass for a client");
    }
    assert_eq!(sim.held().await.len(), forms.len());
    let id = sim.held().await.remove(0);
    let one = format!("{}/{id}", sim.clients());
    sim.strike_once(Route::ClientsGet, Fault::Malformed { form: Malformed::Nulls }).await;
    let nulls = sim.call(Method::GET, &one, None).await.body;
    assert_eq!((&nulls["client_id"], &nulls["metadata"]), (&Value::String(id), &Value::Null));
    sim.strike_once(Route::ClientsGet, Fault::Malformed { form: Malformed::UnknownFields }).await;
    assert_eq!(sim.call(Method::GET, &one, None).await.body["metadata"]["x_number"], 7);
}

#[tokio::test]
async fn a_call_commits_late() {
    let sim = Sim::start().await;
    sim.strike_once(Route::ClientsCreate, Fault::CommitLate { after: SHORT, status: 504 }).await;
    assert_eq!(reply(sim.post()).await.status, 504);
    assert_eq!(sim.held().await.len(), 0);
    sim.until_held(1).await;
    let calls = sim.admin.calls().await.unwrap();
    assert_eq!((calls.len(), calls[0].client_id.as_ref()), (1, sim.held().await.first()));
}

#[tokio::test]
async fn an_old_put_lands_after_a_new_one() {
    let sim = Sim::start().await;
    let (id, _) = sim.create().await;
    let one = format!("{}/{id}", sim.clients());
    sim.strike_once(Route::ClientsUpdate, Fault::CommitLate { after: SHORT, status: 504 }).await;
    sim.call(Method::PUT, &one, Some(&json!({"scope": "old"}))).await;
    sim.call(Method::PUT, &one, Some(&json!({"scope": "new"}))).await;
    let landed = async {
        while sim.call(Method::GET, &one, None).await.body["scope"] != "old" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), landed).await.unwrap();
}

#[tokio::test]
async fn a_replayed_call_commits_twice_and_is_answered_once() {
    let sim = Sim::start().await;
    sim.strike_once(Route::ClientsCreate, Fault::Replay {}).await;
    let (id, secret) = sim.create().await;
    assert_eq!(sim.held().await.len(), 2);
    assert!(sim.admin.verify(sim.project, &id, &secret).await.unwrap());
    assert_eq!(sim.admin.calls().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_drips_or_never_ends() {
    let sim = Sim::start().await;
    sim.strike_once(Route::ClientsCreate, Fault::Drip { interval: Duration::from_secs(60) }).await;
    let answer = sim.post().timeout(SHORT).send().await.unwrap();
    assert!(answer.bytes().await.unwrap_err().is_timeout());

    sim.strike_once(Route::ClientsList, Fault::Flood { bytes: 1 << 30 }).await;
    let mut answer = sim.request(Method::GET, &sim.clients()).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(1 << 30));
    assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn settings_hold_for_the_struck_call_only() {
    let sim = Sim::start().await;
    sim.create().await;
    let settings = json!({"clientLimit": 1});
    sim.strike_once(Route::ClientsCreate, Fault::Settings { settings }).await;
    assert_eq!(reply(sim.post()).await.status, 409);
    assert_eq!(reply(sim.post()).await.status, 200);
    let settings = json!({"pageTotal": {"fixed": 7}, "maxCount": 1});
    sim.strike_once(Route::ClientsList, Fault::Settings { settings }).await;
    let page = sim.call(Method::GET, &sim.clients(), None).await.body;
    assert_eq!((&page["total"], page["clients"].as_array().unwrap().len()), (&7.into(), 1));
    assert_eq!(sim.call(Method::GET, &sim.clients(), None).await.body["total"], 2);
}

#[tokio::test]
async fn a_fault_is_skipped_counted_listed_and_removed() {
    let sim = Sim::start().await;
    let rule = FaultRule::on(Route::ClientsCreate, status(503, false)).after(1).in_project(sim.project);
    let id = sim.admin.fault(&rule).await.unwrap().id;
    assert_eq!(reply(sim.post()).await.status, 200);
    assert_eq!(reply(sim.post()).await.status, 503);
    let listed = sim.admin.faults().await.unwrap();
    assert_eq!((listed[0].id, listed[0].skipped, listed[0].struck), (id, 1, 1));
    assert_eq!(sim.admin.calls().await.unwrap()[1].fault, Some(id));
    sim.admin.remove_fault(id).await.unwrap();
    assert_eq!(reply(sim.post()).await.status, 200);
    sim.admin.fault(&rule).await.unwrap();
    sim.admin.clear_faults().await.unwrap();
    assert_eq!(sim.admin.faults().await.unwrap(), []);
}
