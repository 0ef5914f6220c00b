//! What is done, in order: on a stage with the operator, and on another one with the bare client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::eventually;
use simulator::admin::Call;

use crate::bare::{Bare, Sender};
use crate::error::{Error, Result};
use crate::mass::{Created, Mass, Phase};
use crate::neighbours::{self, Neighbours};
use crate::observer::Goal;
use crate::pattern::Pattern;
use crate::process::Memory;
use crate::requests::{Budget, Requests};
use crate::stage::{START, Stage};
use crate::webhook::Webhook;

/// How many idle resyncs are measured.
const RESYNCS: usize = 3;
/// How many clients MeshAgent's API shows on a page, as the operator asks for them.
const PAGE: usize = 100;

/// What an operator costs that starts with clients that are converged, or with none but the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// From the start of the process until it says that it is ready.
    pub ready: Duration,
    /// Until it does nothing more.
    pub quiet: Duration,
    pub cpu: Duration,
    pub memory: Memory,
    pub pages: usize,
}

/// What the resyncs of converged clients cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// The CPU time of one resync, and of all that goes on until the next.
    pub cpu: Duration,
    pub interval: Duration,
    /// The pages that one resync asked for.
    pub pages: usize,
    pub memory: Memory,
}

/// What users did to all clients, as an operator or the bare client followed.
pub struct Changes {
    pub created: Created,
    pub edited: Phase,
    pub rotated: Phase,
    pub deleted: Phase,
}

/// The same done once by the operator and once by the bare client, one right after the other.
pub struct Round {
    pub operator: Changes,
    pub bare: Changes,
}

/// The figures of the operator.
pub struct Figures {
    /// From the start of the process until the client that was there is Ready.
    pub first_client: Duration,
    pub empty: Start,
    pub changes: Changes,
    pub after_creating: Memory,
    pub idle: Idle,
    pub restart: Start,
    /// How long a rotation takes that is asked for right after a restart.
    pub first_rotation: Duration,
    /// Secrets that the garbage collector removes in a second.
    pub collected: f64,
    pub neighbours: Neighbours,
    /// How long each admission took, one after the other, while all clients were resynced again and again.
    pub admitted: Vec<Duration>,
}

/// What an operator needs that starts with clients that are converged.
pub struct Kept {
    /// With one client.
    pub empty: Start,
    pub restart: Start,
    pub idle: Idle,
    /// How long each admission took, one after the other, while all clients were resynced again and again.
    pub admitted: Vec<Duration>,
}

impl Changes {
    /// Each change by its name, with what says that it is done.
    pub fn phases(&self) -> [(&'static str, &'static str, &Phase); 4] {
        [
            ("creates", "until Ready", &self.created.phase),
            ("edits", "until applied", &self.edited),
            ("rotations", "until the former client is gone", &self.rotated),
            ("deletions", "until the object is gone", &self.deleted),
        ]
    }
}

/// Measures the operator, and takes the pattern for the bare client.
pub async fn operator(count: usize, webhook: &Webhook, budget: &mut Budget) -> Result<(Figures, Arc<Pattern>)> {
    say("the operator: starting");
    let mut stage = Stage::set_up().await?;
    let mut mass = Mass::new(&mut stage, count, "");
    let (empty, first_client) = first(&mut mass).await?;
    let pattern = Arc::new(Pattern::take(mass.stage).await?);
    say("the operator: creating");
    let created = mass.create().await?;
    let after_creating = mass.stage.memory()?;
    let clients = created.clients + 1;
    say("the operator: idle resyncs");
    let idle = idle(mass.stage, clients, budget).await?;
    say("the operator: resyncs without a pause, beside admissions");
    let admitted = admit_beside_resyncs(mass.stage, clients, webhook).await?;
    say("the operator: a restart");
    let restart = restart(mass.stage, clients, budget).await?;
    let (first_rotation, requests) = mass.rotate_first().await?;
    budget.hold("a rotation right after a restart", &requests, &rotation(1));
    let changes = change(&mut mass, "the operator", created, budget).await?;
    let collected = mass.collected().await?;
    drop(mass);
    say("the operator: beside projects that hang and refuse");
    let neighbours = neighbours::measure(&stage).await?;
    let figures = Figures {
        first_client,
        empty,
        changes,
        after_creating,
        idle,
        restart,
        first_rotation,
        collected,
        neighbours,
        admitted,
    };
    Ok((figures, pattern))
}

