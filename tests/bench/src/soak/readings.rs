//! What the replica that is spared and the API server hold, read after each round.

use std::fmt;

use crate::error::{Error, Result};
use crate::process;
use crate::stage::Stage;

use super::replicas::Replicas;

/// How many rounds it takes until growth can be told from beginnings.
const TELLING: usize = 8;

/// What is there after one round.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The process that was read.
    pid: u32,
    /// Whether it led: a replica that stands by has neither caches nor watches.
    leads: bool,
    /// Bytes.
    resident: u64,
    files: u64,
    threads: u64,
    /// Tasks of the runtime.
    tasks: u64,
    clients: u64,
    secrets: u64,
    leases: u64,
}

/// The readings of all rounds.
#[derive(Debug, Default)]
pub struct Readings(Vec<Reading>);

impl Readings {
    /// Reads.
    pub async fn take(&mut self, stage: &Stage, replicas: &Replicas) -> Result<()> {
        let replica = replicas.spared();
        let pid = replica.operator.process().pid();
        let pid = pid.ok_or_else(|| Error::Unexpected("the replica that is read has ended".to_owned()))?;
        let [clients, secrets, leases] = stage.count_objects().await?;
        self.0.push(Reading {
            pid,
            leads: replica.gauge("leader").await? == 1,
            resident: process::memory(pid)?.resident,
            files: process::open_files(pid)?,
            threads: process::threads(pid)?,
            tasks: replica.gauge("tasks").await?,
            clients,
            secrets,
            leases,
        });
        Ok(())
    }

    /// The last reading, in words.
    pub fn last(&self) -> String {
        self.0.last().map(ToString::to_string).unwrap_or_default()
    }

    /// What has grown in the process that was read last, between the second quarter of the rounds in which it led, or stood
    /// by, as it did in the last one, and the last quarter; the first quarter fills caches. Too few rounds tell nothing.
    pub fn growth(&self) -> Vec<String> {
        let alike = |reading: &Reading| (reading.pid, reading.leads);
        let last = self.0.last().map(alike);
        let own: Vec<Reading> = self.0.iter().filter(|reading| Some(alike(reading)) == last).copied().collect();
        if own.len() < TELLING {
            return Vec::new();
        }
        let quarter = own.len() / 4;
        let (early, late) = (&own[quarter..2 * quarter], &own[own.len() - quarter..]);
        let of = |what: &str, read: fn(&Reading) -> u64, spare: u64| {
            let most = |readings: &[Reading]| readings.iter().map(read).max().unwrap_or_default();
            let (before, after) = (most(early), most(late));
            (after > before + spare)
                .then(|| format!("{what}: at most {before} in the second quarter, {after} in the last"))
        };
        // Connections and tasks of calls under way come and go; megabytes are the allocator's to keep for a while.
        let grown = [
            of("bytes of memory", |reading| reading.resident, 8_000_000),
            of("open files", |reading| reading.files, 8),
            of("threads", |reading| reading.threads, 1),
            of("tasks", |reading| reading.tasks, 16),
            of("Leases", |reading| reading.leases, 0),
        ];
        grown.into_iter().flatten().collect()
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid: _, leads: _, resident, files, threads, tasks, clients, secrets, leases } = self;
        write!(f, "{:.1} MB, {files} files, {threads} threads, {tasks} tasks; ", *resident as f64 / 1e6)?;
        write!(f, "{clients} OAuthClients, {secrets} Secrets, {leases} Leases")
    }
}

impl fmt::Display for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(all) = self;
        writeln!(f, "| round | process | memory | files | threads | tasks | OAuthClients | Secrets | Leases |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        // A row for each tenth is enough to see where it goes.
        let step = all.len().div_ceil(10).max(1);
        for (round, reading) in all.iter().enumerate().filter(|(round, _)| round % step == 0 || round + 1 == all.len())
        {
            let Reading { pid, leads: _, resident, files, threads, tasks, clients, secrets, leases } = reading;
            let (round, megabytes) = (round + 1, *resident as f64 / 1e6);
            writeln!(
                f,
                "| {round} | {pid} | {megabytes:.1} MB | {files} | {threads} | {tasks} | {clients} | {secrets} | {leases} |"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_between_the_second_quarter_and_the_last_is_told() {
        let read = |files: fn(u64) -> u64| {
            Readings((0..16).map(|round| Reading { files: files(round), ..Reading::default() }).collect()).growth()
        };
        assert_eq!(read(|_| 20), Vec::<String>::new());
        assert_eq!(read(|round| if round < 4 { 10 } else { 40 }), Vec::<String>::new(), "it was filled at first");
        let restarted = |round| Reading { pid: u32::try_from(round / 12).unwrap(), files: round, ..Reading::default() };
        assert_eq!(Readings((0..16).map(restarted).collect()).growth(), Vec::<String>::new(), "a new process");
        let begins_to_lead =
            |round| Reading { leads: round >= 6, files: if round >= 6 { 30 } else { 10 }, ..Reading::default() };
        assert_eq!(Readings((0..16).map(begins_to_lead).collect()).growth(), Vec::<String>::new(), "it leads");
        assert_eq!(read(|round| 20 + 2 * round), ["open files: at most 34 in the second quarter, 50 in the last"]);
    }
}
