//! The requests of the operator, counted: from the API server's audit log and the simulator's record, and held to the
//! budget of `docs/architecture.md`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::Workdir;
use serde::Deserialize;
use simulator::admin::{Call, Route};

use crate::error::{Error, Result};

/// How often each kind of request was made.
pub type Counts = BTreeMap<String, usize>;

/// The requests since the count was begun.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Those that the budget is about: at MeshAgent and, watches apart, in the namespace of the clients.
    pub budgeted: Counts,
    /// The pages of listings that MeshAgent was asked for.
    pub pages: usize,
    /// Events that were written.
    pub events: usize,
    /// Listings over all namespaces: a watch that runs needs none.
    pub listings: Counts,
    /// Other requests to Kubernetes outside of the namespace of the clients, Leases apart.
    pub elsewhere: Counts,
}

/// The API server's audit log: of one user, without watches.
pub struct Audit {
    log: PathBuf,
    offset: AtomicU64,
    workdir: Workdir,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    verb: Cow<'a, str>,
    #[serde(borrow, rename = "requestURI")]
    request_uri: Cow<'a, str>,
    #[serde(borrow)]
    object_ref: Option<Reference<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subresource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
}

impl Audit {
    /// Writes the policy by which the API server logs the requests of this user.
    pub fn of(user: &str) -> Result<Self> {
        let workdir = Workdir::create("audit")?;
        let verbs = "[get, list, create, update, patch, delete, deletecollection]";
        let rules = format!("[{{level: Metadata, users: ['{user}'], verbs: {verbs}}}, {{level: None}}]");
        let policy =
            format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: {rules}\n");
        workdir.write("policy.yaml", &policy)?;
        Ok(Self { log: workdir.path().join("audit.log"), offset: AtomicU64::new(0), workdir })
    }

    /// The flags of the API server.
    pub fn flags(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.workdir.path().join("policy.yaml").display()),
            format!("--audit-log-path={}", self.log.display()),
            // In MB. A log that is rotated would lose what was counted.
            "--audit-log-maxsize=100000".to_owned(),
        ]
    }

    /// Begins to count: what was logged so far is passed over.
    pub fn begin(&self) -> Result<()> {
        let length = self.open()?.metadata().map_err(Error::io("measuring the audit log"))?.len();
        self.offset.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// Counts what was logged since, by verb and resource.
    pub fn count(&self, namespace: &str, requests: &mut Requests) -> Result<()> {
        let mut log = self.open()?;
        log.seek(SeekFrom::Start(self.offset.load(Ordering::Relaxed))).map_err(Error::io("reading the audit log"))?;
        for line in BufReader::new(log).lines() {
            let line = line.map_err(Error::io("reading the audit log"))?;
            let line: Line<'_> = serde_json::from_str(&line)
                .map_err(|error| Error::Unexpected(format!("the audit log cannot be read: {error}")))?;
            // A request for no resource, such as one for the version.
            let Line { verb, request_uri, object_ref: Some(reference) } = line else { continue };
            let resource = reference.resource.unwrap_or_default();
            let subresource = reference.subresource.map(|name| format!("/{name}")).unwrap_or_default();
            let dry = if request_uri.contains("dryRun") { " (dry run)" } else { "" };
            let (here, anywhere) = (reference.namespace.as_deref() == Some(namespace), reference.namespace.is_none());
            match (resource.as_ref(), here) {
                ("leases", _) => {}
                ("events", _) => requests.events += 1,
                // A listing by name is the read of one object.
                _ if verb == "list" && anywhere && !request_uri.contains("fieldSelector=metadata.name") => {
                    count(&mut requests.listings, format!("{verb} {resource}"))
                }
                (_, true) => count(&mut requests.budgeted, format!("{verb} {resource}{subresource}{dry}")),
                (_, false) => count(&mut requests.elsewhere, format!("{verb} {resource}{subresource}{dry}")),
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<File> {
        File::open(&self.log).map_err(Error::io(format!("opening {}", self.log.display())))
    }
}

fn count(counts: &mut Counts, what: String) {
    *counts.entry(what).or_default() += 1;
}

impl Requests {
    /// Counts the calls of MeshAgent.
    pub fn count_calls(&mut self, calls: &[Call]) {
        for call in calls {
            if call.route == Some(Route::ClientsList) {
                self.pages += 1;
            } else {
                count(&mut self.budgeted, call.method.clone());
            }
        }
    }

    /// The counts in words.
    pub fn in_words(&self) -> String {
        words(&self.budgeted)
    }
}

/// Counts in words.
pub fn words(counts: &Counts) -> String {
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// What was counted otherwise than the budget says.
#[derive(Debug, Default)]
pub struct Budget {
    pub differences: Vec<String>,
}

impl Budget {
    /// Compares requests with the budget.
    pub fn hold(&mut self, what: &str, requests: &Requests, budget: &[(&str, usize)]) {
        let wanted: Counts =
            budget.iter().filter(|(_, count)| *count > 0).map(|(k, v)| ((*k).to_owned(), *v)).collect();
        if requests.budgeted != wanted {
            let (counted, wanted) = (requests.in_words(), words(&wanted));
            self.differences.push(format!("{what}: counted {counted}; the budget is {wanted}"));
        }
    }

    /// Notes listings of an operator whose watches run.
    pub fn no_listing(&mut self, what: &str, requests: &Requests) {
        if !requests.listings.is_empty() {
            let listings = words(&requests.listings);
            self.differences.push(format!("{what}: counted {listings}; a watch that runs needs no listing"));
        }
    }

    /// Compares a number with what it has to be.
    pub fn number(&mut self, what: &str, counted: usize, wanted: usize) {
        if counted != wanted {
            self.differences.push(format!("{what}: counted {counted}; it has to be {wanted}"));
        }
    }
}