/// Starts the operator with one client, and measures until that client is Ready.
async fn first(mass: &mut Mass<'_>) -> Result<(Start, Duration)> {
    mass.create_first().await?;
    mass.observer.aim(Goal::Ready);
    let began = mass.stage.start_operator(&[])?;
    let ready = async {
        mass.stage.operator_ready().await?;
        Ok::<_, Error>(began.elapsed())
    };
    let first = async {
        mass.observer.until("the first client is Ready", START, |met| met.first).await?;
        Ok::<_, Error>(began.elapsed())
    };
    let (ready, first_client) = tokio::try_join!(ready, first)?;
    let quiet = mass.stage.quiet().await? - began;
    let (cpu, memory) = (mass.stage.operator_cpu()?, mass.stage.memory()?);
    Ok((Start { ready, quiet, cpu, memory, pages: 0 }, first_client))
}

/// Measures the memory of an operator that starts with so many clients, the first one included: they are written straight into the servers,
/// in the form of the first one, which the operator made.
pub async fn memory(count: usize, webhook: &Webhook, budget: &mut Budget) -> Result<Kept> {
    say("the operator: starting");
    let mut stage = Stage::set_up().await?;
    let mut mass = Mass::new(&mut stage, count.saturating_sub(1), "");
    let (empty, _) = first(&mut mass).await?;
    let pattern = Arc::new(Pattern::take(mass.stage).await?);
    mass.stage.stop_operator().await?;
    say("writing the clients");
    let sender = Sender::new(mass.stage, pattern).await?;
    mass.load(&sender).await?;
    say("the operator: a restart");
    let restart = restart(mass.stage, count, budget).await?;
    say("the operator: idle resyncs");
    let idle = idle(mass.stage, count, budget).await?;
    say("the operator: resyncs without a pause, beside admissions");
    let admitted = admit_beside_resyncs(mass.stage, count, webhook).await?;
    Ok(Kept { empty, restart, idle, admitted })
}

/// Measures operator and bare client once more, the bare client first or last.
pub async fn round(count: usize, pattern: &Arc<Pattern>, bare_first: bool, budget: &mut Budget) -> Result<Round> {
    if bare_first {
        let bare = bare(count, pattern, budget).await?;
        return Ok(Round { bare, operator: changes(count, budget).await? });
    }
    let operator = changes(count, budget).await?;
    Ok(Round { operator, bare: bare(count, pattern, budget).await? })
}

/// Measures what the operator makes of the changes of many clients, and nothing else.
async fn changes(count: usize, budget: &mut Budget) -> Result<Changes> {
    say("the operator: starting");
    let mut stage = Stage::set_up().await?;
    let mut mass = Mass::new(&mut stage, count, "");
    first(&mut mass).await?;
    say("the operator: creating");
    let created = mass.create().await?;
    change(&mut mass, "the operator", created, budget).await
}

/// Measures the bare client.
pub async fn bare(count: usize, pattern: &Arc<Pattern>, budget: &mut Budget) -> Result<Changes> {
    say("the bare client: starting");
    let mut stage = Stage::set_up().await?;
    let sender = Sender::new(&stage, Arc::clone(pattern)).await?;
    let bare = Bare::start(&stage, sender).await?;
    let mut mass = Mass::new(&mut stage, count, "");
    mass.create_first().await?;
    bare.during(mass.observer.until("the first client is Ready", START, |met| met.first)).await?;
    say("the bare client: creating");
    let created = bare.during(mass.create()).await?;
    bare.during(change(&mut mass, "the bare client", created, budget)).await
}

/// Edits, rotates and deletes all clients that were created, and holds what was asked for to the budget.
async fn change(mass: &mut Mass<'_>, who: &str, created: Created, budget: &mut Budget) -> Result<Changes> {
    hold_create(budget, &format!("creates by {who}"), &created);
    say(&format!("{who}: editing"));
    let edited = mass.edit().await?;
    let n = edited.count;
    budget.hold(&format!("edits by {who}"), &edited.requests, &[("PUT", n), ("patch oauthclients/status", n)]);
    say(&format!("{who}: rotating"));
    let rotated = mass.rotate().await?;
    budget.hold(&format!("rotations by {who}"), &rotated.requests, &rotation(n));
    say(&format!("{who}: deleting"));
    let deleted = mass.delete().await?;
    let deletion = [("DELETE", deleted.count), ("patch oauthclients", deleted.count)];
    budget.hold(&format!("deletions by {who}"), &deleted.requests, &deletion);
    let changes = Changes { created, edited, rotated, deleted };
    for (what, _, phase) in changes.phases() {
        budget.no_listing(&format!("{what} by {who}"), &phase.requests);
    }
    Ok(changes)
}

