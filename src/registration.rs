//! The leader's part of the webhook: it keeps the certificate that the replicas mount, and what the API server trusts.
//!
//! The order is [`crate::decide::trust`]'s: the new authority is trusted, that is read back, and only then the new
//! certificate is stored. Each write names the version that was read, so that of two leaders one wins.

mod names;
mod probe;

use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::stream::select;
use futures::{Stream, StreamExt as _};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::names::{MANAGED_BY_LABEL, MANAGER};
use crate::decide::time::ClockState;
use crate::decide::trust::{Seen, Step, Stored};
use crate::kubernetes::clock::Clock;
use crate::kubernetes::watch_backoff::WatchBackoff;
use crate::kubernetes::{KubernetesError, within};
use crate::metrics::Metrics;
use crate::serving_certificate::{Bundle, Issued, LIFETIME, Pair, data, issue};
use names::ServerNames;

/// How long before its end a certificate is renewed.
const RENEWED_BEFORE: Duration = Duration::from_secs(10 * 24 * 60 * 60);
/// How often it is asked whether a certificate is due, beside all changes.
const DUE_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long a new authority is trusted before its certificate is stored, if another one is served meanwhile: each API
/// server learns of it by a watch of its own.
const TRUST_PAUSE: Duration = Duration::from_secs(5);
/// The first and the longest wait after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// The most steps of one pass; more only come of somebody who undoes them.
const MOST_STEPS: usize = 4;
/// The type of the Secret, as cert-manager's.
const SECRET_TYPE: &str = "kubernetes.io/tls";

/// What the leader keeps.
pub struct Registration {
    /// The client for reads and writes, which writes nothing when this replica does not lead.
    pub requests: Client,
    /// The client for watches.
    pub watches: Client,
    /// The API server's clock: this machine's may be a year ahead.
    pub clock: Clock,
    /// The operator's own namespace.
    pub namespace: String,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// The name of the Secret.
    pub secret: String,
    pub metrics: Metrics,
    /// A certificate whose authority is trusted, and that could not be stored yet: none is issued before it is.
    pub unstored: Unstored,
}

/// A certificate that waits to be stored, and the names in it.
#[derive(Default)]
pub struct Unstored(Mutex<Option<(Vec<String>, Issued)>>);

impl Unstored {
    /// Takes the certificate for these names, if its authority is trusted.
    fn take(&self, names: &[String], trusted: &[CertificateDer<'static>]) -> Option<Issued> {
        let (for_names, issued) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (for_names == names && trusted.contains(&issued.authority)).then_some(issued)
    }

    fn put(&self, names: &[String], issued: Issued) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((names.to_vec(), issued));
    }
}

/// What was read, and what it is worth.
struct Found {
    configuration: MutatingWebhookConfiguration,
    secret: Option<Secret>,
    names: ServerNames,
    seen: Seen<CertificateDer<'static>>,
}

/// Why a pass did not end at rest.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the MutatingWebhookConfiguration {0} does not exist")]
    Absent(String),
    #[error("the MutatingWebhookConfiguration {0} names no server, or one that no certificate can name")]
    NoServer(String),
    #[error("a certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("what the API server trusts was changed by somebody else meanwhile")]
    Overtaken,
    #[error("{}", .0.in_words())]
    Kubernetes(#[from] KubernetesError),
}

