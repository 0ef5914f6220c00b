//! The chart's alerts and dashboard ask for metrics that exist, and each alert is explained and tried.

use std::collections::BTreeSet;
use std::fs;

use meshagent_operator::api::Reason;
use serde_json::Value;

use crate::links::anchor;
use crate::top;

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("charts/meshagent-operator/files/alerts.yaml")).unwrap();
    rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read("charts/meshagent-operator/files/dashboard.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

/// The names that a scrape can show, from the table in the reference.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in read("docs/reference.md").lines().filter_map(|line| line.strip_prefix("| `meshagent_operator_")) {
        let (name, rest) = line.split_once('`').unwrap();
        let histogram = rest.starts_with(" | histogram");
        for suffix in if histogram { &["_bucket", "_sum", "_count"][..] } else { &[""] } {
            names.insert(format!("meshagent_operator_{name}{suffix}"));
        }
    }
    names
}

/// The metrics that a query names.
fn named(query: &str) -> Vec<String> {
    let starts = query.match_indices("meshagent_operator_").map(|(start, _)| &query[start..]);
    let end = |text: &str| text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(text.len());
    starts.map(|text| text[..end(text)].to_owned()).collect()
}

#[test]
fn every_query_names_metrics_that_exist() {
    let (exported, panels) = (exported(), panels());
    assert!(exported.len() > 8, "{exported:?}");
    let of_panels = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| &target["expr"]);
    let of_alerts = alerts();
    for query in of_panels.chain(of_alerts.iter().map(|alert| &alert["expr"])) {
        let named = named(query.as_str().unwrap());
        assert!(!named.is_empty(), "{query}");
        for name in named {
            assert!(exported.contains(&name), "{name} in {query} is not exported");
        }
    }
}

#[test]
fn there_are_at_most_ten_alerts_and_twelve_panels_each_described() {
    let (alerts, panels) = (alerts(), panels());
    assert!((1..=10).contains(&alerts.len()) && (1..=12).contains(&panels.len()));
    assert!(panels.iter().all(|panel| panel["description"].as_str().is_some_and(|text| !text.is_empty())));
}

#[test]
fn every_alert_has_a_test_and_a_section_that_it_links_to() {
    let (tests, page) = (read("tests/alerts.test.yaml"), read("docs/monitoring.md"));
    let anchors: BTreeSet<String> = page.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(tests.contains(&format!("alertname: {name}\n")), "no test lets {name} fire");
        assert!(tests.contains(&format!("alertname: {name}, exp_alerts: []")), "no test lets {name} resolve");
        let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (file, fragment) = runbook.split_once('#').unwrap();
        assert!(file.ends_with("/docs/monitoring.md"), "{runbook}");
        assert!(anchors.contains(fragment), "docs/monitoring.md has no section for {runbook}");
    }
}

/// One vocabulary: every reason that alerts select by is a reason of a condition, and every reason that asks for
/// somebody is selected by an alert.
#[test]
fn alerts_speak_of_reasons_as_conditions_do() {
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let mut selected = BTreeSet::new();
    for alert in alerts() {
        let expr = alert["expr"].as_str().unwrap().to_owned();
        for part in expr.split("reason=").skip(1) {
            let quoted = part.split('"').nth(1).unwrap();
            selected.extend(quoted.split('|').map(str::to_owned));
        }
    }
    let of_each = alerts().into_iter().find(|alert| alert["alert"] == "MeshAgentClientNotReady").unwrap();
    let expr = of_each["expr"].as_str().unwrap();
    assert_eq!(expr.matches("client_not_ready{reason!=\"Suspended\"}").count(), 2, "{expr}");
    for reason in &selected {
        assert!(known.contains(reason.as_str()), "{reason} is no reason of a condition");
    }
    // The reasons for which a client that is Ready needs nobody: those under way, those that a metric of the calls tells of,
    // those that are as somebody wanted them, and the one of a project whose clients say ProjectNotReady.
    let others = [
        "Ready",
        "Creating",
        "Updating",
        "Deleting",
        "Rotating",
        "RateLimited",
        "APIUnavailable",
        "Suspended",
        "ManyClientsGone",
    ];
    let missing: Vec<_> =
        known.iter().filter(|reason| !selected.contains(**reason) && !others.contains(reason)).collect();
    assert!(missing.is_empty(), "no alert tells of {missing:?}");
}
