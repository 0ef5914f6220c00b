//! The part of the spec that describes the Secret for the credential.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::limits;
use crate::api::oauth_client::{SecretKeysSpec, SecretSpec};
use crate::decide::problem::Problems;
use crate::decide::published::Published;
use crate::decide::syntax::{self, Fault};

/// The Secret that a credential is written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretLayout {
    pub name: String,
    /// The names of the data keys.
    pub keys: SecretKeys,
    /// Labels besides the operator's own.
    pub labels: BTreeMap<String, String>,
    /// Annotations besides the operator's own.
    pub annotations: BTreeMap<String, String>,
    /// The type, which Kubernetes keeps for ever.
    pub type_: String,
}

/// The names of a Secret's data keys; no two are alike. `None` leaves a value out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKeys {
    /// The key of the client id.
    pub client_id: String,
    /// The key of the client secret.
    pub client_secret: String,
    /// The key of the project id.
    pub project_id: Option<String>,
    /// The key of the authorization endpoint's address.
    pub authorize_url: Option<String>,
    /// The key of the token endpoint's address.
    pub token_url: Option<String>,
    /// The key of the scopes.
    pub scopes: Option<String>,
}

impl SecretLayout {
    /// The layout for the Secret of this name, with the defaults filled in.
    pub(super) fn read(secret: Option<&SecretSpec>, name: String, problems: &mut Problems) -> Self {
        let SecretSpec { name: named, keys, labels, annotations, type_ } = secret.cloned().unwrap_or_default();
        if let Some(named) = &named {
            problems.check("spec.secret.name", syntax::object_name(named));
        }
        let type_ = type_.unwrap_or_else(|| "Opaque".to_owned());
        let keys = SecretKeys::read(keys.unwrap_or_default(), problems);
        let labels = labels.unwrap_or_default();
        read_metadata("labels", &labels, (syntax::label_key, syntax::label_value), problems);
        let annotations = annotations.unwrap_or_default();
        read_metadata("annotations", &annotations, (syntax::secret_metadata_key, syntax::annotation_value), problems);
        problems.check("spec.secret.annotations", syntax::annotations_together(&annotations));
        problems.check("spec.secret.type", syntax::secret_type(&type_));
        Self { name, keys, labels, annotations, type_ }
    }
}

type Check = fn(&str) -> Result<(), Fault>;

fn read_metadata(
    field: &str,
    entries: &BTreeMap<String, String>,
    (check_key, check_value): (Check, Check),
    problems: &mut Problems,
) {
    let field = format!("spec.secret.{field}");
    problems.at_most(&field, entries.len(), limits::SECRET_METADATA);
    for (key, value) in entries {
        problems.check(&field, check_key(key));
        problems.check(&field, check_value(value));
    }
}

impl SecretKeys {
    fn read(keys: SecretKeysSpec, problems: &mut Problems) -> Self {
        let SecretKeysSpec { client_id, client_secret, project_id, authorize_url, token_url, scopes } = keys;
        let key = |given: Option<String>, value: Published| given.unwrap_or_else(|| value.data_key().to_owned());
        let droppable = |given, value| Some(key(given, value)).filter(|key| !key.is_empty());
        let keys = Self {
            client_id: key(client_id, Published::ClientId),
            client_secret: key(client_secret, Published::ClientSecret),
            project_id: droppable(project_id, Published::ProjectId),
            authorize_url: droppable(authorize_url, Published::AuthorizeUrl),
            token_url: droppable(token_url, Published::TokenUrl),
            scopes: droppable(scopes, Published::Scopes),
        };
        let mut seen = BTreeSet::new();
        for (field, key) in keys.named() {
            let field = format!("spec.secret.keys.{field}");
            problems.check(&field, syntax::data_key(key));
            if !seen.insert(key) {
                let problem = "is the data key of another value too, counting the defaults";
                problems.check(&field, Err(Fault { problem, fix: "choose different names" }));
            }
        }
        keys
    }

    /// The keys that are written, each with its field in the spec.
    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { client_id, client_secret, project_id, authorize_url, token_url, scopes } = self;
        let all = [
            (Published::ClientId, Some(client_id)),
            (Published::ClientSecret, Some(client_secret)),
            (Published::ProjectId, project_id.as_ref()),
            (Published::AuthorizeUrl, authorize_url.as_ref()),
            (Published::TokenUrl, token_url.as_ref()),
            (Published::Scopes, scopes.as_ref()),
        ];
        all.into_iter().filter_map(|(value, key)| Some((value.field(), key?.as_str())))
    }
}
