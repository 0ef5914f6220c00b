//! Children die with their parent, even if the parent is killed.
//!
//! Linux's parent-death signal is bound to the thread that forked and needs unsafe code. Instead each parent process
//! has one shell that reads from a pipe what is to be cleaned up. The kernel closes the pipe however the parent ends;
//! then the shell kills the children that are left and removes their directories.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::{Error, Result};

const SCRIPT: &str = r#"
pids=" "
directories="
"
while IFS=' ' read -r verb what; do
  case $verb in
    watch) pids="$pids$what " ;;
    forget) pids="${pids%% "$what" *} ${pids#* "$what" }" ;;
    own) directories="$directories$what
" ;;
    keep) directories="${directories%%
"$what"
*}
${directories#*
"$what"
}" ;;
  esac
done
for pid in $pids; do kill -KILL "$pid"; done
printf '%s' "$directories" | while IFS= read -r directory; do
  [ -z "$directory" ] || rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
done
"#;

static WATCHDOG: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// Kills the process `pid` when this process ends.
pub(crate) fn watch(pid: u32) -> Result<()> {
    tell(&format!("watch {pid}"))
}

/// Takes back [`watch`]: call it when the process was reaped, since its number may then be given to another.
pub(crate) fn forget(pid: u32) -> Result<()> {
    tell(&format!("forget {pid}"))
}

/// Removes the directory when this process ends.
pub(crate) fn own(directory: &Path) -> Result<()> {
    tell(&format!("own {}", directory.display()))
}

/// Takes back [`own`].
pub(crate) fn keep(directory: &Path) -> Result<()> {
    tell(&format!("keep {}", directory.display()))
}

fn tell(line: &str) -> Result<()> {
    let stdin = match WATCHDOG.get() {
        Some(stdin) => stdin,
        // Two first callers at once start a watchdog each; the second one's pipe closes with nothing to clean up.
        None => {
            let started = start()?;
            WATCHDOG.get_or_init(|| Mutex::new(started))
        }
    };
    let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
    // The line is a single write, so that a parent killed in between leaves no half line.
    stdin.write_all(format!("{line}\n").as_bytes()).map_err(Error::io("telling the watchdog"))
}

fn start() -> Result<ChildStdin> {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT, "watchdog"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to the terminal's process group; the watchdog must outlive it.
        .process_group(0)
        .spawn()
        .map_err(Error::io("starting the watchdog"))?;
    child.stdin.take().ok_or_else(|| Error::NotRunning { process: "the watchdog".to_owned() })
}
