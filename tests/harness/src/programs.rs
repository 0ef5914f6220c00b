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
    /// The kubeconfig, which decides the cluster and the operator's rights.
    pub kubeconfig: PathBuf,
    /// Arguments after `run`.
    pub args: Vec<String>,
    /// Variables added to the operator's environment.
    pub env: Vec<(String, String)>,
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    // The directory drops after the process, which writes into it.
    workdir: Workdir,
}

impl Operator {
    /// Runs `meshagent-operator run` as a user would, with the kubeconfig in `KUBECONFIG`, and does not wait for it.
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

    /// The process, for killing, freezing, restarting, and its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The directory of the operator's log.
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
    // The directory drops after the process, which writes into it.
    workdir: Workdir,
}

/// The line that the simulator prints when it serves.
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
    /// A key that may manage the project's clients.
    pub api_key: String,
}

// Tests print what they compare, and a key never belongs there, not even one that opens nothing.
impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project").field("project_id", &self.project_id).finish_non_exhaustive()
    }
}

impl Simulator {
    /// Starts the simulator and waits until it serves.
    ///
    /// # Errors
    /// The simulator is not built, or does not start.
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
            // The keys on standard output stay out of the log, which failing tests print.
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

    /// The base URL of the simulated MeshAgent API.
    #[must_use]
    pub fn api(&self) -> &str {
        self.announcement.api.trim_end_matches('/')
    }

    /// The base URL of the admin API, which has the record of calls and the faults.
    #[must_use]
    pub fn admin(&self) -> &str {
        self.announcement.admin.trim_end_matches('/')
    }

    /// The projects that the simulator began with.
    #[must_use]
    pub fn projects(&self) -> &[Project] {
        &self.announcement.projects
    }

    /// The record of the calls to the API, as the admin API gives it.
    ///
    /// # Errors
    /// The admin API does not answer, or not with JSON.
    pub async fn calls(&self) -> Result<serde_json::Value> {
        let path = format!("{}/calls", self.admin());
        let answer = async { reqwest::get(&path).await?.error_for_status()?.json().await }.await;
        answer.map_err(|source| Error::Simulator { path, source })
    }

    /// The process, for killing, freezing, and its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The directory of the simulator's log.
    #[must_use]
    pub fn workdir(&self) -> &Workdir {
        &self.workdir
    }
}

/// A binary of this workspace that cargo built with the same profile as the running program.
///
/// # Errors
/// The binary is not there; the error says how to build it.
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
