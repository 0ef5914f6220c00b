//! The spec of a project, of either kind, validated once into types.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use crate::api::duration;
use crate::api::project::{
    AllowedNamespaces, CaBundleRef, ClusterMeshAgentProjectSpec, MeshAgentProjectSpec, NamespaceSelector, OrphansSpec,
    SecretKeyRef,
};
use crate::api::{limits, words};
use crate::decide::problem::{InvalidSpec, Problems};
use crate::decide::syntax::{self, Fault};

const DEFAULT_API_URL: &str = "https://api.meshagent.com";
const DEFAULT_API_KEY: &str = "api-key";
const DEFAULT_CA_KEY: &str = "ca.crt";
const DEFAULT_MIN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach a project, and what becomes of its orphans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProjectSettings {
    /// The project's id, if the spec names one; else the API key carries it.
    pub project_id: Option<String>,
    /// Address of the MeshAgent API, without slashes at its end.
    pub api_url: String,
    /// The place of the API key.
    pub api_key: ApiKeyRef,
    /// The place of the certificates that are trusted besides the public ones.
    pub ca_bundle: Option<BundleRef>,
    /// What becomes of clients whose OAuthClient is gone.
    pub orphans: Orphans,
}

/// The place of an API key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyRef {
    pub secret: String,
    /// The data key in that object.
    pub key: String,
}

/// The place of certificates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleRef {
    /// The kind of the object.
    pub kind: BundleKind,
    pub name: String,
    /// The data key in that object.
    pub key: String,
}

/// What holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BundleKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl BundleKind {
    /// The kind as Kubernetes names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// What becomes of clients whose OAuthClient is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Orphans {
    /// What is done with orphans.
    pub policy: OrphanPolicy,
    /// How long a client has to be an orphan first.
    pub min_age: Duration,
}

/// What is done with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrphanPolicy {
    /// Orphans are deleted.
    Delete,
    /// Orphans are listed in the project's status only.
    Report,
}

impl ProjectSettings {
    /// Reads the spec of a project of a namespace.
    ///
    /// # Errors
    /// Returns all fields that cannot be carried out as they are written.
    pub fn read(spec: &MeshAgentProjectSpec) -> Result<Self, InvalidSpec> {
        let mut problems = Problems::default();
        let read = Self::read_shared(spec, &mut problems);
        problems.or(read)
    }

    /// Reads the spec of a cluster project, and refuses what of its allowed namespaces cannot be read.
    ///
    /// # Errors
    /// Returns all fields that cannot be carried out as they are written.
    pub fn read_cluster(spec: &ClusterMeshAgentProjectSpec) -> Result<Self, InvalidSpec> {
        let ClusterMeshAgentProjectSpec { project, allowed_namespaces, adoption } = spec;
        let mut problems = Problems::default();
        let read = Self::read_shared(project, &mut problems);
        let adopting = adoption.as_ref().and_then(|adoption| adoption.allowed_namespaces.as_ref());
        for (field, allowed) in
            [("spec.allowedNamespaces", allowed_namespaces.as_ref()), ("spec.adoption.allowedNamespaces", adopting)]
        {
            allowed.into_iter().for_each(|allowed| check_namespaces(field, allowed, &mut problems));
        }
        problems.or(read)
    }

    fn read_shared(spec: &MeshAgentProjectSpec, problems: &mut Problems) -> Self {
        let MeshAgentProjectSpec { project_id, api_url, api_key_secret_ref, ca_bundle_ref, orphans } = spec;
        if let Some(id) = project_id {
            problems.check("spec.projectId", syntax::project_id(id));
        }
        let api_url = api_url.as_deref().unwrap_or(DEFAULT_API_URL);
        problems.check("spec.apiUrl", syntax::api_url(api_url));
        let SecretKeyRef { name, key } = api_key_secret_ref.clone().unwrap_or_default();
        let secret = name.unwrap_or_default();
        problems.check("spec.apiKeySecretRef.name", syntax::object_name(&secret));
        let key = key.unwrap_or_else(|| DEFAULT_API_KEY.to_owned());
        problems.check("spec.apiKeySecretRef.key", syntax::data_key(&key));
        let ca_bundle = ca_bundle_ref.as_ref().map(|reference| read_bundle_ref(reference, problems));
        let orphans = read_orphans(&orphans.clone().unwrap_or_default(), problems);
        Self {
            project_id: project_id.clone(),
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_key: ApiKeyRef { secret, key },
            ca_bundle,
            orphans,
        }
    }
}

