//! What the kernel counts of a process.

use std::fs;
use std::time::Duration;

use crate::error::{Error, Result};

/// Linux counts CPU time for programs in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// The CPU time that a process has taken so far, in user and kernel mode.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(Error::io(format!("reading {path}")))?;
    // The second field, the program's name, may hold spaces; it ends at the last parenthesis.
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    // Of proc_pid_stat(5)'s fields, 14 and 15; the third is the first that is left here.
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

/// How many files a process has open.
pub fn open_files(pid: u32) -> Result<u64> {
    entries(&format!("/proc/{pid}/fd"))
}

/// How many threads a process has.
pub fn threads(pid: u32) -> Result<u64> {
    entries(&format!("/proc/{pid}/task"))
}

fn entries(path: &str) -> Result<u64> {
    let entries = fs::read_dir(path).map_err(Error::io(format!("reading {path}")))?;
    Ok(u64::try_from(entries.count()).unwrap_or(u64::MAX))
}

/// The memory of a process now.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(Error::io(format!("reading {path}")))?;
    let bytes = |field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| Error::Unexpected(format!("{path} has no {field}")))
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}
