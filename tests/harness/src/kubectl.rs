//! kubectl, and kstatus, as users of the cluster run them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Error, Result, assets};

/// The output of a command, and its exit status.
#[derive(Clone, Debug)]
pub struct Output {
    pub status: ExitStatus,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// kubectl with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Uses a kubeconfig, for example [`crate::ControlPlane::kubeconfig_for`]'s.
    #[must_use]
    pub fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned() }
    }

    /// Runs kubectl and returns its output, whether or not it succeeded.
    ///
    /// # Errors
    /// kubectl cannot be run.
    pub async fn try_run(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut command = Command::new(assets::tool("kubectl")?);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        // kubectl remembers a server's resource types by address, and a later control plane may get the same port.
        command.env("KUBECACHEDIR", self.kubeconfig.with_extension("cache"));
        run(command, stdin).await
    }

    /// Runs kubectl, which must succeed, and returns its standard output.
    ///
    /// # Errors
    /// kubectl failed; the error holds its standard error.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with_input(args, "").await
    }

    /// Runs kubectl with a standard input, which must succeed, and returns its standard output.
    ///
    /// # Errors
    /// kubectl failed; the error holds its standard error.
    pub async fn run_with_input(&self, args: &[&str], stdin: &str) -> Result<String> {
        let output = self.try_run(args, stdin).await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Command {
            command: format!("kubectl {}", args.join(" ")),
            status: output.status,
            output: output.stderr,
        })
    }
}

/// The status that kstatus, and so Flux and `kubectl`-like tools, give an object: `InProgress`, `Failed`, `Current`,
/// `Terminating`, `NotFound` or `Unknown`.
///
/// # Errors
/// kstatus cannot be run, or refuses the object.
pub async fn kstatus(object: &serde_json::Value) -> Result<String> {
    let output = run(Command::new(assets::tool("kstatus")?), &object.to_string()).await?;
    match output.stdout.split_once('\t') {
        Some((status, _message)) if output.status.success() => Ok(status.to_owned()),
        _ => Err(Error::Command { command: "kstatus".to_owned(), status: output.status, output: output.stderr }),
    }
}

/// Runs a command to its end, with a standard input. Dropping the future kills the command.
///
/// # Errors
/// The command cannot be run.
pub async fn run(mut command: Command, stdin: &str) -> Result<Output> {
    let name = Path::new(command.as_std().get_program()).file_name().unwrap_or(OsStr::new("?"));
    let name = name.to_string_lossy().into_owned();
    let running = || Error::io(format!("running {name}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(running())?;
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A command that ends without reading all of its input says why itself.
            let _ = input.write_all(stdin.as_bytes()).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.map_err(running())?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
