//! The programs of a control plane: built once a machine, or those of `KUBEBUILDER_ASSETS`.

use std::{
    env::{
        self,
        consts::{ARCH, OS},
    },
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A Go module whose one binary is built and kept.
struct Module {
    /// The name of the binary.
    name: &'static str,
    /// The folder of the module, beside this crate's.
    folder: &'static str,
    package: &'static str,
    /// The names that the binary is called by.
    tools: &'static [&'static str],
    /// The Go that builds it, if the one that is installed may be too old: Go itself fetches it.
    toolchain: Option<&'static str>,
    about: &'static str,
}

const CONTROL_PLANE: Module = Module {
    name: "controlplane",
    folder: "controlplane",
    package: ".",
    tools: &[
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
        "kubectl",
        "kstatus",
        "signin",
    ],
    toolchain: None,
    about: "etcd, Kubernetes' control plane, kubectl and kwok from source (once; about 7 minutes on two cores)",
};

/// Helm is a module of its own, since only the chart's tests need it.
const HELM: Module = Module {
    name: "helm",
    folder: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    tools: &["helm"],
    toolchain: None,
    about: "Helm from source (once; half a minute on two cores after the control plane, else two)",
};

/// kube-score is a module of its own, since it is built against another version of Kubernetes.
const KUBE_SCORE: Module = Module {
    name: "kubescore",
    folder: "kubescore",
    package: "github.com/zegl/kube-score/cmd/kube-score",
    tools: &["kube-score"],
    toolchain: None,
    about: "kube-score from source (once; half a minute on two cores)",
};

/// kubeconform shares kube-score's module, whose packages it needs too.
const KUBECONFORM: Module = Module {
    name: "kubeconform",
    folder: "kubescore",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    tools: &["kubeconform"],
    toolchain: None,
    about: "kubeconform from source (once; seconds)",
};

/// gitopsdiff is a module of its own: Argo CD's and Flux's libraries need a newer Go than the rest, and many packages.
const GITOPSDIFF: Module = Module {
    name: "gitopsdiff",
    folder: "gitopsdiff",
    package: ".",
    tools: &["gitopsdiff"],
    toolchain: Some("go1.27.3"),
    about: "Argo CD's and Flux's diff from source (once; more than five minutes of CPU)",
};

/// After how many compiled packages the log says how far a build is.
const TELL_EACH: usize = 100;

/// Clients and Helm ask a control plane for its version, which it lacks without these flags.
const LDFLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=37";

/// Finds `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubectl`, `kube-scheduler`, `kwok`, `kstatus`, `signin`,
/// `helm`, `kube-score`, `kubeconform` or `gitopsdiff`: the first four in `KUBEBUILDER_ASSETS` if that is set, else in the user's cache,
/// where it is built first if it is not there.
///
/// # Errors
/// `KUBEBUILDER_ASSETS` lacks the program, or the build fails.
pub fn tool(name: &str) -> Result<PathBuf> {
    if let Some(module) = [HELM, KUBE_SCORE, KUBECONFORM, GITOPSDIFF].iter().find(|module| module.tools.contains(&name))
    {
        return Ok(built(module)?.join(name));
    }
    let is_theirs = !matches!(name, "kube-scheduler" | "kwok" | "kstatus" | "signin");
    match env::var_os("KUBEBUILDER_ASSETS").filter(|assets| is_theirs && !assets.is_empty()) {
        Some(assets) => {
            let path = Path::new(&assets).join(name);
            let remedy = "KUBEBUILDER_ASSETS is set and lacks it; put it there (the usual assets have no \
                kube-controller-manager), or unset KUBEBUILDER_ASSETS to have all of them built";
            if path.is_file() {
                Ok(path)
            } else {
                Err(Error::Missing { name: name.to_owned(), path, remedy: remedy.to_owned() })
            }
        }
        None => Ok(built_directory()?.join(name)),
    }
}

/// Returns the directory in the user's cache that holds the control plane built from this tree's sources, and builds it
/// first if it is not there. A fresh clone with the same sources finds it.
///
/// # Errors
/// Go is missing, or the build fails.
pub fn built_directory() -> Result<PathBuf> {
    built(&CONTROL_PLANE)
}

