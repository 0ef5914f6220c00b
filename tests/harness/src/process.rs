//! Child processes that can be killed, frozen and started again.

use std::{
    fmt::Display,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::{Error, Result, eventually, watchdog};

/// How many lines of a log a failing test prints.
const TAIL: usize = 40;

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program's name in messages.
    pub name: String,
    /// The file to execute.
    pub path: PathBuf,
    pub args: Vec<String>,
    /// Variables added to this process's environment.
    pub env: Vec<(String, String)>,
    /// The file of the standard error, appended to over restarts.
    pub log: PathBuf,
    /// The file of the standard output, written afresh at each start; the log if `None`.
    pub stdout: Option<PathBuf>,
}

/// A child process, killed when it is dropped and when this process ends in whatever way.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts the program.
    ///
    /// # Errors
    /// The program cannot be executed, or its log cannot be opened.
    pub fn start(program: Program) -> Result<Self> {
        let child = spawn(&program)?;
        Ok(Self { program, child: Mutex::new(Some(child)) })
    }

    /// The process's name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// The process id; `None` if the process does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// The exit status, if the process has ended since the last check.
    ///
    /// # Errors
    /// The operating system refused to say.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child();
        let Some(running) = child.as_mut() else { return Ok(None) };
        let ended = running.try_wait().map_err(Error::io(format!("waiting for {}", self.name())))?;
        if ended.is_some() {
            watchdog::forget(running.id())?;
            *child = None;
        }
        Ok(ended)
    }

    /// Fails unless the process runs.
    ///
    /// # Errors
    /// The process does not run. If it has ended by itself since the last check, the error holds the exit status and
    /// the end of the log.
    pub fn check_running(&self) -> Result<()> {
        let process = self.name().to_owned();
        match self.ended()? {
            Some(status) => Err(Error::Ended { process, status, log: self.log_tail() }),
            None if self.pid().is_none() => Err(Error::NotRunning { process }),
            None => Ok(()),
        }
    }

    /// Calls `look` again and again until it succeeds, and fails at once if the process ends meanwhile.
    ///
    /// # Errors
    /// The process has ended, or `look` did not succeed within the given time.
    pub async fn eventually<T, E: Display>(
        &self,
        within: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T> {
        let value = eventually(within, what, async || match self.check_running() {
            Ok(()) => look().await.map(Ok),
            Err(ended) => Ok(Err(ended)),
        })
        .await??;
        // Another process may have taken its port and be what answered.
        self.check_running()?;
        Ok(value)
    }

    /// Kills the process with SIGKILL, frozen or not, and waits until it is gone. Does nothing if it does not run.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn kill(&self) -> Result<()> {
        match self.child().take() {
            Some(child) => kill(child, self.name()),
            None => Ok(()),
        }
    }

    /// Sends SIGTERM and waits for the process to end.
    ///
    /// # Errors
    /// The process does not run, or did not end in time; then it still runs.
    pub async fn terminate(&self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_exit(within).await
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// The process does not run, or did not end in time; then it still runs.
    pub async fn wait_exit(&self, within: Duration) -> Result<ExitStatus> {
        if self.pid().is_none() {
            return Err(Error::NotRunning { process: self.name().to_owned() });
        }
        eventually(within, &format!("{} ends", self.name()), async || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        })
        .await
    }

    /// Stops the execution with SIGSTOP: the connections stay open and nothing answers.
    ///
    /// # Errors
    /// The process does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets the process go on after [`Process::freeze`].
    ///
    /// # Errors
    /// The process does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Kills the process if it runs, and starts it with the same arguments, hence on the same port and data.
    ///
    /// # Errors
    /// The program cannot be executed again.
    pub fn restart(&self) -> Result<()> {
        self.kill()?;
        let child = spawn(&self.program)?;
        *self.child() = Some(child);
        Ok(())
    }

    /// The whole log, unreadable bytes replaced; empty if there is no log.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.program.log)
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// The content of the file of the standard output; empty if there is none.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.program.stdout.as_deref().map(read_lossy).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.name().to_owned();
        let child = self.child();
        // An unreaped child's number is not reused, so the signal cannot meet another process.
        let pid = child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        let Some(pid) = pid else {
            return Err(Error::NotRunning { process });
        };
        signal::kill(Pid::from_raw(pid), signal).map_err(|source| Error::Signal { signal, process, source })
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of {}'s log\n{}\n---", self.name(), self.log_tail());
        }
        // Drop can do nothing about a process that cannot be killed.
        let _ = self.kill();
    }
}

fn spawn(program: &Program) -> Result<Child> {
    let doing = || Error::io(format!("opening the log of {}", program.name));
    let log = OpenOptions::new().create(true).append(true).open(&program.log).map_err(doing())?;
    let stdout = match &program.stdout {
        Some(path) => File::create(path).map_err(doing())?,
        None => log.try_clone().map_err(doing())?,
    };
    let child = Command::new(&program.path)
        .args(&program.args)
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(log)
        .spawn()
        .map_err(Error::io(format!("starting {} ({})", program.name, program.path.display())))?;
    match watchdog::watch(child.id()) {
        Ok(()) => Ok(child),
        Err(error) => {
            kill(child, &program.name)?;
            Err(error)
        }
    }
}

fn kill(mut child: Child, name: &str) -> Result<()> {
    child.kill().map_err(Error::io(format!("killing {name}")))?;
    child.wait().map_err(Error::io(format!("waiting for {name}")))?;
    watchdog::forget(child.id())
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
