//! The table.

use std::fmt;
use std::time::Duration;

use crate::bare::CONCURRENCY;
use crate::mass::{Created, Phase};
use crate::process::Memory;
use crate::requests::words;
use crate::script::{Changes, Figures, Idle, Kept, Round};
use crate::webhook::Admissions;

/// All figures of a run; shown as a table in Markdown.
pub struct Report {
    pub count: usize,
    pub operator: Figures,
    /// `None` if it was left out.
    pub bare: Option<Changes>,
    /// What was done again by both.
    pub rounds: Vec<Round>,
    pub admissions: Admissions,
}

/// The figures of a run that measures memory alone; shown as a table in Markdown.
pub struct MemoryReport {
    pub count: usize,
    pub kept: Kept,
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept { empty, restart, idle, admitted } = &self.kept;
        let each = idle.memory.resident.saturating_sub(empty.memory.resident) as f64 / self.count as f64;
        let rows = [
            ("memory with one client: resident, peak".to_owned(), megabytes(&empty.memory)),
            ("memory after a start: resident, peak".to_owned(), megabytes(&restart.memory)),
            ("memory after a start and idle resyncs: resident, peak".to_owned(), megabytes(&idle.memory)),
            ("memory of each client".to_owned(), format!("{:.1} kB", each / 1e3)),
            ("start: ready, at rest".to_owned(), pair(seconds(restart.ready), seconds(restart.quiet))),
            ("start: CPU, requests".to_owned(), format!("{}, {} GET", seconds(restart.cpu), restart.pages)),
            (idle_words(idle), format!("{}, {} GET", seconds(idle.cpu), idle.pages)),
            admitted_row(self.count, admitted),
        ];
        writeln!(f, "| {} clients | operator |\n| --- | --- |", self.count)?;
        rows.iter().try_for_each(|(what, operator)| writeln!(f, "| {what} | {operator} |"))
    }
}

fn admitted_row(count: usize, admitted: &[Duration]) -> (String, String) {
    let what = format!("webhook: one admission while {count} clients are resynced without a pause: p50, p99");
    (what, format!("{} (of {})", millis(admitted), admitted.len()))
}

fn idle_words(idle: &Idle) -> String {
    format!("an idle resync (one each {:.0} s): CPU, requests", idle.interval.as_secs_f64())
}

/// The rows of a table.
struct Rows(Vec<[String; 4]>);

impl Rows {
    fn row(&mut self, what: impl Into<String>, operator: String, bare: String, ratio: String) {
        self.0.push([what.into(), operator, bare, ratio]);
    }

    /// A row about the operator alone.
    fn one(&mut self, what: impl Into<String>, operator: String) {
        self.row(what, operator, String::new(), String::new());
    }

    /// A row of rates: the middle ones of all rounds, and all ratios.
    fn rates(&mut self, what: &str, operator: &[f64], bare: &[f64]) {
        let ratios: Vec<f64> = operator.iter().zip(bare).map(|(operator, bare)| operator / bare).collect();
        let of = |rates: &[f64]| median(rates).map(|rate| format!("{rate:.0}/s")).unwrap_or_default();
        let mut ratio = median(&ratios).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        if ratios.len() > 1 {
            let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            ratio = format!("**{ratio}** ({})", each.join(", "));
        }
        self.row(what, of(operator), of(bare), ratio);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Rows(Vec::new());
        self.speed(&mut rows);
        self.single(&mut rows);
        self.requests(&mut rows);
        self.cost(&mut rows);
        self.admissions(&mut rows);
        writeln!(f, "| {} clients | operator | bare client | ratio |\n| --- | --- | --- | --- |", self.count)?;
        rows.0
            .iter()
            .try_for_each(|[what, operator, bare, ratio]| writeln!(f, "| {what} | {operator} | {bare} | {ratio} |"))
    }
}

impl Report {
    fn speed(&self, rows: &mut Rows) {
        for (number, (what, until, _)) in self.operator.changes.phases().into_iter().enumerate() {
            let rates = |all: Vec<&Phase>| all.into_iter().map(Phase::rate).collect::<Vec<_>>();
            let (operator, bare) = (rates(self.by_operator(number)), rates(self.by_bare(number)));
            rows.rates(&format!("{what}, {until}"), &operator, &bare);
        }
        rows.one("after that: Secrets that the garbage collector removes", format!("{:.0}/s", self.operator.collected));
        for (number, (what, ..)) in self.operator.changes.phases().into_iter().enumerate() {
            let (operator, bare) = (self.by_operator(number), self.by_bare(number));
            rows.row(format!("CPU: {what}"), mean_cpu(&operator), mean_cpu(&bare), String::new());
        }
    }

    /// One of the changes in each round, as the operator followed.
    fn by_operator(&self, number: usize) -> Vec<&Phase> {
        let all = [&self.operator.changes].into_iter().chain(self.rounds.iter().map(|round| &round.operator));
        all.map(|changes| changes.phases()[number].2).collect()
    }

    /// The same as the bare client followed.
    fn by_bare(&self, number: usize) -> Vec<&Phase> {
        let all = self.bare.iter().chain(self.rounds.iter().map(|round| &round.bare));
        all.map(|changes| changes.phases()[number].2).collect()
    }

    /// What users did to all clients in the first round, by its name, as the operator and the bare client followed.
    fn phases(&self) -> impl Iterator<Item = (&'static str, &Phase, Option<&Phase>)> {
        let bare = self.bare.as_ref().map(Changes::phases);
        let operator = self.operator.changes.phases().into_iter().enumerate();
        operator.map(move |(number, (what, _, operator))| (what, operator, bare.map(|bare| bare[number].2)))
    }

