//! Taking the Lease, holding it, and giving it back.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use uuid::Uuid;

use super::record::{self, Sighting};
use super::{LEASE, Leadership, Lost, Timing, Trouble};
use crate::cause::root_cause;

/// How long giving the Lease back may take: a process that is stopping cannot wait long.
const RELEASE: Duration = Duration::from_secs(5);

/// What a replica enters the election with.
pub struct Candidate {
    /// The client for Leases only: it must let writes through while this replica does not lead.
    pub leases: Client,
    /// The operator's own namespace, which holds the Lease.
    pub namespace: String,
    /// The name of this machine.
    pub hostname: String,
    /// How long the Lease lasts; a second or more.
    pub duration: Duration,
    /// The leadership that is told the outcome.
    pub leadership: Leadership,
}

/// One replica's part in the election.
pub struct Election {
    leases: Api<Lease>,
    namespace: String,
    identity: String,
    timing: Timing,
    leadership: Leadership,
    /// The Lease as this replica has written it; none, if it is not known whether the last write was carried out.
    written: Option<Lease>,
}

/// What a replica that does not lead is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidacy {
    /// Another replica leads.
    Standby { holder: String },
    /// The leader is not known; the replica tries again.
    Troubled(Trouble),
}

/// How a try to lead ended.
enum Round {
    Leads,
    Standby(String),
    /// Another replica was quicker.
    Outrun,
}

/// How a try to renew ended.
enum Renewal {
    Renewed,
    /// Another write changed the Lease; the next try reads first.
    Outdated,
    Lost(Lost),
}

impl Election {
    /// Enters the election, under an identity that no other process has.
    #[must_use]
    pub fn new(candidate: Candidate) -> Self {
        let Candidate { leases, namespace, hostname, duration, leadership } = candidate;
        Self {
            leases: Api::namespaced(leases, &namespace),
            namespace,
            identity: format!("{hostname}_{}", Uuid::new_v4()),
            timing: Timing::of(duration),
            leadership,
            written: None,
        }
    }

