//! Prometheus itself, scraping the operator: its parser reads the metrics, its engine runs the alerts and the dashboard.

use std::collections::BTreeMap;
use std::fs;

use harness::{Process, Program, Workdir, eventually, free_port};
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, condition, in_repository, start_operator_with};

const FILES: &str = "charts/meshagent-operator/files";

/// A Prometheus that scrapes one address, with the chart's alerts.
struct Prometheus {
    process: Process,
    url: String,
    /// After the process, which writes into it.
    _workdir: Workdir,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let workdir = Workdir::create("prometheus").unwrap();
        let rules = in_repository(FILES).join("alerts.yaml");
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "operator", "static_configs": [{ "targets": [target] }] }],
        });
        let config = workdir.write("prometheus.yaml", &config.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let process = Process::start(Program {
            name: "prometheus".to_owned(),
            path: in_repository("scripts/prometheus"),
            args: vec![
                "prometheus".to_owned(),
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", workdir.path().join("data").display()),
                format!("--web.listen-address={address}"),
            ],
            env: Vec::new(),
            log: workdir.path().join("prometheus.log"),
            stdout: None,
        })
        .unwrap();
        Self { process, url: format!("http://{address}/api/v1"), _workdir: workdir }
    }

    /// What the API answers; an error in words if it does not answer, or not with success.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = url::Url::parse_with_params(&format!("{}/{path}", self.url), parameters).unwrap();
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }

    /// The series that a query finds, each with its labels.
    async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let data = self.ask("query", &[("query", query)]).await?;
        Ok(data["result"].as_array().unwrap().iter().map(|series| series["metric"].clone()).collect())
    }
}

/// The queries of the chart's dashboard.
fn queries() -> Vec<String> {
    let dashboard = fs::read_to_string(in_repository(FILES).join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn prometheus_reads_the_metrics_and_runs_the_alerts_and_the_dashboard() {
    let mut fixture = Fixture::own("prometheus", &[]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.kubectl(&["create", "secret", "generic", "taken"]).await;
    fixture.apply(&fixture.client("broken", &json!({ "secret": { "name": "taken" } }))).await;
    fixture.until("maoc", "broken", "it waits", |object| condition(object, "Ready") == "False/SecretConflict").await;
    fixture.stop_operator().await;
    let target = format!("127.0.0.1:{}", free_port().unwrap());
    let args = ["--http-address", &target];
    fixture.operator = Some(start_operator_with(fixture.control_plane.get(), &args));
    let prometheus = Prometheus::start(&target);

    // A scrape that the parser refuses makes `up` 0.
    let broken = format!("{}/broken", fixture.ns());
    let not_ready = "meshagent_operator_client_not_ready and on() (up == 1)";
    let wanted = ("SecretConflict".to_owned(), broken.clone());
    let found = prometheus.process.eventually(LONG, "the object that is not Ready is in Prometheus", async || {
        let series = prometheus.query(not_ready).await?;
        let of = |series: &Value| {
            let label = |name: &str| series[name].as_str().unwrap_or_default().to_owned();
            (label("reason"), label("oauthclient"))
        };
        let found: Vec<_> = series.iter().map(of).collect();
        if found == [wanted.clone()] { Ok(()) } else { Err(format!("{found:?}")) }
    });
    found.await.unwrap();

    eventually(LONG, "each panel of the dashboard shows something", async || {
        for query in queries() {
            if prometheus.query(&query).await?.is_empty() {
                return Err(format!("nothing: {query}"));
            }
        }
        Ok(())
    })
    .await
    .unwrap();

    let rules = prometheus.ask("rules", &[]).await.unwrap();
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rules: BTreeMap<_, _> = rules.map(|rule| (rule["name"].as_str().unwrap(), rule)).collect();
    let healthy = rules.values().all(|rule| rule["health"] == "ok" && rule["state"] == "inactive");
    assert!(rules.len() > 5 && healthy, "{rules:#?}");
    // The quarter of an hour in seconds.
    let alert = rules["MeshAgentClientNotReady"]["query"].as_str().unwrap();
    let (window, enough) = ("[15m:1m]", ">= 14");
    assert!(alert.contains(window) && alert.contains(enough), "{alert}");
    let alert = alert.replace(window, "[15s:1s]").replace(enough, ">= 10");
    let found = eventually(LONG, "the alert names the object", async || {
        let series = prometheus.query(&alert).await?;
        if series.is_empty() { Err("nothing".to_owned()) } else { Ok(series) }
    });
    let found = found.await.unwrap();
    assert_eq!(found, [json!({ "oauthclient": broken, "reason": "SecretConflict" })]);
}