fn built(module: &Module) -> Result<PathBuf> {
    // The lock allows one build per process; another process may build at the same time, and the first to finish wins.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = cache()?.join(format!("{}-{}", module.name, hash(module)?));
    if !directory.is_dir() {
        build(module, &directory)?;
    }
    Ok(directory)
}

fn cache() -> Result<PathBuf> {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("XDG_CACHE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("meshagent-operator"))
        .ok_or_else(|| Error::Missing {
            name: "the cache".to_owned(),
            path: PathBuf::from("$HOME/.cache"),
            remedy: "set HOME or XDG_CACHE_HOME".to_owned(),
        })
}

fn sources(module: &Module) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(module.folder)
}

fn hash(module: &Module) -> Result<String> {
    let (sources, mut files) = (sources(module), vec![]);
    collect_sources(&sources, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for part in [OS, ARCH, LDFLAGS].into_iter().chain(module.toolchain) {
        hash.update(format!("{part}\n"));
    }
    for file in files {
        let content = fs::read(&file).map_err(Error::io(format!("reading {}", file.display())))?;
        let name = file.strip_prefix(&sources).unwrap_or(&file).display();
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect_sources(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || Error::io(format!("reading {}", directory.display()));
    for entry in fs::read_dir(directory).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            collect_sources(&path, files)?;
        } else if name == "go.mod" || name == "go.sum" || (name.ends_with(".go") && !name.ends_with("_test.go")) {
            files.push(path);
        }
    }
    Ok(())
}

/// Builds into a directory of another name and renames that, so that no process finds half a binary.
fn build(module: &Module, directory: &Path) -> Result<()> {
    say(&format!("building {}", module.about));
    let began = Instant::now();
    let cache = directory.parent().unwrap_or(directory);
    fs::create_dir_all(cache).map_err(Error::io(format!("making {}", cache.display())))?;
    let unfinished = tempfile::Builder::new()
        .prefix("unfinished-")
        .tempdir_in(cache)
        .map_err(Error::io(format!("making a directory in {}", cache.display())))?;
    let binary = unfinished.path().join(module.name);
    compile(module, &binary)?;
    for tool in module.tools.iter().filter(|tool| **tool != module.name) {
        symlink(module.name, unfinished.path().join(tool)).map_err(Error::io(format!("linking {tool}")))?;
    }
    match fs::rename(unfinished.path(), directory) {
        // Another process was first: the same sources, the same binary.
        Err(_) if directory.is_dir() => {}
        renamed => renamed.map_err(Error::io(format!("making {}", directory.display())))?,
    }
    say(&format!("built in {} s: {}", began.elapsed().as_secs(), directory.display()));
    Ok(())
}

/// Compiles a module's package, and says how far that is.
fn compile(module: &Module, binary: &Path) -> Result<()> {
    let running = || Error::io("running go (Go 1.26 or newer builds the control plane)");
    let listed = go(module).args(["list", "-deps", module.package]).stderr(Stdio::inherit()).output();
    let packages = listed.map_err(running())?.stdout.lines().count();
    let mut build = go(module);
    // -v names each package as it is compiled, and none that is kept from an earlier build.
    build.args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", LDFLAGS, "-o"]).arg(binary);
    let mut build = build.arg(module.package).stderr(Stdio::piped()).spawn().map_err(running())?;
    let lines = build.stderr.take().into_iter().flat_map(|said| BufReader::new(said).lines());
    let mut compiled = 0;
    for line in lines.map_while(std::result::Result::ok) {
        if line.contains(' ') {
            say(&line);
            continue;
        }
        compiled += 1;
        if compiled % TELL_EACH == 0 {
            say(&format!("compiled {compiled} of at most {packages} packages"));
        }
    }
    let status = build.wait().map_err(running())?;
    if !status.success() {
        let command = format!("go build in {}", sources(module).display());
        return Err(Error::Command { command, status, output: "see above".to_owned() });
    }
    Ok(())
}

fn go(module: &Module) -> Command {
    let mut command = Command::new("go");
    command.current_dir(sources(module)).env("CGO_ENABLED", "0");
    if let Some(toolchain) = module.toolchain {
        command.env("GOTOOLCHAIN", toolchain);
    }
    command
}

/// Prints a line at once, also in a test, whose `eprintln!` is held back.
fn say(line: &str) {
    // A standard error that nobody reads is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
