//! The patch itself: what is added to a pod, and where.

use json_patch::jsonptr::{PointerBuf, Token};
use json_patch::{AddOperation, Patch, PatchOperation};
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::request::{Form, Request, VOLUME};
use crate::api::names::INJECTED_ANNOTATION;
use crate::decide::published::Published;

/// Where containers find the Secret's data keys as files.
pub const FOLDER: &str = "/var/run/secrets/meshagent.com/oauth";

/// A container of a pod, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    list: &'static str,
    index: usize,
    container: &'a Container,
}

/// All containers of a pod. Ephemeral ones are not among them: nobody is to give a credential to a shell for debugging.
pub(super) fn targets(pod: &Pod) -> impl Iterator<Item = Target<'_>> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    listed("initContainers", init).chain(listed("containers", regular))
}

fn listed<'a>(list: &'static str, containers: &'a [Container]) -> impl Iterator<Item = Target<'a>> {
    containers.iter().enumerate().map(move |(index, container)| Target { list, index, container })
}

impl<'a> Target<'a> {
    pub(super) fn name(&self) -> &'a str {
        &self.container.name
    }

    /// Whether the container is neither an init container nor a native sidecar, which stands among those.
    pub(super) fn is_regular(&self) -> bool {
        self.list == "containers"
    }

    fn sets(&self, variable: &str) -> bool {
        self.container.env.iter().flatten().any(|entry| entry.name == variable)
    }

    /// Whether the container sets this value of the Secret itself, as the webhook would.
    fn has(&self, value: Published, request: &Request<'_>) -> bool {
        let mut own = self.container.env.iter().flatten();
        own.any(|entry| {
            let source = entry.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            entry.name == value.variable() && source.is_some_and(|source| source.name == request.secret)
        })
    }

    /// Whether the container brings a part of the credential itself: then it gets neither part, since one client's id
    /// is of no use with another's secret.
    fn brings_its_own(&self) -> bool {
        Published::ALL.into_iter().any(|value| value.is_credential() && self.sets(value.variable()))
    }

    /// The warning for a container that keeps something of its own in place of the credential.
    pub(super) fn keeps_its_own(&self, request: &Request<'_>) -> Option<String> {
        match request.form {
            Form::Env => self.keeps_its_variable(request),
            Form::File => self.keeps_its_mount(),
        }
    }

    fn keeps_its_variable(&self, request: &Request<'_>) -> Option<String> {
        let mut pair = Published::ALL.into_iter().filter(|value| value.is_credential());
        let own = pair.find(|value| self.sets(value.variable()) && !self.has(*value, request))?;
        let name = self.name();
        Some(format!("container {name} sets {} itself, and so gets no client id and secret", own.variable()))
    }

    /// The volume that the container mounts where the files are to be.
    fn mount_of_folder(&self) -> Option<&'a str> {
        let mut mounts = self.container.volume_mounts.iter().flatten();
        let mount = mounts.find(|mount| mount.mount_path.trim_end_matches('/') == FOLDER)?;
        Some(&mount.name)
    }

    fn keeps_its_mount(&self) -> Option<String> {
        let volume = self.mount_of_folder().filter(|volume| *volume != VOLUME)?;
        Some(format!("container {} mounts the volume {volume} at {FOLDER}, and so gets no files", self.name()))
    }

    fn pointer(&self, field: &str) -> PointerBuf {
        at(&["spec", self.list, &self.index.to_string(), field])
    }
}

fn at(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().map(|token| Token::new(*token)))
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

/// Gives variables to containers, before their own: a container renames one by `value: $(MESHAGENT_OAUTH_CLIENT_ID)`.
pub(super) fn variables(pod: &Pod, request: &Request<'_>, targets: &[Target<'_>], record: String) -> Patch {
    let mut operations = Vec::new();
    for target in targets {
        let brings_its_own = target.brings_its_own();
        let is_withheld = |value: Published| brings_its_own && value.is_credential();
        let wanted = request.values.iter().filter(|(value, _)| !target.sets(value.variable()) && !is_withheld(*value));
        let entries: Vec<Value> = wanted.map(|(value, key)| variable(*value, key, &request.secret)).collect();
        let path = target.pointer("env");
        if target.container.env.is_some() {
            let entries = entries.into_iter().enumerate();
            operations.extend(entries.map(|(index, entry)| add(path.with_trailing_token(index), entry)));
        } else if !entries.is_empty() {
            operations.push(add(path, Value::Array(entries)));
        }
    }
    operations.extend(recorded(pod, record));
    Patch(operations)
}

/// A variable with the value of a data key. The container waits for the credential; a Secret may lack the rest.
fn variable(value: Published, key: &str, secret: &str) -> Value {
    let mut source = json!({ "name": secret, "key": key });
    if !value.is_credential() {
        source["optional"] = json!(true);
    }
    json!({ "name": value.variable(), "valueFrom": { "secretKeyRef": source } })
}

/// Gives files to containers: the whole Secret in a folder, and not single files, which a rotation would not reach.
pub(super) fn files(pod: &Pod, request: &Request<'_>, targets: &[Target<'_>], record: String) -> Patch {
    let mut operations = Vec::new();
    for target in targets.iter().filter(|target| target.mount_of_folder().is_none()) {
        let mount = json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true });
        let is_first = target.container.volume_mounts.is_none();
        operations.push(append(target.pointer("volumeMounts"), is_first, mount));
    }
    let present = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    if !operations.is_empty() && !present.iter().flat_map(|all| all.iter()).any(|volume| volume.name == VOLUME) {
        let volume = json!({ "name": VOLUME, "secret": { "secretName": request.secret } });
        operations.insert(0, append(at(&["spec", "volumes"]), present.is_none(), volume));
    }
    operations.extend(recorded(pod, record));
    Patch(operations)
}

/// Appends to a list, or begins it.
fn append(list: PointerBuf, is_first: bool, item: Value) -> PatchOperation {
    if is_first { add(list, json!([item])) } else { add(list.with_trailing_token("-"), item) }
}

/// Records what the pod was given, unless its record says so already.
fn recorded(pod: &Pod, wanted: String) -> Option<PatchOperation> {
    let present = pod.metadata.annotations.as_ref();
    if present.is_some_and(|annotations| annotations.get(INJECTED_ANNOTATION) == Some(&wanted)) {
        return None;
    }
    Some(match present {
        Some(_) => add(at(&["metadata", "annotations", INJECTED_ANNOTATION]), Value::String(wanted)),
        None => add(at(&["metadata", "annotations"]), json!({ INJECTED_ANNOTATION: wanted })),
    })
}
