//! The objects, Secrets and facts that tests of this folder start from.

use std::collections::{BTreeMap, BTreeSet};

use super::change::Wanted;
use super::desired::lifecycle::OnLoss;
use super::observed::{
    Beginning, Cooldown, Credential, Object, Observed, Pending, ProjectFacts, ProjectState, Recorded, Remote,
    RemoteClient, Replaced, Secret, Stored,
};
use crate::decide::id::{ClientId, ClusterId, CredentialDigest, Token, Uid, Version};
use crate::decide::marker::{Owner, Policy};
use crate::decide::settings::Settings;
use crate::decide::time::ClockState;

pub(super) fn uid() -> Uid {
    Uid::new("u")
}

pub(super) fn token(random: &str) -> Token {
    Token::mint(&uid(), random)
}

pub(super) fn id(text: &str) -> ClientId {
    ClientId::new(text)
}

pub(super) fn owner() -> Owner {
    Owner { cluster: ClusterId::new("k"), namespace: "shop".into(), name: "web".into(), uid: uid() }
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        settings: Settings { scopes: BTreeSet::from(["openid".to_owned()]), ..Settings::default() },
        owner: owner(),
        policy: Policy::Delete,
        adopt: None,
        on_loss: OnLoss::Recreate,
        suspended: false,
        secret_name: "web-oauth".to_owned(),
    }
}

/// An object that nothing was done for yet.
pub(super) fn object() -> Object {
    Object {
        uid: uid(),
        version: Version::new("1"),
        finalizer: false,
        token: None,
        unknown: BTreeSet::new(),
        recorded: Recorded::default(),
        rotation_asked: false,
        replaced: Replaced::LongAgo,
        orphaning: false,
    }
}

/// An object whose client `c` was made by the POST with token `t`, and recorded.
pub(super) fn recorded() -> Object {
    Object {
        version: Version::new("5"),
        finalizer: true,
        token: Some(token("t")),
        recorded: Recorded {
            client_id: Some(id("c")),
            secret_version: Some(Version::new("4")),
            digest: Some(CredentialDigest::new("dc")),
            ..Recorded::default()
        },
        ..object()
    }
}

pub(super) fn stored(random: &str, client_id: &str, credential: Credential) -> Secret {
    Secret::Ours(Stored {
        version: Version::new("4"),
        token: Some(token(random)),
        client_id: Some(id(client_id)),
        credential,
        in_shape: true,
        misplaced: false,
        owned: true,
        retained: false,
    })
}

pub(super) fn usable(may_adopt: bool) -> ProjectState {
    ProjectState::Usable { may_adopt }
}

/// What a pass begins with in a project that can be used.
pub(super) fn beginning(object: Object, secret: Secret) -> Beginning {
    Beginning {
        object,
        secret,
        leftover: None,
        remote: BTreeMap::new(),
        pending: Pending::Nothing,
        cooldown: Cooldown::None,
        project: ProjectFacts { id: None, state: usable(false), many_gone: None },
        clock: ClockState::Right,
    }
}

pub(super) fn observed(object: Object, secret: Secret, remote: &[(&str, RemoteClient)], pending: Pending) -> Observed {
    let listed = |(client_id, client): &(&str, RemoteClient)| (id(client_id), Remote::Listed(client.clone()));
    let remote = remote.iter().map(listed).collect();
    Observed::begin(Beginning { remote, pending, ..beginning(object, secret) })
}

/// All at rest: object, Secret and client `c` agree.
pub(super) fn at_rest() -> Observed {
    let client = wanted().client(&token("t"));
    observed(recorded(), stored("t", "c", Credential::AsRecorded), &[("c", client)], Pending::Nothing)
}