impl Registration {
    /// Keeps it, for ever.
    pub async fn keep(self) {
        let mut changes = pin!(self.changes());
        let probe = pin!(self.probe());
        let keep = async {
            let (mut wait, mut told, mut clock) = (RETRY.0, None, ClockState::Right);
            loop {
                if let Err(problem) = self.pass().await {
                    let problem = problem.to_string();
                    if told.as_ref() != Some(&problem) {
                        tracing::warn!(problem, "the webhook's certificate cannot be kept yet; trying again");
                        told = Some(problem);
                    }
                    // Whatever changes meanwhile may be the pass's own work.
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY.1);
                    continue;
                }
                (wait, told) = (RETRY.0, None);
                tokio::select! {
                    _ = changes.next() => {}
                    changed = self.clock.changed(clock) => clock = changed,
                    () = tokio::time::sleep(DUE_INTERVAL) => {}
                }
            }
        };
        tokio::select! {
            () = keep => {}
            () = probe => {}
        }
    }

    /// A signal for each change of the configuration or of the Secret.
    fn changes(&self) -> impl Stream<Item = ()> + use<> {
        let configurations = Api::<PartialObjectMeta<MutatingWebhookConfiguration>>::all(self.watches.clone());
        let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(self.watches.clone(), &self.namespace);
        select(changes_of(configurations, &self.configuration), changes_of(secrets, &self.secret))
    }

    /// Does what there is to do, step by step.
    async fn pass(&self) -> Result<(), Problem> {
        for _ in 0..MOST_STEPS {
            let found = self.look().await?;
            match found.seen.next() {
                Step::Rest => return Ok(()),
                Step::Trust(bundle) => {
                    tracing::warn!(configuration = self.configuration, "what the API server trusts is put back");
                    self.trust(&found, &bundle).await?;
                }
                Step::Issue => self.renew(&found).await?,
            }
        }
        Err(Problem::Overtaken)
    }

    async fn look(&self) -> Result<Found, Problem> {
        let configuration = self.configuration().await?;
        let secret = match within("read the webhook's Secret", self.secrets().get(&self.secret)).await {
            Ok(secret) => Some(secret),
            Err(error) if error.proves_absence_of::<Secret>(&self.secret) => None,
            Err(error) => return Err(error.into()),
        };
        let no_server = || Problem::NoServer(self.configuration.clone());
        let names = ServerNames::of(&configuration).ok_or_else(no_server)?;
        let bundle = secret.as_ref().map(|secret| Bundle::parse(field(secret, data::BUNDLE))).unwrap_or_default();
        let stored = secret.as_ref().map_or(Stored::Unusable, |secret| self.stored(secret, &bundle, &names));
        let seen = Seen {
            stored,
            bundle: bundle.certificates().to_vec(),
            trusted: trusted(&configuration).certificates().to_vec(),
        };
        Ok(Found { configuration, secret, names, seen })
    }

    /// What the stored certificate is worth, by the API server's clock.
    fn stored(&self, secret: &Secret, bundle: &Bundle, names: &ServerNames) -> Stored {
        let Ok(pair) = Pair::parse(field(secret, data::CERTIFICATE), field(secret, data::KEY)) else {
            return Stored::Unusable;
        };
        let verifies = |at: SystemTime| pair.verify(bundle, names.verified(), unix(at)).is_ok();
        let now = SystemTime::from(self.clock.now());
        match (verifies(now), verifies(now + RENEWED_BEFORE)) {
            (true, true) => Stored::Good,
            (true, false) => Stored::Due,
            (false, _) => Stored::Unusable,
        }
    }

    async fn renew(&self, found: &Found) -> Result<(), Problem> {
        let names = found.names.in_certificate();
        let issued = match self.unstored.take(names, &found.seen.trusted) {
            Some(issued) => issued,
            None => issue(names, SystemTime::from(self.clock.now()))?,
        };
        let bundle = found.seen.trusting(issued.authority.clone());
        if bundle != found.seen.trusted {
            self.trust(found, &bundle).await?;
        }
        let read_back = trusted(&self.configuration().await?);
        if !bundle.iter().all(|one| read_back.certificates().contains(one)) {
            return Err(Problem::Overtaken);
        }
        if found.secret.is_some() {
            tokio::time::sleep(TRUST_PAUSE).await;
        }
        if let Err(problem) = self.store(found, &issued, &bundle.into_iter().collect()).await {
            self.unstored.put(names, issued);
            return Err(problem);
        }
        let days = LIFETIME.as_secs() / (24 * 60 * 60);
        tracing::info!(secret = self.secret, days, "the webhook has a new certificate");
        Ok(())
    }

    /// Lets the API server trust these authorities, in each webhook of the configuration as it was read.
    async fn trust(&self, found: &Found, bundle: &[CertificateDer<'static>]) -> Result<(), Problem> {
        let pem: Bundle = bundle.iter().cloned().collect();
        let value = json!(k8s_openapi::ByteString(pem.pem().into_bytes()));
        let version = json!(found.configuration.metadata.resource_version);
        let path = |tokens: &[&str]| PointerBuf::from_tokens(tokens.iter().copied());
        let test = TestOperation { path: path(&["metadata", "resourceVersion"]), value: version };
        let webhooks = found.configuration.webhooks.iter().flatten().enumerate().map(|(index, _)| {
            let path = path(&["webhooks", &index.to_string(), "clientConfig", "caBundle"]);
            PatchOperation::Add(AddOperation { path, value: value.clone() })
        });
        let operations = [PatchOperation::Test(test)].into_iter().chain(webhooks).collect();
        let (configurations, patch) = (self.configurations(), Patch::<Value>::Json(JsonPatch(operations)));
        let params = managed();
        let written = configurations.patch_metadata(&self.configuration, &params, &patch);
        within("write what the API server trusts", written).await?;
        Ok(())
    }

    /// Stores a certificate, in place of the one that was read.
    async fn store(&self, found: &Found, issued: &Issued, bundle: &Bundle) -> Result<(), Problem> {
        let bytes = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
        let mut content = json!({ "data": {
            data::CERTIFICATE: bytes(&issued.certificate), data::KEY: bytes(&issued.key), data::BUNDLE: bytes(&bundle.pem()),
        }});
        if let Some(secret) = &found.secret {
            content["metadata"] = json!({ "resourceVersion": secret.metadata.resource_version });
            let (secrets, patch) = (self.secrets(), Patch::Merge(content));
            within("store the webhook's certificate", secrets.patch_metadata(&self.secret, &managed(), &patch)).await?;
            return Ok(());
        }
        // Nobody owns the Secret: with a configuration that is deleted and made anew it would go, while replicas still serve
        // its certificate.
        content["type"] = json!(SECRET_TYPE);
        content["metadata"] = json!({
            "name": self.secret,
            "namespace": self.namespace,
            "labels": { MANAGED_BY_LABEL: MANAGER },
        });
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let secret: Secret = serde_json::from_value(content).map_err(|source| KubernetesError::Call {
            operation: "store the webhook's certificate",
            source: Box::new(kube::Error::SerdeError(source)),
        })?;
        within("store the webhook's certificate", self.secrets().create(&params, &secret)).await?;
        Ok(())
    }

    async fn configuration(&self) -> Result<MutatingWebhookConfiguration, Problem> {
        let (configurations, name) = (self.configurations(), &self.configuration);
        match within("read the webhook's configuration", configurations.get(name)).await {
            Ok(configuration) => Ok(configuration),
            Err(error) if error.proves_absence_of::<MutatingWebhookConfiguration>(name) => {
                Err(Problem::Absent(name.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.requests.clone())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.requests.clone(), &self.namespace)
    }
}

fn managed() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// A signal for each change of the one object of this name.
fn changes_of<K>(objects: Api<K>, name: &str) -> impl Stream<Item = ()> + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let by_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let changes = watcher(objects, by_name).backoff(WatchBackoff::default());
    changes.filter_map(|change| std::future::ready(change.is_ok().then_some(())))
}

fn field<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[], |bytes| &bytes.0)
}

/// The authorities that every webhook of a configuration trusts: one that lacks some is as one that lacks all.
fn trusted(configuration: &MutatingWebhookConfiguration) -> Bundle {
    let of_each =
        configuration.webhooks.iter().flatten().map(|webhook| {
            Bundle::parse(webhook.client_config.ca_bundle.as_ref().map_or(&[], |bytes| bytes.0.as_slice()))
        });
    let mut all: Vec<Bundle> = of_each.collect();
    let Some(first) = all.pop() else { return Bundle::default() };
    let is_everywhere = |one: &&CertificateDer<'static>| all.iter().all(|other| other.certificates().contains(one));
    first.certificates().iter().filter(is_everywhere).cloned().collect()
}

fn unix(at: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
