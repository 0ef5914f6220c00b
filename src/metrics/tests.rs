use std::collections::BTreeMap;
use std::sync::Mutex;

use super::scrape::MOST_NOT_READY;
use super::*;
use crate::meshagent;

/// The samples by name and labels, prefix left out; fails on a line that is neither sample nor comment.
fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.text().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.strip_prefix("meshagent_operator_").unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn beginning_with(start: &str, samples: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    samples.iter().filter(|(name, _)| name.starts_with(start)).map(|(name, value)| (name.clone(), *value)).collect()
}

fn counted<const N: usize>(wanted: [(&str, f64); N]) -> BTreeMap<String, f64> {
    wanted.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn passes_are_counted_by_kind_and_outcome() {
    let metrics = Metrics::new();
    metrics.reconciled("OAuthClient", Outcome::Converged, Duration::from_millis(3));
    metrics.reconciled("OAuthClient", Outcome::Converged, Duration::from_millis(300));
    metrics.reconciled("MeshAgentProject", Outcome::Retry, Duration::from_secs(90));
    let samples = samples(&metrics);
    assert_eq!(
        beginning_with("reconciles", &samples),
        counted([
            (r#"reconciles_total{kind="MeshAgentProject",outcome="retry"}"#, 1.0),
            (r#"reconciles_total{kind="OAuthClient",outcome="converged"}"#, 2.0),
        ])
    );
    let seconds = "reconcile_duration_seconds";
    assert_eq!(samples[&format!(r#"{seconds}_sum{{kind="OAuthClient"}}"#)], 0.303);
    assert_eq!(samples[&format!(r#"{seconds}_bucket{{le="0.005",kind="OAuthClient"}}"#)], 1.0);
    assert_eq!(samples[&format!(r#"{seconds}_bucket{{le="60.0",kind="MeshAgentProject"}}"#)], 0.0);
    assert_eq!(samples[&format!(r#"{seconds}_count{{kind="MeshAgentProject"}}"#)], 1.0);
}

/// F3.
#[test]
fn what_cannot_be_decoded_is_named_while_it_cannot() {
    let (metrics, objects) = (Metrics::new(), Arc::new(Mutex::new(Vec::new())));
    let named = || beginning_with("unreadable_object", &samples(&metrics));
    let object = |name: &str| ["OAuthClient".to_owned(), format!("shop/{name}")];
    let source = Arc::clone(&objects);
    metrics.set_unreadable(move || source.lock().unwrap().clone());
    *objects.lock().unwrap() = vec![object("t")];
    assert_eq!(named(), counted([(r#"unreadable_object{kind="OAuthClient",object="shop/t"}"#, 1.0)]));
    *objects.lock().unwrap() = (0..1000).map(|number| object(&number.to_string())).collect();
    assert_eq!(named().len(), 100);
    objects.lock().unwrap().clear();
    assert_eq!(named(), BTreeMap::new());
}

#[test]
fn each_attempt_of_a_call_is_counted_by_route_and_status() {
    let metrics = Metrics::new();
    let observe = metrics.observer();
    for status in [Some(204), Some(204), None] {
        observe(CallObservation {
            route: meshagent::Route::DeleteClient,
            status,
            duration: Duration::from_millis(500),
        });
    }
    let samples = samples(&metrics);
    let route = r#"route="DELETE /oauth/clients/{client_id}""#;
    assert_eq!(
        beginning_with("rest_calls", &samples),
        BTreeMap::from([
            (format!(r#"rest_calls_total{{{route},status="204"}}"#), 2.0),
            (format!(r#"rest_calls_total{{{route},status="none"}}"#), 1.0),
        ])
    );
    assert_eq!(samples[&format!("rest_call_duration_seconds_sum{{{route}}}")], 1.5);
}

type States = Arc<Mutex<Vec<Option<(&'static str, &'static str)>>>>;

/// The metrics of OAuthClients named `a`, `b`, … with these Ready conditions, as they are at each scrape.
fn with_clients(states: &States) -> Metrics {
    let (metrics, states) = (Metrics::new(), Arc::clone(states));
    metrics.set_clients(move |show| {
        for (name, ready) in ('a'..).map(String::from).zip(states.lock().unwrap().iter().copied()) {
            show(ClientState { namespace: "shop", name: &name, ready, living_on: 0 });
        }
    });
    metrics
}

#[test]
fn clients_are_counted_by_condition_and_named_while_they_are_not_ready() {
    let ready = Some(("True", "Ready"));
    let states = Arc::new(Mutex::new(vec![
        None,
        Some(("False", "InvalidSpec")),
        ready,
        ready,
        Some(("True", "PermissionDenied")),
    ]));
    let metrics = with_clients(&states);
    let shown = || beginning_with("client", &samples(&metrics));
    assert_eq!(
        shown(),
        counted([
            (r#"client_not_ready{oauthclient="shop/a",reason="Pending"}"#, 1.0),
            (r#"client_not_ready{oauthclient="shop/b",reason="InvalidSpec"}"#, 1.0),
            (r#"clients{ready="False",reason="InvalidSpec"}"#, 1.0),
            (r#"clients{ready="True",reason="PermissionDenied"}"#, 1.0),
            (r#"clients{ready="True",reason="Ready"}"#, 2.0),
            (r#"clients{ready="Unknown",reason="Pending"}"#, 1.0),
        ])
    );
    *states.lock().unwrap() = vec![ready; 4];
    assert_eq!(shown(), counted([(r#"clients{ready="True",reason="Ready"}"#, 4.0)]));
}

#[test]
fn in_whatever_order_the_same_are_named_and_all_are_counted() {
    let shown = |order: &mut dyn Iterator<Item = u32>| {
        let (metrics, names) = (Metrics::new(), order.map(|number| number.to_string()).collect::<Vec<_>>());
        metrics.set_clients(move |show| {
            for name in &names {
                show(ClientState { namespace: "shop", name, ready: Some(("False", "InvalidSpec")), living_on: 2 });
            }
        });
        samples(&metrics)
    };
    let (samples, backwards) = (shown(&mut (0..3000)), shown(&mut (0..3000).rev()));
    let named = beginning_with("client_not_ready", &samples);
    assert_eq!((named.len(), &named), (MOST_NOT_READY, &beginning_with("client_not_ready", &backwards)));
    assert_eq!(samples[r#"clients{ready="False",reason="InvalidSpec"}"#], 3000.0);
    assert_eq!(samples["former_clients_in_use"], 6000.0);
}

#[test]
fn a_project_that_is_gone_is_forgotten() {
    let metrics = Metrics::new();
    for project in ["default", "shop/own"] {
        metrics.set_orphans(project, 3);
        metrics.resynced(project, Timestamp::from_second(1_795_000_000).unwrap());
    }
    metrics.forget_project("default");
    let samples = samples(&metrics);
    assert_eq!(
        [beginning_with("orphans", &samples), beginning_with("last", &samples)],
        [
            counted([(r#"orphans{project="shop/own"}"#, 3.0)]),
            counted([(r#"last_successful_resync_timestamp_seconds{project="shop/own"}"#, 1_795_000_000.0)]),
        ]
    );
}

#[test]
fn clones_share_what_they_count() {
    let metrics = Metrics::new();
    metrics.clone().credentials_held(2);
    metrics.clone().leads(true);
    metrics.clone().events_lost(3);
    let shared = [
        ("clock_skew_seconds", 0.0),
        ("credentials_held", 2.0),
        ("events_lost_total", 3.0),
        ("leader", 1.0),
        ("tasks", 0.0),
    ];
    assert_eq!(samples(&metrics), counted(shared));
}

#[test]
fn a_label_cannot_break_out_of_its_line() {
    let metrics = Metrics::new();
    metrics.set_orphans("a\"\n\\b", 1);
    assert_eq!(beginning_with("orphans", &samples(&metrics)), counted([(r#"orphans{project="a\"\n\\b"}"#, 1.0)]));
}
