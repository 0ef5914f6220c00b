use std::convert::Infallible;
use std::future::pending;
use std::sync::{Mutex, MutexGuard};

use axum::http::{Method, Request, Response};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use serde_json::{Value, json};
use tokio::time::{advance, timeout};
use tower::service_fn;

use super::*;

const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// The Lease API of one namespace in memory: one Lease, compared and swapped by its resourceVersion.
#[derive(Clone, Default)]
struct Leases(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    requests: Vec<Method>,
    /// Writes are never answered, nor carried out.
    hangs: bool,
    /// The answer to each request in place of the truth.
    refusal: Option<Value>,
}

impl Leases {
    fn holding(spec: LeaseSpec) -> Self {
        let leases = Self::default();
        let lease = Lease { spec: Some(spec), ..record::first("", LEASE_DURATION, Timestamp::now()) };
        leases.state().store(serde_json::to_value(lease).unwrap());
        leases
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn spec(&self) -> LeaseSpec {
        let lease = self.state().lease.clone().unwrap();
        serde_json::from_value::<Lease>(lease).unwrap().spec.unwrap()
    }

    /// A client that comes here, through a gate that is open while this leadership is current.
    fn client(&self, leadership: Leadership) -> Client {
        let leases = self.clone();
        let serve = move |request: Request<Body>| {
            let leases = leases.clone();
            async move { Ok::<_, Infallible>(leases.answer(request).await) }
        };
        ClientBuilder::new(service_fn(serve), "default").with_layer(&WriteGate::new(leadership)).build()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let answered = {
            let mut state = self.state();
            state.requests.push(head.method.clone());
            let hangs = state.hangs && !head.method.is_safe();
            (!hangs).then(|| state.carry_out(&head.method, &body))
        };
        let Some((code, answer)) = answered else { return pending().await };
        let answer = Body::from(serde_json::to_vec(&answer).unwrap());
        Response::builder().status(code).header("content-type", "application/json").body(answer).unwrap()
    }

    /// Enters the election; the leadership is what the rest of that process would ask.
    fn candidate(&self, hostname: &str) -> (Election, Leadership) {
        let leadership = Leadership::none();
        let election = Election::new(Candidate {
            leases: self.client(Leadership::always()),
            namespace: "system".to_owned(),
            hostname: hostname.to_owned(),
            duration: LEASE_DURATION,
            leadership: leadership.clone(),
        });
        (election, leadership)
    }

    async fn leader(&self, hostname: &str) -> (Election, Leadership) {
        let (mut election, leadership) = self.candidate(hostname);
        election.acquire(|_| ()).await;
        (election, leadership)
    }
}

impl State {
    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    fn carry_out(&mut self, method: &Method, body: &[u8]) -> (u16, Value) {
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        let (reason, code) = match (method.as_str(), self.lease.clone()) {
            _ if self.refusal.is_some() => return refused(self.refusal.clone().unwrap()),
            ("GET", Some(lease)) => return (200, lease),
            ("POST", None) => return (201, self.store(sent())),
            ("PUT", Some(lease)) if sent()["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"] => {
                return (200, self.store(sent()));
            }
            ("PUT", Some(_)) => ("Conflict", 409),
            ("POST", Some(_)) => ("AlreadyExists", 409),
            (_, _) => ("NotFound", 404),
        };
        refused(json!({ "reason": reason, "code": code }))
    }
}

fn refused(answer: Value) -> (u16, Value) {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no" });
    status.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    (u16::try_from(status["code"].as_u64().unwrap()).unwrap(), status)
}

fn held_by(holder: &str, renewed: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        acquire_time: Some(MicroTime(renewed)),
        renew_time: Some(MicroTime(renewed)),
        lease_transitions: Some(4),
        ..LeaseSpec::default()
    }
}