    /// Who this replica is, in the Lease.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Waits until this replica leads, for as long as it takes. `tell` is called after each try that left it waiting.
    pub async fn acquire(&mut self, mut tell: impl FnMut(Candidacy)) {
        let mut seen = None;
        loop {
            match timeout(self.timing.request, self.campaign(&mut seen)).await {
                Ok(Ok(Round::Leads)) => return,
                Ok(Ok(Round::Standby(holder))) => tell(Candidacy::Standby { holder }),
                Ok(Ok(Round::Outrun)) => {}
                Ok(Err(trouble)) => tell(Candidacy::Troubled(trouble)),
                Err(_) => tell(Candidacy::Troubled(self.no_answer())),
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Reads the Lease once, and writes it once if it is free.
    async fn campaign(&mut self, seen: &mut Option<Sighting>) -> Result<Round, Trouble> {
        let started = Instant::now();
        let params = PostParams::default();
        let Some(lease) = self.leases.get_opt(LEASE).await.map_err(|error| self.trouble("get", &error))? else {
            let first = record::first(&self.identity, self.timing.lease, Timestamp::now());
            let created = self.leases.create(&params, &first).await;
            return self.won("create", started, created);
        };
        // The time is taken after the answer: by then the Lease had been written for certain.
        let sighting = Sighting::next(seen.take(), &lease, Instant::now());
        let expired = sighting.has_expired(Instant::now(), self.timing.lease);
        *seen = Some(sighting);
        let next = match record::holder(&lease) {
            // The Lease is ours by a PUT whose answer was lost.
            Some(holder) if holder == self.identity => record::renewed(&lease, self.timing.lease, Timestamp::now()),
            Some(holder) if !expired => return Ok(Round::Standby(holder.to_owned())),
            Some(_) | None => record::succeeded(&lease, &self.identity, self.timing.lease, Timestamp::now()),
        };
        let replaced = self.leases.replace(LEASE, &params, &next).await;
        self.won("update", started, replaced)
    }

    fn won(&mut self, verb: &'static str, started: Instant, answer: kube::Result<Lease>) -> Result<Round, Trouble> {
        match answer {
            Ok(lease) => {
                self.led_from(started, lease);
                Ok(Round::Leads)
            }
            Err(error) if is_conflict(&error) => Ok(Round::Outrun),
            Err(error) => Err(self.trouble(verb, &error)),
        }
    }

    /// Leads from the start of the request, since the others count from when it was carried out, or later.
    fn led_from(&mut self, started: Instant, lease: Lease) {
        self.written = Some(lease);
        self.leadership.lead_until(started + self.timing.renew);
    }

    /// Renews the Lease until that fails for too long.
    pub async fn hold(&mut self) -> Lost {
        let mut trouble: Option<Trouble> = None;
        loop {
            let deadline = self.leadership.deadline();
            sleep_until(deadline.min(Instant::now() + self.timing.retry)).await;
            // A process that was frozen for too long renews nothing either.
            if !self.leadership.is_current() {
                return self.lost(Lost::NotRenewed(trouble));
            }
            let latest = deadline.min(Instant::now() + self.timing.request);
            let failed = match timeout_at(latest, self.renew()).await {
                Ok(Ok(Renewal::Renewed)) => {
                    trouble = None;
                    continue;
                }
                Ok(Ok(Renewal::Outdated)) => continue,
                Ok(Ok(Renewal::Lost(lost))) => return self.lost(lost),
                Ok(Err(failed)) => failed,
                Err(_) => self.no_answer(),
            };
            tracing::warn!(problem = %failed, "the Lease was not renewed; trying again");
            trouble = Some(failed);
        }
    }

    async fn renew(&mut self) -> Result<Renewal, Trouble> {
        let started = Instant::now();
        let lease = match self.written.take() {
            Some(written) => written,
            None => match self.leases.get_opt(LEASE).await.map_err(|error| self.trouble("get", &error))? {
                Some(lease) => lease,
                None => return Ok(Renewal::Lost(Lost::Gone)),
            },
        };
        match record::holder(&lease) {
            Some(holder) if holder == self.identity => {}
            Some(holder) => return Ok(Renewal::Lost(Lost::Taken { holder: holder.to_owned() })),
            None => return Ok(Renewal::Lost(Lost::Gone)),
        }
        let next = record::renewed(&lease, self.timing.lease, Timestamp::now());
        match self.leases.replace(LEASE, &PostParams::default(), &next).await {
            Ok(lease) => {
                self.led_from(started, lease);
                Ok(Renewal::Renewed)
            }
            Err(error) if is_conflict(&error) => Ok(Renewal::Outdated),
            Err(error) => Err(self.trouble("update", &error)),
        }
    }

    fn lost(&self, lost: Lost) -> Lost {
        self.leadership.end();
        lost
    }

    /// Gives the Lease back, if this replica holds it, so that another one takes it at once. All work has ended before.
    pub async fn release(mut self) {
        self.leadership.end();
        match timeout(RELEASE, self.give_back()).await {
            Ok(Ok(true)) => tracing::info!("the Lease is released"),
            Ok(Ok(false)) => {}
            Ok(Err(trouble)) => tracing::warn!(problem = %trouble, "the Lease was not released; it will expire"),
            Err(_) => tracing::warn!(problem = %self.no_answer(), "the Lease was not released; it will expire"),
        }
    }

    /// Reads first: a renewal may just have been cut off, and could still be carried out.
    async fn give_back(&mut self) -> Result<bool, Trouble> {
        loop {
            let found = self.leases.get_opt(LEASE).await.map_err(|error| self.trouble("get", &error))?;
            let Some(lease) = found.filter(|lease| record::holder(lease) == Some(&self.identity)) else {
                return Ok(false);
            };
            let released = record::released(&lease, Timestamp::now());
            match self.leases.replace(LEASE, &PostParams::default(), &released).await {
                Ok(_) => return Ok(true),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(self.trouble("update", &error)),
            }
        }
    }

    fn no_answer(&self) -> Trouble {
        Trouble::NoAnswer { namespace: self.namespace.clone() }
    }

    fn trouble(&self, verb: &'static str, error: &kube::Error) -> Trouble {
        let namespace = self.namespace.clone();
        // Only this one of kube's many errors is an answer.
        if let kube::Error::Api(status) = error {
            let answer = status.message.clone();
            let about_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
            return match status.code {
                404 if about_namespace => Trouble::NoNamespace { namespace },
                403 => Trouble::Forbidden { verb, namespace, answer },
                _ => Trouble::Request { verb, namespace, answer },
            };
        }
        // kube's own text for a broken connection says no more than that there was none.
        Trouble::Request { verb, namespace, answer: root_cause(error).to_string() }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
