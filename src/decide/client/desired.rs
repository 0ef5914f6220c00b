//! The spec, validated once into types, so that no later stage can meet a bad URL.
//!
//! The code refuses once more what the schema refuses, because a schema can be loosened, and what only code can check.
//! The defaults live here and not in the schema, so that what git holds is what the cluster holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::oauth_client::{Branding, OAuthClientSpec};
use crate::api::{limits, names, words};
use crate::decide::project::reference::ProjectRef;
use crate::decide::settings::Settings;

pub mod essentials;
pub mod lifecycle;
mod secret;

pub use crate::decide::problem::{InvalidSpec, Problem};
pub use essentials::Essentials;
pub use lifecycle::Lifecycle;
pub use secret::{SecretKeys, SecretLayout};

use crate::decide::problem::Problems;
use crate::decide::syntax::{self, Fault};

const DEFAULT_SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// Metadata key of the display name.
pub const NAME_KEY: &str = "name";
/// Metadata key of the logo's address.
pub const LOGO_URL_KEY: &str = "logo_url";
/// Metadata key of the login theme.
pub const THEME_KEY: &str = "theme";
/// Metadata key that hides the words "powered by MeshAgent".
pub const REMOVE_POWERED_BY_KEY: &str = "remove_powered_by_meshagent";

/// A client that shall exist, as its OAuthClient declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Present {
    /// What the client shall look like; the metadata is without the marker.
    pub settings: Settings,
    /// The Secret that the credential is written to.
    pub secret: SecretLayout,
    /// The project that the client lives in.
    pub project: ProjectRef,
    /// How the client comes, is replaced, and goes.
    pub lifecycle: Lifecycle,
}

impl Present {
    /// Reads the spec of the OAuthClient called `name`. Order and repetition in lists mean nothing.
    ///
    /// # Errors
    /// Returns all fields that cannot be carried out as they are written.
    pub fn read(spec: &OAuthClientSpec, name: &str) -> Result<Self, InvalidSpec> {
        let OAuthClientSpec {
            project_ref,
            display_name,
            redirect_uris,
            grant_types,
            response_types,
            scopes,
            branding,
            extra_metadata,
            secret,
            adopt: _,
            deletion_policy: _,
            on_credential_loss: _,
            suspend: _,
            rotation: _,
            rollout: _,
        } = spec;
        let mut problems = Problems::default();
        problems.check("metadata.name", syntax::client_name(name));
        let project = ProjectRef::read(project_ref.as_ref(), &mut problems);
        let mut metadata = BTreeMap::new();
        let shown = display_name.clone().unwrap_or_else(|| name.to_owned());
        problems.check("spec.displayName", syntax::shown_text(&shown));
        metadata.insert(NAME_KEY.to_owned(), shown);
        let redirect_uris = read_redirect_uris(redirect_uris.as_deref(), &mut problems);
        let grant_types = read_grant_types(grant_types.as_deref(), &mut problems);
        let authorizes = grant_types.contains("authorization_code");
        if authorizes && redirect_uris.is_empty() {
            let fix = "add a redirect URI, or set grantTypes to [client_credentials]";
            let problem = "is empty, but the grant type authorization_code (the default) needs at least one";
            problems.check("spec.redirectUris", Err(Fault { problem, fix }));
        }
        let response_types = read_response_types(response_types.as_deref(), authorizes, &mut problems);
        let scopes = read_scopes(scopes.as_deref(), &mut problems);
        metadata.extend(branding.as_ref().map(|it| read_branding(it, &mut problems)).unwrap_or_default());
        metadata.extend(extra_metadata.as_ref().map(|it| read_extra_metadata(it, &mut problems)).unwrap_or_default());
        let essentials = Essentials::read(spec, name);
        let secret = SecretLayout::read(secret.as_ref(), essentials.secret_name.clone(), &mut problems);
        let settings = Settings { redirect_uris, grant_types, response_types, scopes, metadata };
        let lifecycle = Lifecycle::read(spec, &essentials, &mut problems);
        problems.or(Self { settings, secret, project, lifecycle })
    }
}