/// The budget of rotations whose former clients go at once.
fn rotation(n: usize) -> [(&'static str, usize); 6] {
    [
        ("POST", n),
        ("DELETE", n),
        ("patch oauthclients", n),
        ("patch secrets (dry run)", n),
        ("patch secrets", n),
        ("patch oauthclients/status", 2 * n),
    ]
}

fn hold_create(budget: &mut Budget, what: &str, created: &Created) {
    let (n, edits) = (created.clients, created.edited.len());
    let creation = [
        ("POST", n),
        ("PUT", edits),
        ("patch oauthclients", n),
        ("create secrets (dry run)", n),
        ("create secrets", n),
        ("patch oauthclients/status", n + edits),
    ];
    budget.hold(what, &created.phase.requests, &creation);
}

/// Restarts the operator and measures its start.
async fn start(stage: &mut Stage, args: &[String]) -> Result<(Start, Requests)> {
    stage.stop_operator().await?;
    stage.begin_count().await?;
    let began = stage.start_operator(args)?;
    stage.operator_ready().await?;
    let ready = began.elapsed();
    let quiet = stage.quiet().await? - began;
    let requests = stage.requests().await?;
    let (cpu, memory) = (stage.operator_cpu()?, stage.memory()?);
    Ok((Start { ready, quiet, cpu, memory, pages: requests.pages }, requests))
}

async fn restart(stage: &mut Stage, clients: usize, budget: &mut Budget) -> Result<Start> {
    let (start, requests) = start(stage, &[]).await?;
    budget.hold("a restart", &requests, &[]);
    budget.number("the pages that a restart lists", start.pages, clients.div_ceil(PAGE));
    Ok(start)
}

/// Measures resyncs from the first page of one to the first page of another.
async fn idle(stage: &mut Stage, clients: usize, budget: &mut Budget) -> Result<Idle> {
    let seconds = 5.max(clients / 400);
    let interval = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    start(stage, &[format!("--resync-interval={seconds}s")]).await?;
    let pages = clients.div_ceil(PAGE);
    stage.begin_count().await?;
    listed(stage, 1, interval).await?;
    let (before, began) = (stage.operator_cpu()?, Instant::now());
    listed(stage, RESYNCS * pages + 1, interval).await?;
    let resyncs = u32::try_from(RESYNCS).unwrap_or(u32::MAX);
    let cpu = stage.operator_cpu()?.saturating_sub(before) / resyncs;
    let interval = began.elapsed() / resyncs;
    stage.quiet().await?;
    let calls = stage.admin.calls().await?;
    let whole = calls.iter().take(RESYNCS * pages).enumerate().all(|(number, call)| is_page(call, number % pages));
    if !whole {
        budget.differences.push(format!("idle resyncs: something but {pages} pages each was asked for"));
    }
    budget.hold("idle resyncs", &stage.requests().await?, &[]);
    Ok(Idle { cpu, interval, pages, memory: stage.memory()? })
}

/// Asks the webhook for admissions while an operator resyncs all clients again and again.
async fn admit_beside_resyncs(stage: &mut Stage, clients: usize, webhook: &Webhook) -> Result<Vec<Duration>> {
    let interval = Duration::from_secs(1);
    stage.stop_operator().await?;
    stage.start_operator(&[format!("--resync-interval={}s", interval.as_secs())])?;
    stage.operator_ready().await?;
    stage.begin_count().await?;
    let resyncs = (RESYNCS * clients.div_ceil(PAGE)).max(RESYNCS);
    webhook.admit_during(listed(stage, resyncs, START)).await
}

fn is_page(call: &Call, number: usize) -> bool {
    call.query.as_deref() == Some(&format!("count={PAGE}&offset={}", PAGE * number))
}

/// Waits until so many calls have been made.
async fn listed(stage: &Stage, calls: usize, interval: Duration) -> Result<()> {
    let within = START + interval * u32::try_from(2 * RESYNCS).unwrap_or(u32::MAX);
    let asked = eventually(within, "resyncs", async || match stage.admin.calls().await {
        Ok(made) if made.len() >= calls => Ok(()),
        Ok(made) => Err(made.len().to_string()),
        Err(error) => Err(error.to_string()),
    });
    asked.await.map_err(Error::from)
}

/// Says on standard error how far it is.
pub fn say(line: &str) {
    eprintln!("{} {line}", jiff::Zoned::now().strftime("%H:%M:%S"));
}
