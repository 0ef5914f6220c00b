//! The stage of the demo: a control plane, the simulator, and a shell that reaches both.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use harness::{ControlPlane, Error, Operator, OperatorOptions, Options, Result, Simulator, SimulatorOptions};
use tokio::process::Command;

use crate::webhook::operators_flag;

/// The namespace of the operator and of the projects' keys.
pub(crate) const NAMESPACE: &str = "meshagent-operator";

/// The operator's service account.
const ACCOUNT: &str = "meshagent-operator";

/// The running programs, and the environment of the commands shown.
pub(crate) struct Stage {
    // Fields drop in this order: the operator is not to see the others vanish.
    operator: Option<Operator>,
    pub(crate) simulator: Simulator,
    control_plane: ControlPlane,
    kubeconfig: PathBuf,
    /// The folders of kubectl, signin and the operator, as they come first in a `PATH`.
    programs: OsString,
}

impl Stage {
    pub(crate) async fn set_up() -> Result<Self> {
        explain("Starting a Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager.");
        let control_plane = ControlPlane::start(Options::default()).await?;
        explain("Starting the simulator: MeshAgent's API with its state in memory.");
        let simulator = Simulator::start(SimulatorOptions::default()).await?;
        let kubeconfig = control_plane.admin_kubeconfig()?;
        let programs =
            [harness::tool("kubectl")?, harness::tool("signin")?, harness::built_binary("meshagent-operator")?];
        let programs = join(programs.iter().filter_map(|program| program.parent().map(Path::to_owned)))?;
        Ok(Self { operator: None, simulator, control_plane, kubeconfig, programs })
    }

    /// Starts the operator with its own rights and no flag that is not needed.
    pub(crate) fn start_operator(&mut self) -> Result<()> {
        explain("Starting the operator. In a cluster, the Helm chart does this.");
        println!("$ meshagent-operator run {} &", operators_flag());
        self.operator = Some(Operator::start(OperatorOptions {
            binary: harness::built_binary("meshagent-operator")?,
            kubeconfig: self.operators_kubeconfig()?,
            args: vec![operators_flag()],
            env: vec![("MESHAGENT_OPERATOR_NAMESPACE".to_owned(), NAMESPACE.to_owned())],
        })?);
        Ok(())
    }

    /// A kubeconfig with the operator's own rights.
    fn operators_kubeconfig(&self) -> Result<PathBuf> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{NAMESPACE}")];
        self.control_plane.kubeconfig_for(&user, &groups)
    }

    /// Explains a command, prints it, runs it with its output shown, and fails if it fails.
    pub(crate) async fn run(&self, why: &str, command: &str) -> Result<()> {
        explain(why);
        println!("$ {command}");
        let status = self.shell(command).status().await;
        let status = status.map_err(|source| Error::Io { doing: format!("running {command}"), source })?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Command { command: command.to_owned(), status, output: self.operators_last_words() })
    }

    /// Runs a command that is not shown, and returns what it printed.
    pub(crate) async fn ask(&self, command: &str) -> Result<String> {
        let output = harness::run(self.shell(command), "").await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Command { command: command.to_owned(), status: output.status, output: output.stderr })
    }

    /// Says that the pods of the Deployment `app` are Ready, as a kubelet would that runs them, until it has rolled out.
    pub(crate) async fn run_pods(&self) -> Result<()> {
        let ready = "for pod in $(kubectl get pods -n shop -l app=app -o name); do kubectl patch $pod -n shop \
            --subresource=status -p '{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}'; done; \
            kubectl rollout status deployment/app -n shop --timeout=1s";
        harness::eventually(Duration::from_secs(30), "the application has rolled out", async || {
            self.ask(ready).await.map_err(|error| format!("{error:?}"))
        })
        .await
        .map(drop)
    }

    /// Prints how a user of another terminal reaches what runs here.
    pub(crate) fn print_how_to_look_around(&self) {
        println!("\n# All of it runs until Ctrl-C. In another terminal:");
        println!("$ export KUBECONFIG={} PATH={}:$PATH", self.kubeconfig.display(), self.programs.display());
        println!("$ kubectl get meshagent -A");
        println!("$ curl {}/calls    # what the operator asked of MeshAgent", self.simulator.admin());
        let operator = self.operator.iter().map(|operator| operator.workdir().path());
        for directory in
            [self.control_plane.workdir().path(), self.simulator.workdir().path()].into_iter().chain(operator)
        {
            println!("$ tail -f {}/*.log", directory.display());
        }
    }

    /// Prints the variables to export for starting the operator again and again.
    pub(crate) fn print_how_to_develop(&self) -> Result<()> {
        let operators = self.operators_kubeconfig()?;
        println!("\n# All but the operator runs until Ctrl-C. In another terminal, at the top of the repository:\n");
        println!("export KUBECONFIG={} PATH={}:$PATH", self.kubeconfig.display(), self.programs.display());
        println!("export MESHAGENT_OPERATOR_KUBECONFIG={}", operators.display());
        println!("export MESHAGENT_OPERATOR_NAMESPACE={NAMESPACE}");
        println!("export MESHAGENT_OPERATOR_ALLOWED_API_HOSTS={}", self.simulator.api());
        println!("export MESHAGENT_OPERATOR_HTTP_ADDRESS=127.0.0.1:0");
        // An operator that was killed leaves a Lease behind, and the next one would wait for its end.
        println!("export MESHAGENT_OPERATOR_LEADER_ELECT=false");
        println!("export SIMULATOR={}", self.simulator.admin());
        println!("cargo run -- run");
        println!("\n# And in a third, with the first line above:\n");
        println!("kubectl apply -f examples/quickstart/web.yaml");
        println!("cargo run -- crds | kubectl apply --server-side -f -    # after a change in src/api");
        println!("curl {}/calls    # what the operator asked of MeshAgent", self.simulator.admin());
        Ok(())
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env("KUBECONFIG", &self.kubeconfig)
            // kubectl remembers a server's resource types by address, and a later demo may get the same port.
            .env("KUBECACHEDIR", self.kubeconfig.with_extension("cache"))
            .env("PATH", self.path())
            .env("MESHAGENT_API_URL", self.simulator.api())
            .kill_on_drop(true);
        // The key is not among the arguments, which every process of the machine may read.
        if let Some(project) = self.simulator.projects().first() {
            shell.env("MESHAGENT_API_KEY", &project.api_key);
        }
        shell
    }

    /// The programs' folders, followed by the caller's `PATH`.
    fn path(&self) -> OsString {
        let mut path = self.programs.clone();
        if let Some(found) = env::var_os("PATH") {
            path.push(":");
            path.push(found);
        }
        path
    }

    fn operators_last_words(&self) -> String {
        let log = self.operator.as_ref().map(|operator| operator.process().log_tail());
        log.map(|log| format!("the end of the operator's log:\n{log}")).unwrap_or_default()
    }
}

/// Folders as a `PATH` holds them.
fn join(folders: impl Iterator<Item = PathBuf>) -> Result<OsString> {
    env::join_paths(folders)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
        .map_err(|source| Error::Io { doing: "putting the programs on the PATH".to_owned(), source })
}

/// Prints one line that says what comes next.
pub(crate) fn explain(line: &str) {
    println!("\n# {line}");
}
