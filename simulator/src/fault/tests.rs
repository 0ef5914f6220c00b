use serde_json::json;

use super::*;
use crate::api::answer::{Answer, Content};

fn call(route: Option<Route>, method: &'static str, path: &'static str) -> Struck<'static> {
    Struck { route, method, path, project: Some(Uuid::from_u128(1)) }
}

fn create() -> Struck<'static> {
    call(Some(Route::ClientsCreate), "POST", "/accounts/projects/p/oauth/clients")
}

fn struck(faults: &mut Faults, times: usize) -> Vec<bool> {
    (0..times).map(|_| faults.strike(create()).is_some()).collect()
}

#[test]
fn a_rule_lets_some_calls_through_then_strikes_its_count() {
    let mut faults = Faults::default();
    faults.add(FaultRule::on(Route::ClientsCreate, Fault::Truncate {}).after(1).times(2)).unwrap();
    assert_eq!(struck(&mut faults, 5), [false, true, true, false, false]);
    let listed = faults.list();
    assert_eq!((listed[0].skipped, listed[0].struck), (1, 2));
}

#[test]
fn a_rule_without_a_count_strikes_until_it_is_removed() {
    let mut faults = Faults::default();
    let id = faults.add(FaultRule::on(RouteMatch::Any, Fault::Replay {})).unwrap().id;
    assert_eq!(struck(&mut faults, 3), [true; 3]);
    assert!(faults.remove(id));
    assert!(!faults.remove(id));
    assert_eq!(struck(&mut faults, 1), [false]);
}

#[test]
fn the_first_rule_that_matches_is_the_only_one_counted() {
    let mut faults = Faults::default();
    faults.add(FaultRule::on(Route::ClientsCreate, Fault::Truncate {}).times(1)).unwrap();
    faults.add(FaultRule::on(RouteMatch::Any, Fault::Replay {}).times(1)).unwrap();
    let kinds: Vec<_> = (0..3).map(|_| faults.strike(create()).map(|(_, fault)| fault)).collect();
    assert_eq!(kinds, [Some(Fault::Truncate {}), Some(Fault::Replay {}), None]);
}

#[test]
fn every_part_of_a_rule_narrows_it() {
    let hit = |rule: serde_json::Value| {
        let mut faults = Faults::default();
        let mut rule = rule;
        rule["fault"] = json!({"kind": "replay"});
        faults.add(serde_json::from_value(rule).unwrap()).unwrap();
        faults.strike(create()).is_some()
    };
    assert!(hit(json!({})));
    assert!(hit(json!({"route": "any", "method": "post", "path": "/oauth/clients$"})));
    assert!(!hit(json!({"route": "clients.list"})));
    assert!(!hit(json!({"method": "GET"})));
    assert!(!hit(json!({"path": "^/oauth"})));
    assert!(!hit(json!({"project": Uuid::from_u128(2)})));
    assert!(hit(json!({"project": Uuid::from_u128(1)})));
}

#[test]
fn any_strikes_unknown_paths_too() {
    let mut faults = Faults::default();
    faults.add(FaultRule::on(RouteMatch::Any, Fault::Replay {})).unwrap();
    assert!(faults.strike(call(None, "GET", "/nowhere")).is_some());
}

#[test]
fn a_rule_that_cannot_be_carried_out_is_refused() {
    let refused = |rule: serde_json::Value| match serde_json::from_value::<FaultRule>(rule) {
        Ok(rule) => Faults::default().add(rule).is_err(),
        Err(_) => true,
    };
    assert!(refused(json!({"path": "(", "fault": {"kind": "replay"}})));
    assert!(refused(json!({"fault": {"kind": "status", "status": 100}})));
    assert!(refused(json!({"fault": {"kind": "status", "status": 503, "headers": {"a b": "c"}}})));
    assert!(refused(json!({"fault": {"kind": "settings", "settings": {"clientLimits": 1}}})));
    assert!(refused(json!({"fault": {"kind": "status", "status": 503, "commited": true}})));
    assert!(refused(json!({"fault": {"kind": "explode"}})));
    assert!(refused(json!({"routes": "any", "fault": {"kind": "replay"}})));
}

#[test]
fn a_fault_survives_its_json_form() {
    let faults = [
        json!({"kind": "status", "status": 429, "body": null, "headers": {"Retry-After": "5"}, "commit": false}),
        json!({"kind": "delay", "duration": "2s", "stage": "after"}),
        json!({"kind": "hang", "stage": "before"}),
        json!({"kind": "reset", "at": "during"}),
        json!({"kind": "truncate"}),
        json!({"kind": "malformed", "form": "no-secret"}),
        json!({"kind": "commit-late", "after": "1m 30s", "status": 504}),
        json!({"kind": "replay"}),
        json!({"kind": "drip", "interval": "1s"}),
        json!({"kind": "flood", "bytes": 1_073_741_824}),
        json!({"kind": "settings", "settings": {"maxCount": 2}}),
    ];
    for fault in faults {
        let read: Fault = serde_json::from_value(fault.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Fault>(written).unwrap(), read, "{fault}");
    }
}

#[test]
fn a_spoilt_answer_lacks_what_it_should() {
    let answer = Answer::json(200, json!({"client": {"client_id": "a", "client_secret": "b", "scope": "c"}}));
    let body = |form| spoil(answer.clone(), form).content;
    assert_eq!(body(Malformed::NoSecret), Content::Json(json!({"client": {"client_id": "a", "scope": "c"}})));
    assert_eq!(body(Malformed::NoId), Content::Json(json!({"client": {"client_secret": "b", "scope": "c"}})));
    let nulls = json!({"client": {"client_id": "a", "client_secret": "b", "scope": null}});
    assert_eq!(body(Malformed::Nulls), Content::Json(nulls));
    assert_eq!(body(Malformed::Empty), Content::None);
    let Content::Text { text, .. } = body(Malformed::BrokenJson) else { panic!("text") };
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
}

#[test]
fn every_client_of_a_listing_is_spoilt() {
    let answer = Answer::json(200, json!({"clients": [{"client_id": "a"}, {"client_id": "b"}], "total": 2}));
    assert_eq!(spoil(answer, Malformed::NoId).content, Content::Json(json!({"clients": [{}, {}], "total": 2})));
}
