//! What is counted when a scrape asks for it: the objects as they are then.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::Handle;

/// The most objects that are named as impossible to decode.
const MOST_UNREADABLE: usize = 100;
/// The most OAuthClients that are named as not Ready.
pub(super) const MOST_NOT_READY: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    ready: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotReady {
    oauthclient: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Object {
    kind: String,
    object: String,
}

/// An OAuthClient as a scrape finds it.
#[derive(Clone, Copy, Debug)]
pub struct ClientState<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// Status and reason of its Ready condition; `None` if the operator has not looked at it yet.
    pub ready: Option<(&'a str, &'a str)>,
    /// How many former clients of it live on after their overlap, for pods that hold their credential.
    pub living_on: u32,
}

type ClientSource = dyn Fn(&mut dyn FnMut(ClientState<'_>)) + Send + Sync;

/// The OAuthClients as they are at a scrape: their number by condition, and the names of those that are not Ready.
#[derive(Clone, Default)]
pub(super) struct Clients(Arc<OnceLock<Box<ClientSource>>>);

impl Clients {
    /// Sets where a scrape finds the OAuthClients. Only the first source counts.
    pub(super) fn set(&self, source: impl Fn(&mut dyn FnMut(ClientState<'_>)) + Send + Sync + 'static) {
        let _first = self.0.set(Box::new(source));
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clients")
    }
}

impl Collector for Clients {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (numbers, not_ready) = (Family::<State, Gauge>::default(), Family::<NotReady, Gauge>::default());
        let (mut named, living_on) = (BTreeSet::new(), Gauge::<i64>::default());
        let Some(source) = self.0.get() else { return Ok(()) };
        source(&mut |ClientState { namespace, name, ready, living_on: more }| {
            living_on.inc_by(i64::from(more));
            let (ready, reason) = ready.unwrap_or(("Unknown", "Pending"));
            let state = State { ready: ready.to_owned(), reason: reason.to_owned() };
            numbers.get_or_create(&state).inc();
            if ready != "True" {
                named.insert((format!("{namespace}/{name}"), reason.to_owned()));
            }
        });
        // In order, so that each scrape names the same.
        for (oauthclient, reason) in named.into_iter().take(MOST_NOT_READY) {
            not_ready.get_or_create(&NotReady { oauthclient, reason }).set(1);
        }
        let help = "Former clients that live on after their overlap, for pods that hold their credential.";
        living_on.encode(encoder.encode_descriptor("former_clients_in_use", help, None, living_on.metric_type())?)?;
        let help = "OAuthClients by status and reason of their Ready condition; a reason that this version does not know is Other.";
        numbers.encode(encoder.encode_descriptor("clients", help, None, numbers.metric_type())?)?;
        let help = "1 for each OAuthClient that is not Ready; of more than five hundred, the first by name.";
        not_ready.encode(encoder.encode_descriptor("client_not_ready", help, None, not_ready.metric_type())?)
    }
}

/// The tasks of the runtime as they are at a scrape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tasks;

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let alive = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let tasks = Gauge::<i64>::default();
        tasks.set(i64::try_from(alive).unwrap_or(i64::MAX));
        let help = "Tasks of the process; a number that only grows is a leak.";
        tasks.encode(encoder.encode_descriptor("tasks", help, None, tasks.metric_type())?)
    }
}

type UnreadableSource = dyn Fn() -> Vec<[String; 2]> + Send + Sync;

/// The objects that cannot be decoded, as they are at a scrape.
#[derive(Clone, Default)]
pub(super) struct Unreadable(Arc<OnceLock<Box<UnreadableSource>>>);

impl Unreadable {
    /// Sets where a scrape finds the objects, in order, each as its kind and `namespace/name`. Only the first source
    /// counts.
    pub(super) fn set(&self, source: impl Fn() -> Vec<[String; 2]> + Send + Sync + 'static) {
        let _first = self.0.set(Box::new(source));
    }
}

impl fmt::Debug for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unreadable")
    }
}

impl Collector for Unreadable {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(source) = self.0.get() else { return Ok(()) };
        let unreadable = Family::<Object, Gauge>::default();
        for [kind, object] in source().into_iter().take(MOST_UNREADABLE) {
            unreadable.get_or_create(&Object { kind, object }).set(1);
        }
        let help = "1 for each of the first hundred objects that cannot be decoded and are left as they are.";
        unreadable.encode(encoder.encode_descriptor("unreadable_object", help, None, unreadable.metric_type())?)
    }
}
