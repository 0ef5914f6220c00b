//! One shell for all commands of a document, as its reader has.

use std::{ffi::OsString, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{Error, Result};

/// The line printed after each command. No command prints it.
const DONE: &str = "--- that was the command ---";

/// A bash that ends at the first command that fails. Dropping it kills what it runs.
#[derive(Debug)]
pub struct Shell {
    bash: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// Starts the shell in a directory, with more variables in its environment.
    ///
    /// # Errors
    /// bash cannot be run.
    pub fn start(directory: &Path, env: &[(&str, OsString)]) -> Result<Self> {
        let starting = || Error::io("starting bash");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-euo", "pipefail", "-s"]).current_dir(directory);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        // The shell leads a process group, so that all that it runs can be killed with it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut bash = command.spawn().map_err(starting())?;
        match (bash.stdin.take(), bash.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { bash, input, output: BufReader::new(output).lines() }),
            _ => Err(starting()(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Runs a command and returns what it printed on both of its outputs. Variables that it sets stay.
    ///
    /// # Errors
    /// The command failed, or did not end in time; the error holds what it printed. The shell is of no more use then.
    pub async fn run(&mut self, command: &str, within: Duration) -> Result<String> {
        // bash reads its commands from its input; the command is not to read them too.
        let script = format!("{{\n{command}\n}} </dev/null 2>&1\nprintf '\\n%s\\n' '{DONE}'\n");
        let mut printed = String::new();
        let ended = timeout(within, self.exchange(&script, &mut printed)).await;
        match ended {
            Ok(Ok(true)) => Ok(printed.strip_suffix('\n').unwrap_or(&printed).to_owned()),
            Ok(Ok(false)) => {
                let status = self.bash.wait().await.map_err(Error::io("waiting for bash"))?;
                Err(Error::Command { command: command.to_owned(), status, output: printed })
            }
            Ok(Err(source)) => Err(Error::Io { doing: format!("running {command}"), source }),
            Err(_) => Err(Error::NotInTime { what: format!("{command} ends"), within, last: printed }),
        }
    }

    /// Whether the command came to its end; otherwise the shell did.
    async fn exchange(&mut self, script: &str, printed: &mut String) -> std::io::Result<bool> {
        self.input.write_all(script.as_bytes()).await?;
        self.input.flush().await?;
        while let Some(line) = self.output.next_line().await? {
            if line == DONE {
                return Ok(true);
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        Ok(false)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // A shell without an id has ended already, and drop can do nothing about one that cannot be killed.
        if let Some(group) = self.bash.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}