/// How long a candidate waited until it led.
async fn waited(leases: &Leases) -> Duration {
    let started = Instant::now();
    leases.leader("b").await;
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_there_is_created_and_kept_as_client_go_keeps_it() {
    let leases = Leases::default();
    let (mut election, leadership) = leases.leader("a").await;
    assert!(leadership.is_current());
    let first = leases.spec();
    assert!(first.holder_identity.as_ref().is_some_and(|holder| holder.starts_with("a_") && holder.len() == 38));
    assert_eq!((first.lease_duration_seconds, first.lease_transitions), (Some(15), Some(0)));
    assert_eq!(first.acquire_time, first.renew_time);
    assert!(timeout(10 * LEASE_DURATION, election.hold()).await.is_err(), "it was lost");
    assert!(leadership.is_current());
    let renewed = leases.spec();
    assert!(renewed.renew_time > first.renew_time);
    assert_eq!(LeaseSpec { renew_time: first.renew_time.clone(), ..renewed }, first);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_renewed_is_never_taken_over() {
    let leases = Leases::default();
    let (mut leader, leadership) = leases.leader("a").await;
    let (mut standby, other) = leases.candidate("b");
    let mut said = Vec::new();
    let both = futures::future::select(Box::pin(leader.hold()), Box::pin(standby.acquire(|told| said.push(told))));
    assert!(timeout(10 * LEASE_DURATION, both).await.is_err());
    assert!(leadership.is_current() && !other.is_current());
    let holder = leases.spec().holder_identity.unwrap();
    assert!(said.iter().all(|told| *told == Candidacy::Standby { holder: holder.clone() }), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_judged_by_ones_own_clock_however_far_off_its_holders_is() {
    let hour = jiff::SignedDuration::from_hours(1);
    for renewed in [Timestamp::now() - hour, Timestamp::now() + hour] {
        let leases = Leases::holding(held_by("a", renewed));
        let waited = waited(&leases).await;
        assert!(waited >= LEASE_DURATION && waited <= LEASE_DURATION + RETRY, "{waited:?}");
        assert_eq!(leases.spec().lease_transitions, Some(5));
    }
}

#[tokio::test(start_paused = true)]
async fn the_duration_that_its_holder_asked_for_counts_not_ones_own() {
    let leases = Leases::holding(LeaseSpec { lease_duration_seconds: Some(60), ..held_by("a", Timestamp::now()) });
    let waited = waited(&leases).await;
    assert!(waited >= Duration::from_secs(60), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_label_that_is_edited_does_not_renew_it() {
    let leases = Leases::holding(held_by("a", Timestamp::now()));
    let edits = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut state = leases.state();
            let mut lease = state.lease.clone().unwrap();
            lease["metadata"]["labels"] = json!({ "edit": state.version.to_string() });
            state.store(lease);
        }
    };
    tokio::select! {
        () = edits => {}
        waited = timeout(2 * LEASE_DURATION, waited(&leases)) => assert!(waited.is_ok(), "it was never taken over"),
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_read_one_expired_lease_one_wins() {
    let leases = Leases::holding(held_by("a", Timestamp::now()));
    let ((mut b, leads_b), (mut c, leads_c)) = (leases.candidate("b"), leases.candidate("c"));
    let both = futures::future::join(b.acquire(|_| ()), c.acquire(|_| ()));
    assert!(timeout(LEASE_DURATION + RETRY, both).await.is_err(), "both lead");
    assert!(leads_b.is_current() ^ leads_c.is_current());
    assert_eq!(leases.spec().lease_transitions, Some(5));
    let requests = leases.state().requests.clone();
    let first = requests.iter().position(|method| *method == Method::PUT).unwrap();
    // Both had read before either wrote, and both wrote.
    assert_eq!(requests[first - 2..first + 2], [Method::GET, Method::GET, Method::PUT, Method::PUT]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_released_is_taken_at_once() {
    let leases = Leases::default();
    let (leader, leadership) = leases.leader("a").await;
    leader.release().await;
    assert!(!leadership.is_current());
    let released = leases.spec();
    assert_eq!((released.holder_identity.as_deref(), released.lease_duration_seconds), (Some(""), Some(1)));
    assert_eq!(waited(&leases).await, Duration::ZERO);
    assert_eq!(leases.spec().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_another_holds_is_not_released() {
    let leases = Leases::default();
    let (leader, _) = leases.leader("a").await;
    let theirs = held_by("b", Timestamp::now());
    leases.state().lease.as_mut().unwrap()["spec"] = serde_json::to_value(&theirs).unwrap();
    leader.release().await;
    assert_eq!(leases.spec().holder_identity.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_renewals_hang_stops_before_its_lease_ends() {
    let leases = Leases::default();
    let (mut leader, leadership) = leases.leader("a").await;
    leases.state().hangs = true;
    let started = Instant::now();
    let lost = leader.hold().await;
    assert_eq!(started.elapsed(), RENEW_DEADLINE);
    assert!(!leadership.is_current());
    assert!(matches!(&lost, Lost::NotRenewed(Some(Trouble::NoAnswer { namespace })) if namespace == "system"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_refused_stops_before_its_lease_ends_and_says_why() {
    let leases = Leases::default();
    let (mut leader, _) = leases.leader("a").await;
    leases.state().refusal = Some(json!({ "reason": "InternalError", "code": 500, "message": "etcd is away" }));
    let started = Instant::now();
    let lost = leader.hold().await;
    assert!(started.elapsed() <= RENEW_DEADLINE);
    assert!(lost.to_string().contains("etcd is away"), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_frozen_is_not_current_when_it_wakes_and_renews_nothing() {
    let leases = Leases::default();
    let (mut leader, leadership) = leases.leader("a").await;
    assert!(leadership.is_current());
    // The process of the leader is frozen meanwhile.
    advance(RENEW_DEADLINE).await;
    assert!(!leadership.is_current());
    let before = leases.spec();
    assert_eq!(leader.hold().await, Lost::NotRenewed(None));
    assert_eq!(leases.spec(), before);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_another_took_or_somebody_deleted_stops_at_the_next_renewal() {
    let leases = Leases::default();
    let (mut leader, leadership) = leases.leader("a").await;
    let mut theirs = leases.state().lease.clone().unwrap();
    theirs["spec"]["holderIdentity"] = json!("b");
    leases.state().store(theirs);
    assert_eq!(leader.hold().await, Lost::Taken { holder: "b".to_owned() });
    assert!(!leadership.is_current());

    let leases = Leases::default();
    let (mut leader, _) = leases.leader("a").await;
    let renewals = async {
        leases.state().lease = None;
        leader.hold().await
    };
    let started = Instant::now();
    assert_eq!(renewals.await, Lost::Gone);
    assert!(started.elapsed() <= 3 * RETRY);
}

#[tokio::test(start_paused = true)]
async fn one_that_another_writer_touched_is_read_and_renewed() {
    let leases = Leases::default();
    let (mut leader, leadership) = leases.leader("a").await;
    let touched = leases.state().lease.clone().unwrap();
    leases.state().store(touched);
    assert!(timeout(2 * LEASE_DURATION, leader.hold()).await.is_err());
    assert!(leadership.is_current());
}

#[tokio::test(start_paused = true)]
async fn missing_namespace_and_missing_right_are_said_with_what_to_do_and_tried_again() {
    let leases = Leases::default();
    let no_namespace = json!({
        "reason": "NotFound", "code": 404, "details": { "kind": "namespaces", "name": "system" },
    });
    let forbidden = json!({ "reason": "Forbidden", "code": 403, "message": "leases is forbidden" });
    let (mut election, leadership) = leases.candidate("a");
    let mut said = Vec::new();
    leases.state().refusal = Some(no_namespace);
    let acquired = election.acquire(|told| {
        let Candidacy::Troubled(trouble) = told else { panic!("{told:?}") };
        said.push(trouble);
        leases.state().refusal = (said.len() < 2).then(|| forbidden.clone());
    });
    acquired.await;
    assert!(leadership.is_current());
    let namespace = "system".to_owned();
    let answer = "leases is forbidden".to_owned();
    assert_eq!(
        said,
        [Trouble::NoNamespace { namespace: namespace.clone() }, Trouble::Forbidden { verb: "get", namespace, answer }]
    );
    assert!(
        said[1].to_string().contains("may not get the Lease meshagent-operator in namespace system"),
        "{}",
        said[1]
    );
}

#[tokio::test(start_paused = true)]
async fn without_leadership_the_gate_lets_reads_through_and_refuses_every_write() {
    let leadership = Leadership::none();
    let leases = Leases::default();
    let client = leases.client(leadership.clone());
    let request = async |method: Method| {
        let request = Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
        client.clone().send(request).await.map(|answer| answer.status().as_u16())
    };
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for method in &writes {
        let error = request(method.clone()).await.unwrap_err();
        assert!(matches!(&error, kube::Error::Service(cause) if cause.is::<NotLeading>()), "{method}: {error:?}");
    }
    assert_eq!(request(Method::GET).await.unwrap(), 404);
    assert_eq!(leases.state().requests, [Method::GET]);
    leadership.lead_until(Instant::now() + RENEW_DEADLINE);
    for method in &writes {
        leases.state().lease = None;
        leases.state().refusal = Some(json!({ "code": 418 }));
        assert_eq!(request(method.clone()).await.unwrap(), 418);
    }
    advance(RENEW_DEADLINE).await;
    request(Method::POST).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_elected_everybody_leads_for_ever() {
    let leadership = Leadership::always();
    advance(Duration::from_secs(100 * 365 * 24 * 60 * 60)).await;
    assert!(leadership.is_current() && (leadership.gate())());
}
