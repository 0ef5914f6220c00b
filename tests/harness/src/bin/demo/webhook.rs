//! The webhook of the demo: a process of this machine, which no Service leads to.

use std::time::Duration;

use harness::{Error, Process, Program, Result, Workdir, eventually};

use crate::stage::{NAMESPACE, Stage, explain};

/// The names of the objects in deploy/.
const CONFIGURATION: &str = "meshagent-operator";
const CERTIFICATE: &str = "meshagent-operator-webhook-certificate";

const PATIENCE: Duration = Duration::from_secs(60);

/// The operator's flag for the certificate, as the chart gives it.
pub(crate) fn operators_flag() -> String {
    format!("--webhook={CONFIGURATION}/{CERTIFICATE}")
}

/// Where the webhook is to listen.
pub(crate) struct Place {
    https: u16,
    http: u16,
}

impl Place {
    pub(crate) fn choose() -> Result<Self> {
        Ok(Self { https: harness::free_port()?, http: harness::free_port()? })
    }

    /// Tells the API server where the webhook will be: no kubelet runs here, so its Service leads nowhere.
    pub(crate) async fn register(&self, stage: &Stage) -> Result<()> {
        let port = self.https;
        let patch = format!(
            "kubectl patch mutatingwebhookconfiguration {CONFIGURATION} --type=json -p \
             '[{{\"op\":\"replace\",\"path\":\"/webhooks/0/clientConfig\",\"value\":{{\"url\":\"https://127.0.0.1:{port}/inject\"}}}}]'"
        );
        stage.run("No kubelet runs here: the webhook will be a process of this machine.", &patch).await
    }

    /// Starts the webhook with the certificate that the operator keeps, mounted as a kubelet would.
    pub(crate) async fn start(&self, stage: &Stage) -> Result<Webhook> {
        explain("Starting the webhook, with the certificate that the operator has made for it. It has no rights.");
        println!("$ meshagent-operator webhook &");
        let workdir = Workdir::create("webhook")?;
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            let template = format!("go-template={{{{index .data \"{file}\" | base64decode}}}}");
            let read = format!("kubectl get secret {CERTIFICATE} -n {NAMESPACE} -o '{template}'");
            let content = eventually(PATIENCE, "there is a certificate", async || {
                stage.ask(&read).await.map_err(|error| format!("{error:?}"))
            })
            .await?;
            workdir.write(file, &content)?;
        }
        let process = Process::start(Program {
            name: "the webhook".to_owned(),
            path: harness::built_binary("meshagent-operator")?,
            args: vec![
                "webhook".to_owned(),
                format!("--https-address=127.0.0.1:{}", self.https),
                format!("--http-address=127.0.0.1:{}", self.http),
                format!("--certificates={}", workdir.path().display()),
            ],
            env: vec![],
            log: workdir.path().join("webhook.log"),
            stdout: None,
        })?;
        let ready = format!("http://127.0.0.1:{}/readyz", self.http);
        process
            .eventually(PATIENCE, "the webhook is ready", async || {
                reqwest::get(&ready).await.and_then(reqwest::Response::error_for_status)
            })
            .await?;
        Ok(Webhook { process, _workdir: workdir })
    }
}

/// The webhook while it runs.
pub(crate) struct Webhook {
    process: Process,
    // The directory drops after the process, which reads and writes there.
    _workdir: Workdir,
}

impl Webhook {
    /// Fails if the webhook has ended.
    pub(crate) fn check_running(&self) -> Result<(), Error> {
        self.process.check_running()
    }
}
