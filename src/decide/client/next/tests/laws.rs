//! What holds for whatever a spec says and a pass may know, whatever it is answered.

use proptest::prelude::*;

use super::*;
use crate::decide::client::desired::lifecycle::{Adopt, CredentialRef};
use crate::decide::client::observed::{Beginning, Cooldown, ProjectFacts};
use crate::decide::time::ClockState;

fn any_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::Delete, Policy::Retain])
}

fn any_adoption() -> impl Strategy<Value = Option<Adopt>> {
    prop::option::weighted(0.3, prop::bool::ANY).prop_map(|adopts| {
        adopts.map(|with_credential| Adopt {
            client_id: id("x"),
            credential: with_credential.then(|| CredentialRef {
                secret: "given".to_owned(),
                client_id_key: "CLIENT_ID".to_owned(),
                client_secret_key: "CLIENT_SECRET".to_owned(),
            }),
        })
    })
}

/// Anything that an object may ask for.
fn any_desired() -> impl Strategy<Value = Desired> {
    let on_loss = prop::sample::select(vec![OnLoss::Recreate, OnLoss::Block]);
    let suspended = prop::bool::weighted(0.1);
    let present = (any_policy(), any_adoption(), on_loss, suspended).prop_map(|(policy, adopt, on_loss, suspended)| {
        Desired::Present(Box::new(Wanted { policy, adopt, on_loss, suspended, ..wanted() }))
    });
    let invalid = Just(Desired::Invalid(Failure::stalled(Reason::InvalidSpec, "correct it")));
    let absent =
        (any_policy(), prop::bool::ANY).prop_map(|(policy, forced)| Desired::Absent(Deletion { policy, forced }));
    prop_oneof![6 => present, 1 => invalid, 3 => absent]
}

fn any_object() -> impl Strategy<Value = Object> {
    let tokens = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let ids = prop::option::of(prop::sample::select(vec!["x", "y", "foreign"]));
    let asks = (prop::bool::ANY, prop::bool::ANY, prop::bool::weighted(0.2));
    let unknown = prop::collection::btree_set(0..3, 0..3);
    let retiring = prop::collection::btree_map(prop::sample::select(vec!["y", "z"]), prop::bool::ANY, 0..3);
    let replaced = prop::sample::select(vec![Replaced::LongAgo, Replaced::WithinOverlap, Replaced::JustNow]);
    (tokens, ids, asks, unknown, retiring, replaced).prop_map(
        |(random, client_id, asks, unknown, retiring, replaced)| {
            let (finalizer, rotation_asked, adopted) = asks;
            let retiring = retiring.into_iter().map(|(client_id, due)| Retiring { client_id: id(client_id), due });
            Object {
                token: random.map(token),
                finalizer,
                rotation_asked,
                replaced,
                unknown: unknown.into_iter().map(|n: i32| token(&n.to_string())).collect(),
                recorded: Recorded {
                    client_id: client_id.map(id),
                    adopted: adopted && client_id.is_some(),
                    retiring: retiring.collect(),
                    ..recorded().recorded
                },
                ..fresh()
            }
        },
    )
}

fn any_secret() -> impl Strategy<Value = Secret> {
    let tokens = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let ids = prop::option::of(prop::sample::select(vec!["x", "y", "foreign"]));
    let credentials = vec![
        Credential::Unread,
        Credential::AsRecorded,
        Credential::Other(CredentialDigest::new("o")),
        Credential::Broken,
    ];
    let flags = (prop::bool::ANY, prop::bool::ANY, prop::bool::ANY, prop::bool::weighted(0.2));
    let ours =
        (tokens, ids, prop::sample::select(credentials), flags).prop_map(|(random, client_id, credential, flags)| {
            let (in_shape, misplaced, owned, retained) = flags;
            let (token, client_id) = (random.map(token), client_id.map(id));
            let version = Version::new("4");
            Secret::Ours(Stored { version, token, client_id, credential, in_shape, misplaced, owned, retained })
        });
    let foreign = prop::sample::select(vec![
        foreign(None, Content::Unread),
        foreign(None, Content::Adoptable),
        foreign(None, Content::Other),
        foreign(Some(("x", "former")), Content::Other),
    ]);
    prop_oneof![2 => Just(Secret::Absent), 2 => foreign, 6 => ours]
}

fn any_pending() -> impl Strategy<Value = Pending> {
    let keyless = Pending::Keyless { client_id: id("keyless"), failure: Failure::retry(Reason::APIUnavailable, "") };
    let unspent = |random| Pending::Unspent(token(random));
    prop::sample::select(vec![
        Pending::Nothing,
        Pending::Nothing,
        unspent("a"),
        unspent("b"),
        credential("a", "held"),
        credential("b", "held"),
        keyless,
    ])
}

