//! Whether the webhook answers as the API server calls it: by its name, and trusting what the API server trusts.

use std::time::Duration;

use super::names::ServerNames;
use super::{Problem, Registration, trusted};
use crate::cause::root_cause;

/// How often the webhook is called.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest time of one call, as the API server's.
const PATIENCE: Duration = Duration::from_secs(5);

impl Registration {
    /// Calls the webhook now and then, for ever, and counts whether it answered.
    pub(super) async fn probe(&self) {
        let mut told = None;
        loop {
            let problem = self.reach().await.err();
            self.metrics.webhook_reachable(&self.configuration, problem.is_none());
            if problem != told {
                match &problem {
                    Some(problem) => tracing::warn!(problem, "the webhook does not answer; labelled pods are refused"),
                    None => tracing::info!("the webhook answers"),
                }
                told = problem;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn reach(&self) -> Result<(), String> {
        let configuration = self.configuration().await.map_err(|problem| problem.to_string())?;
        let no_server = || Problem::NoServer(self.configuration.clone()).to_string();
        let names = ServerNames::of(&configuration).ok_or_else(no_server)?;
        let authorities = trusted(&configuration);
        let authorities = authorities.certificates().iter().map(|der| reqwest::Certificate::from_der(der));
        let authorities = authorities.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .tls_certs_only(authorities)
            .build()
            .map_err(|error| error.to_string())?;
        // A GET is no review; that anything answers it is what counts.
        let answer = client.get(names.url().clone()).send().await;
        answer.map(|_| ()).map_err(|error| root_cause(&error.without_url()).to_string())
    }
}
