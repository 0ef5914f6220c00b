//! What the demo plays on: a control plane, the simulator, and a shell that reaches both.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use harness::{ControlPlane, Error, Operator, OperatorOptions, Options, Result, Simulator, SimulatorOptions};
use tokio::process::Command;

/// Where the operator keeps projects' keys.
pub(crate) const NAMESPACE: &str = "meshagent-operator";

/// The operator's service account.
pub(crate) const ACCOUNT: &str = "meshagent-operator";

/// The running programs, and the environment of the commands shown.
pub(crate) struct Stage {
    // Dropped in this order: the operator is not to see the others vanish.
    operator: Option<Operator>,
    pub(crate) simulator: Simulator,
    control_plane: ControlPlane,
    kubeconfig: PathBuf,
    path: OsString,
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
        let found = env::var_os("PATH").unwrap_or_default();
        let directories = programs.iter().filter_map(|program| program.parent().map(Path::to_owned));
        let path = env::join_paths(directories.chain(env::split_paths(&found)))
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
            .map_err(|source| Error::Io { doing: "putting the programs on the PATH".to_owned(), source })?;
        Ok(Self { operator: None, simulator, control_plane, kubeconfig, path })
    }

    /// Starts the operator with its own rights and no flag that is not needed.
    pub(crate) fn start_operator(&mut self) -> Result<()> {
        explain("Starting the operator. In a cluster, the Helm chart does this.");
        println!("$ meshagent-operator run &");
        let user = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{NAMESPACE}")];
        self.operator = Some(Operator::start(OperatorOptions {
            binary: harness::built_binary("meshagent-operator")?,
            kubeconfig: self.control_plane.kubeconfig_for(&user, &groups)?,
            args: vec![],
            env: vec![("MESHAGENT_OPERATOR_NAMESPACE".to_owned(), NAMESPACE.to_owned())],
        })?);
        Ok(())
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

    /// Prints how a user of another terminal reaches what runs here.
    pub(crate) fn print_how_to_look_around(&self) {
        println!("\n# All of it runs until Ctrl-C. In another terminal:");
        println!("$ export KUBECONFIG={} PATH={}", self.kubeconfig.display(), self.path.display());
        println!("$ kubectl get meshagent -A");
        println!("$ curl {}/calls    # what the operator asked of MeshAgent", self.simulator.admin());
        let operator = self.operator.iter().map(|operator| operator.workdir().path());
        for directory in
            [self.control_plane.workdir().path(), self.simulator.workdir().path()].into_iter().chain(operator)
        {
            println!("$ tail -f {}/*.log", directory.display());
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env("KUBECONFIG", &self.kubeconfig)
            // kubectl remembers a server's resource types by address, and a later demo may get the same port.
            .env("KUBECACHEDIR", self.kubeconfig.with_extension("cache"))
            .env("PATH", &self.path)
            .env("MESHAGENT_API_URL", self.simulator.api())
            .kill_on_drop(true);
        // Not among the arguments, which every process of the machine may read.
        if let Some(project) = self.simulator.projects().first() {
            shell.env("MESHAGENT_API_KEY", &project.api_key);
        }
        shell
    }

    fn operators_last_words(&self) -> String {
        let log = self.operator.as_ref().map(|operator| operator.process().log_tail());
        log.map(|log| format!("the end of the operator's log:\n{log}")).unwrap_or_default()
    }
}

/// Prints one line that says what comes next.
pub(crate) fn explain(line: &str) {
    println!("\n# {line}");
}