/// Anything that a pass may know at its start.
fn any_observed() -> impl Strategy<Value = Observed> {
    let clients = prop::collection::btree_map(prop::sample::select(vec!["x", "y", "z"]), prop::bool::ANY, 0..3);
    let leftover = prop::option::weighted(0.2, Just(Version::new("3")));
    let cooldown = prop::sample::select(vec![Cooldown::None, Cooldown::Short, Cooldown::Long]);
    let project = (0..4, prop::bool::ANY).prop_map(|(state, may_adopt)| match state {
        0 => ProjectState::Failed(Failure::retry(Reason::APIUnavailable, "")),
        _ => usable(may_adopt),
    });
    let clock = prop::sample::select(vec![ClockState::Right, ClockState::Wrong]);
    let many_gone = prop::option::weighted(0.1, Just(Failure::wait(Reason::ProjectNotReady, "ManyClientsGone")));
    (any_object(), any_secret(), any_pending(), clients, leftover, cooldown, project, (clock, many_gone)).prop_map(
        |(object, secret, pending, clients, leftover, cooldown, state, (clock, many_gone))| {
            let marked = |ours: bool| RemoteClient {
                settings: Settings::default(),
                marker: ours.then(|| wanted().marker(&token("a"))),
            };
            let remote = clients.into_iter().map(|(client_id, ours)| (id(client_id), Remote::Listed(marked(ours))));
            let leftover = leftover.filter(|_| secret.stored().is_some_and(|stored| !stored.misplaced));
            Observed::begin(Beginning {
                object,
                secret,
                leftover,
                remote: remote.collect(),
                pending,
                cooldown,
                clock,
                project: ProjectFacts { id: None, state, many_gone },
            })
        },
    )
}

fn stored_at(tick: u32, random: &Token, client_id: &ClientId) -> Stored {
    Stored {
        version: Version::new(tick.to_string()),
        token: Some(random.clone()),
        client_id: Some(client_id.clone()),
        credential: Credential::Other(CredentialDigest::new("d")),
        in_shape: true,
        misplaced: false,
        owned: true,
        retained: false,
    }
}

/// The object once the record is in its status.
fn after_record(record: &Record, mut object: Object) -> Object {
    if let Some(published) = &record.published {
        let Published { client_id, credential, adopted, drift } = published.clone();
        let recorded = &mut object.recorded;
        recorded.client_id = Some(client_id);
        recorded.adopted = adopted;
        recorded.drift = drift;
        recorded.secret_name = credential.as_ref().map(|_| wanted().secret_name);
        recorded.secret_version = credential.as_ref().map(|stored| stored.version.clone());
        recorded.digest = credential.and_then(|stored| stored.digest.or_else(|| recorded.digest.clone()));
        object.rotation_asked &= record.conclusion != Conclusion::Converged;
    }
    let retiring = record.retiring.iter().map(|client_id| Retiring { client_id: client_id.clone(), due: false });
    object.recorded.retiring = retiring.collect();
    object
}

