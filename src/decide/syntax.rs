//! The form of each text in a spec.

use std::collections::BTreeMap;

use crate::api::{limits, names};

mod uri;

pub(in crate::decide) use crate::api::fault::Fault;
pub(in crate::decide) use uri::{api_url, logo_url, redirect_uri};

/// A [`Fault`] unless the condition holds.
fn need(holds: bool, problem: &'static str, fix: &'static str) -> Result<(), Fault> {
    Fault { problem, fix }.unless(holds)
}

fn shorter(text: &str, limit: usize) -> Result<(), Fault> {
    need(text.chars().count() <= limit, "is too long", "shorten it to what kubectl explain says")
}

/// A scope token of RFC 6749.
pub(in crate::decide) fn scope(scope: &str) -> Result<(), Fault> {
    shorter(scope, limits::SCOPE)?;
    need(
        !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'),
        "is not one token of printable ASCII without spaces, quotes and backslashes",
        "write each scope as an item of its own",
    )
}

/// Whether a character changes the direction of writing or breaks the line, without being a control character.
fn is_disguise(character: char) -> bool {
    matches!(character, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Text that is shown to people.
pub(in crate::decide) fn shown_text(text: &str) -> Result<(), Fault> {
    shorter(text, limits::DISPLAY_NAME)?;
    need(
        !text.trim().is_empty() && !text.chars().any(|character| character.is_control() || is_disguise(character)),
        "is blank, or holds control characters, line breaks or characters that change the direction of writing",
        "remove them",
    )
}

/// A metadata key, whoever may use it.
pub(in crate::decide) fn metadata_key(key: &str) -> Result<(), Fault> {
    shorter(key, limits::METADATA_KEY)?;
    need(
        !key.is_empty() && !key.chars().any(|character| character.is_control() || is_disguise(character)),
        "is empty, or holds control characters or characters that change the direction of writing",
        "choose another key",
    )
}

/// A metadata value; tabs and line breaks are allowed.
pub(in crate::decide) fn metadata_value(value: &str) -> Result<(), Fault> {
    shorter(value, limits::METADATA_VALUE)?;
    without_control(value)
}

fn without_control(value: &str) -> Result<(), Fault> {
    let control = |character: char| character.is_control() && !['\t', '\n', '\r'].contains(&character);
    need(!value.chars().any(control), "has a value with control characters", "remove them")
}

/// The name of a Kubernetes object: a DNS subdomain.
pub(crate) fn object_name(name: &str) -> Result<(), Fault> {
    shorter(name, limits::OBJECT_NAME)?;
    let label = |label: &str| {
        let middle = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        !label.is_empty() && middle && !label.starts_with('-') && !label.ends_with('-')
    };
    need(
        name.split('.').all(label),
        "is not the name of a Kubernetes object",
        "use lower case letters, digits, - and ., with a letter or digit at both ends",
    )
}

/// The name of a namespace: a DNS label.
pub(in crate::decide) fn namespace_name(name: &str) -> Result<(), Fault> {
    need(
        name.len() <= limits::NAMESPACE && !name.contains('.') && object_name(name).is_ok(),
        "is not the name of a namespace",
        "write each name in full, and use the selector for more than can be named",
    )
}

/// The name of an OAuthClient, which is the value of a label too.
pub(in crate::decide) fn client_name(name: &str) -> Result<(), Fault> {
    let problem = "is longer than 63 bytes, the longest value of the label that the Secret carries";
    need(name.len() <= limits::CLIENT_NAME, problem, "choose a shorter name")?;
    object_name(name)
}

/// A data key of a Secret.
pub(crate) fn data_key(key: &str) -> Result<(), Fault> {
    shorter(key, limits::OBJECT_NAME)?;
    let characters = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    need(
        !key.is_empty() && characters && key != "." && !key.starts_with(".."),
        "is not a data key of a Secret",
        "use letters, digits, -, _ and . only, and no .. at its start",
    )
}

/// The id of a MeshAgent project.
pub(in crate::decide) fn project_id(id: &str) -> Result<(), Fault> {
    shorter(id, limits::PROJECT_ID)?;
    let characters = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    need(
        id.starts_with(|first: char| first.is_ascii_alphanumeric()) && characters,
        "is not an id of a MeshAgent project",
        "copy it from MeshAgent Studio, or leave the field out if the key begins with ma-",
    )
}

/// The id of a client at MeshAgent.
pub(in crate::decide) fn client_id(id: &str) -> Result<(), Fault> {
    shorter(id, limits::CLIENT_ID)?;
    need(
        !["", ".", ".."].contains(&id) && id.bytes().all(|byte| byte.is_ascii_graphic()),
        "is not the id of a client: it is empty, only dots, or holds spaces or characters that are not ASCII",
        "copy it from MeshAgent Studio",
    )
}

/// The type of a Secret that has no effect of its own.
pub(in crate::decide) fn secret_type(type_: &str) -> Result<(), Fault> {
    shorter(type_, limits::OBJECT_NAME)?;
    let characters = type_.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    let prefix = type_.split_once('/').map_or("", |(prefix, _)| prefix);
    let acts = prefix.ends_with("kubernetes.io") && type_ != "kubernetes.io/basic-auth" || prefix == "helm.sh";
    need(
        !type_.is_empty() && characters && !acts,
        "is not a type that the operator writes: those under kubernetes.io/ other than kubernetes.io/basic-auth, and those \
         under helm.sh/, have effects of their own",
        "leave it out for Opaque, or choose another",
    )
}

/// The key of any label or annotation.
pub(in crate::decide) fn qualified_name(key: &str) -> Result<(), Fault> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    need(
        prefix.is_none_or(|prefix| object_name(prefix).is_ok()) && is_label_text(name) && !name.is_empty(),
        "has a key that is not a name like tier or example.com/tier",
        "use letters, digits, -, _ and ., with a letter or digit at both ends",
    )
}

/// The key of a label or annotation that has no effect of its own.
pub(in crate::decide) fn secret_metadata_key(key: &str) -> Result<(), Fault> {
    qualified_name(key)?;
    need(
        !key.starts_with("kubernetes.io/") && !key.starts_with(names::PREFIX),
        "has a key under kubernetes.io/ or meshagent.com/, which have effects of their own",
        "choose another prefix",
    )
}

/// The key of a label that the Secret may bear.
pub(in crate::decide) fn label_key(key: &str) -> Result<(), Fault> {
    secret_metadata_key(key)?;
    need(
        key != names::INSTANCE_LABEL && key != names::MANAGED_BY_LABEL,
        "has the label app.kubernetes.io/instance, by which Argo CD would take the Secret for its own, or \
         app.kubernetes.io/managed-by, which is the operator's",
        "choose another label",
    )
}

/// The value of a label.
pub(in crate::decide) fn label_value(value: &str) -> Result<(), Fault> {
    need(
        is_label_text(value),
        "has a value that is no value of a label",
        "use up to 63 letters, digits, -, _ and ., with a letter or digit at both ends",
    )
}

/// The value of an annotation.
pub(in crate::decide) fn annotation_value(value: &str) -> Result<(), Fault> {
    shorter(value, limits::ANNOTATION_VALUE)?;
    without_control(value)
}

/// All annotations of a Secret that a spec asks for.
pub(in crate::decide) fn annotations_together(annotations: &BTreeMap<String, String>) -> Result<(), Fault> {
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    need(bytes <= limits::ANNOTATIONS, "are larger than 64 KiB together", "shorten keys and values")
}

fn is_label_text(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= limits::LABEL_VALUE
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