fn set(texts: &[impl ToString]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn read_redirect_uris(uris: Option<&[String]>, problems: &mut Problems) -> BTreeSet<String> {
    let uris = uris.unwrap_or_default();
    problems.at_most("spec.redirectUris", uris.len(), limits::REDIRECT_URIS);
    for (index, uri) in uris.iter().enumerate() {
        problems.check(&format!("spec.redirectUris[{index}]"), syntax::redirect_uri(uri));
    }
    set(uris)
}

fn read_grant_types(types: Option<&[String]>, problems: &mut Problems) -> BTreeSet<String> {
    let Some(types) = types else {
        return set(&["authorization_code"]);
    };
    problems.at_most("spec.grantTypes", types.len(), limits::TYPES);
    if types.is_empty() {
        let problem = "is empty, and a client without a grant type can do nothing";
        let fix = "name one, or leave the field out for authorization_code";
        problems.check("spec.grantTypes", Err(Fault { problem, fix }));
    }
    for (index, word) in types.iter().enumerate() {
        problems.one_of(&format!("spec.grantTypes[{index}]"), word, &words::GRANT_TYPES);
    }
    set(types)
}

fn read_response_types(types: Option<&[String]>, authorizes: bool, problems: &mut Problems) -> BTreeSet<String> {
    let Some(types) = types else {
        return if authorizes { set(&["code"]) } else { BTreeSet::new() };
    };
    problems.at_most("spec.responseTypes", types.len(), limits::TYPES);
    for (index, word) in types.iter().enumerate() {
        problems.one_of(&format!("spec.responseTypes[{index}]"), word, &words::RESPONSE_TYPES);
    }
    set(types)
}

fn read_scopes(scopes: Option<&[String]>, problems: &mut Problems) -> BTreeSet<String> {
    let Some(scopes) = scopes else {
        return set(&DEFAULT_SCOPES);
    };
    problems.at_most("spec.scopes", scopes.len(), limits::SCOPES);
    for (index, scope) in scopes.iter().enumerate() {
        problems.check(&format!("spec.scopes[{index}]"), syntax::scope(scope));
    }
    set(scopes)
}

fn read_branding(branding: &Branding, problems: &mut Problems) -> BTreeMap<String, String> {
    let Branding { logo_url, theme, remove_powered_by } = branding;
    if let Some(url) = logo_url {
        problems.check("spec.branding.logoUrl", syntax::logo_url(url));
    }
    if let Some(theme) = theme {
        problems.one_of("spec.branding.theme", theme, &words::THEMES);
    }
    let values = [
        (LOGO_URL_KEY, logo_url.clone()),
        (THEME_KEY, theme.clone()),
        (REMOVE_POWERED_BY_KEY, remove_powered_by.map(|remove| remove.to_string())),
    ];
    values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn read_extra_metadata(entries: &BTreeMap<String, String>, problems: &mut Problems) -> BTreeMap<String, String> {
    problems.at_most("spec.extraMetadata", entries.len(), limits::METADATA_ENTRIES);
    for (key, value) in entries {
        // A key that was not checked yet may be long and hold control characters.
        let shown: String = key.chars().take(limits::METADATA_KEY).flat_map(char::escape_debug).collect();
        let field = format!("spec.extraMetadata[{shown}]");
        problems.check(&field, metadata_key(key));
        problems.check(&field, syntax::metadata_value(value));
    }
    entries.clone()
}

/// Whether a key is free for the user: neither another field's nor the operator's.
fn metadata_key(key: &str) -> Result<(), Fault> {
    match key {
        NAME_KEY => Err(Fault { problem: "is the display name", fix: "use displayName instead" }),
        LOGO_URL_KEY | THEME_KEY | REMOVE_POWERED_BY_KEY => {
            Err(Fault { problem: "is part of the login branding", fix: "use branding instead" })
        }
        own if own.starts_with(names::PREFIX) => {
            Err(Fault { problem: "is the operator's own", fix: "choose a key that does not begin with meshagent.com/" })
        }
        free => syntax::metadata_key(free),
    }
}

#[cfg(test)]
mod tests;
