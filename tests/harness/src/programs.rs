//! The operator and the simulator as processes.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{Error, Process, Program, Result, Workdir};

/// How long the simulator may take to start on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// How the operator is started.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The binary: `env!("CARGO_BIN_EXE_meshagent-operator")` in this package's tests.
    pub binary: PathBuf,
    /// Decides which cluster it works in, and with which rights.
    pub kubeconfig: PathBuf,
    /// Arguments after `run`.
    pub args: Vec<String>,
    /// Variables added to its environment.
    pub env: Vec<(String, String)>,
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    // After the process, which writes into it.
    workdir: Workdir,
}

impl Operator {
    /// Runs `meshagent-operator run` as a user would, with the kubeconfig in `KUBECONFIG`. It is not waited for.
    ///
    /// # Errors
    /// The binary cannot be executed.
    pub fn start(options: OperatorOptions) -> Result<Self> {
        let OperatorOptions { binary, kubeconfig, args, mut env } = options;
        let workdir = Workdir::create("operator")?;
        env.push(("KUBECONFIG".to_owned(), kubeconfig.display().to_string()));
        let process = Process::start(Program {
            name: "meshagent-operator".to_owned(),
            path: binary,
            args: ["run".to_owned()].into_iter().chain(args).collect(),
            env,
            log: workdir.path().join("operator.log"),
            stdout: None,
        })?;
        Ok(Self { process, workdir })
    }

    /// Its process: to be killed, frozen, restarted; its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its log is.
    #[must_use]
    pub fn workdir(&self) -> &Workdir {
        &self.workdir
    }
}

/// How the simulator is started.
#[derive(Clone, Debug, Default)]
pub struct SimulatorOptions {
    /// The binary; if `None`, the one that cargo built beside this program.
    pub binary: Option<PathBuf>,
    pub args: Vec<String>,
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    process: Process,
    announcement: Announcement,
    // After the process, which writes into it.
    workdir: Workdir,
}

/// What the simulator prints when it serves.
#[derive(Clone, Debug, Deserialize)]
struct Announcement {
    api: String,
    admin: String,
    projects: Vec<Project>,
}

/// A project that the simulator holds.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub project_id: String,
    /// A key that may manage its clients.
    pub api_key: String,
}

// Tests print what they compare, and a key never belongs there, not even one that opens nothing.
impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project").field("project_id", &self.project_id).finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It is not built, or does not start.
    pub async fn start(options: SimulatorOptions) -> Result<Self> {
        let workdir = Workdir::create("simulator")?;
        let path = match options.binary {
            Some(path) => path,
            None => built_binary("meshagent-simulator")?,
        };
        let process = Process::start(Program {
            name: "meshagent-simulator".to_owned(),
            path,
            args: options.args,
            env: vec![],
            log: workdir.path().join("simulator.log"),
            // Apart from the log, which failing tests print: it holds keys.
            stdout: Some(workdir.path().join("simulator.json")),
        })?;
        let announcement = process
            .eventually(START, "the simulator says where it serves", async || {
                let output = process.stdout();
                let line = output.split_inclusive('\n').find(|line| line.ends_with('\n')).ok_or("nothing")?;
                // The error would quote the line, and the line holds keys.
                serde_json::from_str(line).map_err(|_| "something else")
            })
            .await?;
        Ok(Self { process, announcement, workdir })
    }

    /// The base URL of its MeshAgent API.
    #[must_use]
    pub fn api(&self) -> &str {
        self.announcement.api.trim_end_matches('/')
    }

    /// The base URL of its admin API: the record of calls, faults.
    #[must_use]
    pub fn admin(&self) -> &str {
        self.announcement.admin.trim_end_matches('/')
    }

    /// Its projects.
    #[must_use]
    pub fn projects(&self) -> &[Project] {
        &self.announcement.projects
    }

    /// The record of the calls that its API got, as its admin API gives it.
    ///
    /// # Errors
    /// It does not answer, or not with JSON.
    pub async fn calls(&self) -> Result<serde_json::Value> {
        let path = format!("{}/calls", self.admin());
        let answer = async { reqwest::get(&path).await?.error_for_status()?.json().await }.await;
        answer.map_err(|source| Error::Simulator { path, source })
    }

    /// Its process: to be killed, frozen; its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its log is.
    #[must_use]
    pub fn workdir(&self) -> &Workdir {
        &self.workdir
    }
}

/// A binary of this workspace that cargo built with the same profile as the running program.
///
/// # Errors
/// It is not there; the error says how to build it.
pub fn built_binary(name: &str) -> Result<PathBuf> {
    let running = env::current_exe().map_err(Error::io("finding the running program"))?;
    // Tests are in target/<profile>/deps, binaries one above.
    let directory = running.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let path = directory.unwrap_or(Path::new(".")).join(name);
    if path.is_file() {
        return Ok(path);
    }
    let remedy = format!("run cargo build -p {name} with the same profile first");
    Err(Error::Missing { name: name.to_owned(), path, remedy })
}