    fn single(&self, rows: &mut Rows) {
        let Figures { changes: Changes { created, .. }, neighbours, empty, first_client, .. } = &self.operator;
        let bare = self.bare.as_ref().map(|bare| &bare.created);
        let what = format!("one client among {}, from apply to Ready: p50, p99", self.count);
        let both = |times: &Vec<Duration>| format!("{}, {} (of {})", p(times, 50), p(times, 99), times.len());
        let theirs = |of: fn(&Created) -> &Vec<Duration>| bare.map(|bare| both(of(bare))).unwrap_or_default();
        rows.row(what, both(&created.ready), theirs(|created| &created.ready), String::new());
        let what = "one edit meanwhile, until applied: p50, p99";
        rows.row(what, both(&created.edited), theirs(|created| &created.edited), String::new());
        rows.one("start with one client: ready, that client Ready", pair(seconds(empty.ready), seconds(*first_client)));
        let apart = |times: &[Duration]| format!("{}, {}", p(times, 50), p(times, 100));
        rows.one("10 clients applied at once, until Ready: p50, slowest", apart(&neighbours.alone));
        let what = "the same beside a project that hangs and one that answers 429, with 40 clients each";
        rows.one(what, apart(&neighbours.beside));
    }

    fn requests(&self, rows: &mut Rows) {
        for (what, operator, bare) in self.phases() {
            let same = |bare: &Phase| operator.requests.budgeted == bare.requests.budgeted;
            let theirs = |bare| if same(bare) { "the same".to_owned() } else { bare.requests.in_words() };
            let theirs = bare.map(theirs).unwrap_or_default();
            rows.row(format!("requests: {what}"), operator.requests.in_words(), theirs, String::new());
            let besides = |of: &Phase| {
                let Phase { requests, events, .. } = of;
                format!("{} Events ({events} by then); {}", requests.events, words(&requests.elsewhere))
            };
            let what = format!("besides, {what}: Events (by the end of what is timed), and outside of the namespace");
            rows.row(what, besides(operator), bare.map(besides).unwrap_or_default(), String::new());
        }
    }

    fn cost(&self, rows: &mut Rows) {
        let Figures { empty, changes, after_creating, idle, restart, first_rotation, .. } = &self.operator;
        let created = &changes.created;
        let each = created.phase.cpu_of("operator") / u32::try_from(created.clients).unwrap_or(u32::MAX);
        rows.one("CPU of the operator for each create", format!("{:.1} ms", each.as_secs_f64() * 1e3));
        rows.one(idle_words(idle), format!("{}, {} GET", seconds(idle.cpu), idle.pages));
        rows.one("restart: ready, at rest", pair(seconds(restart.ready), seconds(restart.quiet)));
        rows.one("restart: CPU, requests", format!("{}, {} GET", seconds(restart.cpu), restart.pages));
        rows.one("a rotation that is asked for right after a restart", seconds(*first_rotation));
        for (when, memory) in [
            ("with one client", &empty.memory),
            ("after creating", after_creating),
            ("after a restart and idle resyncs", &idle.memory),
            ("after a restart", &restart.memory),
        ] {
            rows.one(format!("memory {when}: resident, peak"), megabytes(memory));
        }
    }

    fn admissions(&self, rows: &mut Rows) {
        let Admissions { core, rate, cpu, busy, single, before, after } = &self.admissions;
        let on = core.map_or("on any core", |_| "on one core");
        rows.one(format!("webhook {on}, 8 connections: admissions"), format!("{rate:.0}/s"));
        rows.one("webhook: one admission of 8 at a time: p50, p99", millis(busy));
        rows.one("webhook: one admission alone: p50, p99", millis(single));
        let (what, beside) = admitted_row(self.count, &self.operator.admitted);
        rows.one(what, beside);
        let each = cpu.as_secs_f64() * 1e6 / busy.len() as f64;
        rows.one("webhook: CPU for each admission", format!("{each:.0} µs"));
        rows.one("webhook: memory before: resident, peak", megabytes(before));
        rows.one(format!("webhook: memory after {} admissions: resident, peak", busy.len()), megabytes(after));
        rows.one("concurrency of the bare client", CONCURRENCY.to_string());
    }
}

/// The mean CPU time of each process over the rounds.
fn mean_cpu(rounds: &[&Phase]) -> String {
    let Some((first, count)) = rounds.first().zip(u32::try_from(rounds.len()).ok()) else { return String::new() };
    let mean = |process: &str| rounds.iter().map(|phase| phase.cpu_of(process)).sum::<Duration>() / count;
    let times = first.cpu.iter().map(|(process, _)| format!("{process} {}", seconds(mean(process))));
    times.collect::<Vec<_>>().join(", ")
}

/// p50 and p99 in milliseconds.
fn millis(times: &[Duration]) -> String {
    format!("{}, {}", ms(times, 50), ms(times, 99))
}

/// The time that so many of a hundred do not exceed.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

/// The middle one, or the mean of the two middle ones.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |at: usize| sorted.get(at).copied();
    let upper = middle(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (middle(sorted.len() / 2 - 1)? + upper) / 2.0 })
}

fn p(times: &[Duration], percent: usize) -> String {
    seconds(percentile(times, percent))
}

fn ms(times: &[Duration], percent: usize) -> String {
    format!("{:.2} ms", percentile(times, percent).as_secs_f64() * 1e3)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn pair(one: String, other: String) -> String {
    format!("{one}, {other}")
}

fn megabytes(memory: &Memory) -> String {
    let Memory { resident, peak } = memory;
    format!("{:.1}, {:.1} MB", *resident as f64 / 1e6, *peak as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([median(&[]), median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])], [None, Some(2.0), Some(2.5)]);
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |percent| percentile(&times, percent).as_millis();
        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