/// A plausible answer to a step: `luck` decides which.
fn answer(step: &Step, seen: &Observed, luck: u8) -> Answer {
    let object = seen.object.clone();
    let fresh_token = token(&format!("fresh{}", seen.tick));
    let stored = |random: &Token, client_id: &ClientId| stored_at(seen.tick, random, client_id);
    match step {
        Step::ReadLive => Answer::Live((luck != 1).then_some(object), seen.secret.clone(), None),
        Step::ReadSecret => {
            Answer::Data([Credential::AsRecorded, Credential::Broken][usize::from(luck % 2)].clone(), true)
        }
        _ if luck == 2 => Answer::Conflict,
        _ if luck == 3 => Answer::Failed(Failure::retry(Reason::APIUnavailable, "")),
        Step::List => Answer::Listing(BTreeMap::new()),
        Step::Get { .. } => Answer::Client((luck != 0).then(|| wanted().client(&token("a")))),
        Step::WriteIntent { unknown, .. } => {
            let object =
                Object { token: Some(fresh_token.clone()), unknown: unknown.clone(), finalizer: true, ..object };
            Answer::Intent(object, fresh_token)
        }
        Step::DryRun { .. } if luck == 5 => Answer::Failed(Failure::stalled(Reason::SecretRejected, "")),
        Step::DryRun { .. } => Answer::DryRunPassed,
        Step::Post { .. } if luck == 5 => Answer::Refused(Failure::stalled(Reason::LimitReached, "")),
        Step::Post { token } => Answer::Created {
            client_id: id("made"),
            digest: CredentialDigest::new("d"),
            client: wanted().client(token),
        },
        Step::Publish { client_id, token, .. } => Answer::Stored(stored(token, client_id)),
        Step::MoveToken { token, .. } => match &seen.secret {
            Secret::Ours(before) => Answer::Stored(Stored { token: Some(token.clone()), ..before.clone() }),
            Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
        },
        Step::Reshape { client_id, .. } | Step::Relocate { client_id, .. } => {
            Answer::Stored(stored(object.token.as_ref().unwrap_or(&fresh_token), client_id))
        }
        Step::Put { result, .. } => Answer::Updated((**result).clone()),
        Step::Delete { .. } => Answer::Deleted,
        Step::TakeCredential { client_id, .. } => {
            Answer::Taken { client_id: client_id.clone(), digest: CredentialDigest::new("d") }
        }
        Step::TakeOver { client_id, token, .. } => Answer::Stored(stored(token, client_id)),
        Step::ReleaseSecret { retained, .. } => match &seen.secret {
            Secret::Ours(before) => Answer::Stored(Stored { owned: false, retained: *retained, ..before.clone() }),
            Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
        },
        Step::DeleteSecret { .. } => Answer::SecretGone,
        Step::CheckCrd => Answer::Crd(if luck == 4 { CrdState::Away } else { CrdState::Established }),
        Step::Abandon { .. } => Answer::Abandoned,
        Step::Forget | Step::Rest => Answer::Forgotten,
        Step::Record(record) => Answer::Recorded(after_record(record, object)),
        Step::AddFinalizer { .. } => Answer::Object(Object { finalizer: true, ..object }),
        Step::StrikeUnknown { .. } => Answer::Object(Object { unknown: BTreeSet::new(), ..object }),
        Step::RemoveFinalizer { .. } => Answer::Released,
    }
}

/// The clients that an object may change or delete: those that bear its marker, those that it, its Secret or this
/// process names, and for a change the one that it adopts.
fn is_its_own(step: &Step, desired: &Desired, seen: &Observed, marked: &BTreeSet<ClientId>) -> bool {
    let (Step::Put { client_id, .. } | Step::Delete { client_id, .. }) = step else {
        return true;
    };
    let changes = matches!(step, Step::Put { .. });
    let adopts = matches!(desired, Desired::Present(wanted) if wanted.adopts(client_id));
    marked.contains(client_id)
        || seen.object.recorded.names(client_id)
        || seen.holds(client_id)
        || ["held", "keyless", "made"].contains(&client_id.as_str())
        || adopts && changes
}

fn calls_nobody(step: &Step) -> bool {
    !matches!(step, Step::Post { .. } | Step::Put { .. } | Step::Delete { .. } | Step::TakeCredential { .. })
}

proptest! {
    #[test]
    fn every_pass_ends_posts_no_token_twice_and_touches_nothing_that_is_not_ours(
        mut seen in any_observed(),
        desired in any_desired(),
        luck in prop::collection::vec(0_u8..6, 80),
    ) {
        let has_marker = |(id, known): (&ClientId, &Remote)| {
            known.client().filter(|client| client.marker.is_some()).map(|_| id.clone())
        };
        let mut marked = BTreeSet::new();
        let suspended = matches!(&desired, Desired::Present(wanted) if wanted.suspended);
        let mut posted = BTreeSet::new();
        let mut ended = false;
        for luck in luck {
            marked.extend(seen.remote.iter().filter_map(has_marker));
            let step = next(&desired, &seen);
            if step == Step::Rest {
                ended = true;
                break;
            }
            prop_assert!(is_its_own(&step, &desired, &seen, &marked), "{:?} is not ours", step);
            prop_assert!(!suspended || seen.object_gone || calls_nobody(&step), "{:?} while suspended", step);
            let answer = answer(&step, &seen, luck);
            // A POST that is refused spends no token.
            if let (Step::Post { token }, false) = (&step, matches!(answer, Answer::Refused(_))) {
                prop_assert!(posted.insert(token.clone()), "{} was POSTed twice", token);
            }
            let recorded = matches!(&answer, Answer::Recorded(object) if object.unknown.is_empty());
            seen.absorb(&step, answer);
            if let Step::Record(record) = &step && recorded && record.conclusion == Conclusion::Converged {
                prop_assert_eq!(next(&desired, &seen), Step::Rest, "after {:?}", record);
            }
        }
        prop_assert!(ended, "the pass does not end: {:?}", seen);
    }
}
