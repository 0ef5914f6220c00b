//! The chart: what it renders and refuses, and what becomes of it on a real control plane. Helm is Helm's own code.

mod install;
mod monitoring;
pub(crate) mod release;
mod render;
pub(crate) mod rights;
mod schemas;

use std::path::{Path, PathBuf};

use harness::{Output, Workdir, tool};
use tokio::process::Command;

use crate::fixture::in_repository;

/// The folder of the chart.
fn chart() -> PathBuf {
    in_repository("charts/meshagent-operator")
}

/// Helm, with folders of its own and, perhaps, a cluster.
pub(crate) struct Helm {
    pub(crate) home: Workdir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    fn without_cluster() -> Self {
        Self { home: Workdir::create("helm").unwrap(), kubeconfig: None }
    }

    fn of(kubeconfig: &Path) -> Self {
        Self { kubeconfig: Some(kubeconfig.to_owned()), ..Self::without_cluster() }
    }

    /// Runs Helm, whether or not it succeeds. `{chart}` among the arguments is the chart's folder.
    pub(crate) async fn try_run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(tool("helm").unwrap());
        for arg in args {
            command.arg(if *arg == "{chart}" { chart().into_os_string() } else { arg.into() });
        }
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.path().join(folder));
        }
        // Helm reaches no cluster by accident.
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(Path::new("/nonexistent")));
        harness::run(command, "").await.unwrap()
    }

    pub(crate) async fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args).await;
        assert!(output.status.success(), "helm {}: {}{}", args.join(" "), output.stdout, output.stderr);
        output.stdout
    }

    /// The manifests that the chart renders with more arguments.
    pub(crate) async fn template(&self, args: &[&str]) -> String {
        let common = ["template", "meshagent-operator", "{chart}", "--namespace", "meshagent-operator"];
        self.run(&[&common, args].concat()).await
    }
}