fn read_bundle_ref(reference: &CaBundleRef, problems: &mut Problems) -> BundleRef {
    let CaBundleRef { kind, name, key } = reference;
    let (kind, name) = (kind.as_deref().unwrap_or_default(), name.clone().unwrap_or_default());
    problems.one_of("spec.caBundleRef.kind", kind, &words::CA_BUNDLE_KINDS);
    problems.check("spec.caBundleRef.name", syntax::object_name(&name));
    let key = key.clone().unwrap_or_else(|| DEFAULT_CA_KEY.to_owned());
    problems.check("spec.caBundleRef.key", syntax::data_key(&key));
    let kind = if kind == "ConfigMap" { BundleKind::ConfigMap } else { BundleKind::Secret };
    BundleRef { kind, name, key }
}

fn read_orphans(orphans: &OrphansSpec, problems: &mut Problems) -> Orphans {
    let OrphansSpec { policy, min_age } = orphans;
    let policy = policy.as_deref().unwrap_or("Delete");
    problems.one_of("spec.orphans.policy", policy, &words::ORPHAN_POLICIES);
    let policy = if policy == "Delete" { OrphanPolicy::Delete } else { OrphanPolicy::Report };
    let min_age = min_age.as_deref().map_or(Ok(DEFAULT_MIN_AGE), duration::parse).unwrap_or_else(|error| {
        let (problem, fix) = error.problem_and_fix();
        problems.refuse("spec.orphans.minAge", problem.to_owned(), fix.to_owned());
        DEFAULT_MIN_AGE
    });
    Orphans { policy, min_age }
}

/// Refuses each part of a list or selector that cannot be read, because the rest of it could mean more namespaces.
fn check_namespaces(field: &str, allowed: &AllowedNamespaces, problems: &mut Problems) {
    let AllowedNamespaces { names, selector } = allowed;
    let names = names.as_deref().unwrap_or_default();
    problems.at_most(&format!("{field}.names"), names.len(), limits::NAMESPACES);
    for (index, name) in names.iter().enumerate() {
        problems.check(&format!("{field}.names[{index}]"), syntax::namespace_name(name));
    }
    if let Some(selector) = selector {
        check_selector(&format!("{field}.selector"), selector, problems);
    }
}

/// Whether each part of a selector can be read; without one part, the others could select more.
#[must_use]
pub fn selector_can_be_read(selector: &NamespaceSelector) -> bool {
    let mut problems = Problems::default();
    check_selector("selector", selector, &mut problems);
    problems.or(()).is_ok()
}

fn check_selector(field: &str, selector: &NamespaceSelector, problems: &mut Problems) {
    let NamespaceSelector { match_labels, match_expressions, unknown } = selector;
    if !unknown.is_empty() {
        let problem = "has a field of a name that is not known";
        problems.check(field, Err(Fault { problem, fix: "write matchLabels or matchExpressions" }));
    }
    let emptied = Fault { problem: "is empty", fix: "name what is to match, or write selector: {} for all namespaces" };
    if let Some(labels) = match_labels {
        let field = format!("{field}.matchLabels");
        problems.check(&field, emptied.unless(!labels.is_empty()));
        problems.at_most(&field, labels.len(), limits::MATCH_LABELS);
        for (key, value) in labels {
            problems.check(&field, syntax::qualified_name(key));
            problems.check(&field, syntax::label_value(value));
        }
    }
    if let Some(expressions) = match_expressions {
        let field = format!("{field}.matchExpressions");
        problems.check(&field, emptied.unless(!expressions.is_empty()));
        problems.at_most(&field, expressions.len(), limits::MATCH_EXPRESSIONS);
        for (index, expression) in expressions.iter().enumerate() {
            check_expression(&format!("{field}[{index}]"), expression, problems);
        }
    }
}

fn check_expression(field: &str, expression: &LabelSelectorRequirement, problems: &mut Problems) {
    let LabelSelectorRequirement { key, operator, values } = expression;
    let values = values.as_deref().unwrap_or_default();
    problems.check(field, syntax::qualified_name(key));
    problems.one_of(&format!("{field}.operator"), operator, &words::OPERATORS);
    let field = format!("{field}.values");
    let compares = ["In", "NotIn"].contains(&&**operator);
    if values.is_empty() == compares {
        let problem = "does not fit the operator: In and NotIn need values, Exists and DoesNotExist take none";
        problems.check(&field, Err(Fault { problem, fix: "add values, or change the operator" }));
    }
    problems.at_most(&field, values.len(), limits::MATCH_VALUES);
    for value in values {
        problems.check(&field, syntax::label_value(value));
    }
}

#[cfg(test)]
mod tests;
