//! What a labelled pod is given: from the pod to a JSON patch, which never holds a secret.
//!
//! The OAuthClient is not asked: custom resources are often applied after the Deployments that want them. The pod is
//! pointed at the Secret by its name, and the kubelet waits for it.

mod patch;
mod request;
pub mod waiting;

use std::collections::BTreeSet;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;

use crate::api::names::OAUTH_CLIENTS_ANNOTATION;
use crate::decide::problem::InvalidSpec;
use patch::Target;
use request::Request;

pub use request::{Form, read_record};

/// The most names that a warning lists.
const MOST_NAMED: usize = 5;

/// What pods get that do not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The form of a credential.
    pub form: Form,
    /// Containers that get none unless their pod names them, such as the proxies of a mesh.
    pub skip_containers: BTreeSet<String>,
}

/// What a pod is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// What changes in the pod; empty if it has everything already.
    pub patch: Patch,
    /// What whoever creates the pod should know, one sentence each.
    pub warnings: Vec<String>,
}

/// What this pod is given; `None` for a pod without our label.
///
/// # Errors
/// The label and the annotations that cannot be carried out as they are written, all at once.
pub fn inject(pod: &Pod, defaults: &Defaults) -> Result<Option<Injection>, InvalidSpec> {
    let Some(request) = Request::read(pod, defaults.form)? else { return Ok(None) };
    let targets = chosen(pod, &request, defaults);
    let mut warnings = Vec::new();
    warnings.extend(missing(pod, &request));
    if request.is_for_several {
        warnings.push(format!("{OAUTH_CLIENTS_ANNOTATION} has no meaning yet; a pod gets the credential of its label"));
    }
    if targets.is_empty() {
        warnings.push("no container of this pod gets the credential".to_owned());
    }
    // A container that keeps something of its own in place of the credential is not on the record: it holds nothing.
    let own: Vec<Option<String>> = targets.iter().map(|target| target.keeps_its_own(&request)).collect();
    let given = || targets.iter().zip(&own).filter(|(_, own)| own.is_none()).map(|(target, _)| target.name());
    let record = request.record(given());
    let patch = match request.form {
        Form::File => {
            request.check_volume(pod)?;
            patch::files(pod, &request, &targets, record)
        }
        Form::Env => patch::variables(pod, &request, &targets, record),
    };
    warnings.extend(own.into_iter().flatten());
    Ok(Some(Injection { patch, warnings }))
}

/// The containers that get the credential. A choice that was recorded is not widened, but for containers that the pod
/// names: a container that another webhook added since was not chosen by anybody.
fn chosen<'a>(pod: &'a Pod, request: &Request<'_>, defaults: &Defaults) -> Vec<Target<'a>> {
    let all: Vec<Target<'_>> = patch::targets(pod).collect();
    let is_among = |names: &[&str], target: &Target<'_>| names.contains(&target.name());
    if let Some(named) = &request.containers {
        return all.into_iter().filter(|target| is_among(named, target)).collect();
    }
    // A record whose containers are all gone was made for another pod, and copied with its manifest.
    let is_ours = |names: &&Vec<&str>| names.is_empty() || all.iter().any(|target| is_among(names, target));
    let recorded = request.recorded.as_ref().filter(is_ours);
    let is_chosen = |target: &Target<'_>| match recorded {
        Some(names) => is_among(names, target),
        None => target.is_regular() && !defaults.skip_containers.contains(target.name()),
    };
    all.into_iter().filter(is_chosen).collect()
}

/// The warning that the pod names containers that it does not have.
fn missing(pod: &Pod, request: &Request<'_>) -> Option<String> {
    let present: BTreeSet<&str> = patch::targets(pod).map(|target| target.name()).collect();
    let named = request.containers.iter().flatten();
    let missing: Vec<&str> = named.filter(|name| !present.contains(*name)).copied().collect();
    let more = if missing.len() > MOST_NAMED { ", and more" } else { "" };
    (!missing.is_empty()).then(|| {
        let listed = missing.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        format!("the pod has no container called {listed}{more}, which its annotation meshagent.com/containers names")
    })
}

#[cfg(test)]
mod tests;
