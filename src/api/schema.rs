//! The parts of the schema that the types cannot say: rules on the items of lists, and which words are allowed.
//!
//! Rules stand on the item, not on the list, so that the API server's answer names the one that is wrong. The same is
//! checked again in [`crate::decide::client::desired`], which also knows what a rule cannot express.

mod lifecycle;
mod namespaces;
mod uri;

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{limits, words};
pub(super) use lifecycle::{
    adopt_set_before_the_client_exists, client_id, data_key, deletion_policy, droppable_data_key, on_credential_loss,
    restart, secret_annotations, secret_keys_distinct, secret_labels, secret_type, secret_type_changes_with_the_name,
};
pub(super) use namespaces::{namespace_names, namespace_selector};
pub(super) use uri::{api_url, logo_url, redirect_uris};

/// A qualified name of Kubernetes: an optional prefix with a slash, and a name.
const QUALIFIED: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// A rule, and what is said when it is broken: the field, what is wrong, what to do.
fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// OAuth grant types. An empty list would be a client that can do nothing.
pub(super) fn grant_types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": limits::TYPES,
        "items": {"type": "string", "enum": words::GRANT_TYPES},
        "x-kubernetes-validations": [rule(
            "size(self) > 0",
            "grantTypes: the list is empty, and a client without a grant type can do nothing; name one, or leave the field out \
             for authorization_code",
        )],
    })
}

/// OAuth response types.
pub(super) fn response_types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": limits::TYPES,
        "items": {"type": "string", "enum": words::RESPONSE_TYPES},
    })
}

/// Scope tokens of RFC 6749.
pub(super) fn scopes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": limits::SCOPES,
        "items": {
            "type": "string",
            "maxLength": limits::SCOPE,
            "x-kubernetes-validations": [rule(
                r"self.matches(r'^[!#-\[\]-~]+$')",
                "scopes: a scope is one token of printable ASCII without spaces, quotes and backslashes; write each scope as \
                 an item of its own",
            )],
        },
    })
}

/// Login themes.
pub(super) fn theme(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::THEMES})
}

/// Kinds that a `projectRef` may name.
pub(super) fn project_kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::PROJECT_KINDS})
}

/// Kinds that hold a CA bundle.
pub(super) fn ca_bundle_kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::CA_BUNDLE_KINDS})
}

/// What to do with orphans.
pub(super) fn orphan_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::ORPHAN_POLICIES})
}

/// Further metadata, without the keys that other fields or the operator write. Atomic, like the lists: a key that was
/// added by hand goes when git is applied again.
pub(super) fn extra_metadata(_: &mut SchemaGenerator) -> Schema {
    let limit = limits::METADATA_KEY;
    let length = rule(
        &format!("self.all(k, k != '' && size(k) <= {limit})"),
        &format!("extraMetadata: a key is empty or longer than {limit} characters; choose a shorter name"),
    );
    let disguise = rule(
        &format!("self.all(k, !k.matches(r'{UNFIT}'))"),
        "extraMetadata: a key holds control characters or characters that change the direction of writing; choose another key",
    );
    let name = rule("!('name' in self)", "extraMetadata: the key name is the display name; use displayName instead");
    let branding = rule(
        "!('logo_url' in self || 'theme' in self || 'remove_powered_by_meshagent' in self)",
        "extraMetadata: the keys logo_url, theme and remove_powered_by_meshagent are the login branding; use branding instead",
    );
    let prefix = rule(
        "self.all(k, !k.startsWith('meshagent.com/'))",
        "extraMetadata: keys under meshagent.com/ are the operator's own; choose another prefix",
    );
    let control =
        rule(&format!("!self.matches(r'{CONTROL}')"), "extraMetadata: a value holds control characters; remove them");
    json_schema!({
        "type": "object",
        "maxProperties": limits::METADATA_ENTRIES,
        "additionalProperties": {
            "type": "string",
            "maxLength": limits::METADATA_VALUE,
            "x-kubernetes-validations": [control],
        },
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [length, disguise, name, branding, prefix],
    })
}

/// Conditions as `metav1.Condition` declares them: one for each type.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "description": "What the condition is about.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
                "status": {
                    "description": "Whether it holds: True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "description": "Why, in one word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, in words for people, and what to do.",
                    "type": "string",
                    "maxLength": limits::CONDITION_MESSAGE,
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "observedGeneration": {
                    "description": "The metadata.generation that this is said of.",
                    "type": "integer",
                    "format": "int64",
                },
            },
        },
    })
}

/// The name of a Kubernetes object, for `field`.
pub(super) fn object_name(field: &str) -> Rule {
    Rule::new(r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message(message(format!(
        "{field} is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a letter or digit at \
         both ends"
    )))
}

/// Control characters other than tabs and line breaks.
const CONTROL: &str = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}]";

/// Control characters, and characters that break the line or change the direction of writing.
const UNFIT: &str = r"[\p{Cc}\x{061C}\x{200E}\x{200F}\x{2028}-\x{202E}\x{2066}-\x{2069}]";

/// Text that is shown to people, for `field`. `\S` would take white space that is not ASCII for a letter.
pub(super) fn shown_text(field: &str) -> Rule {
    Rule::new(format!(r"self.matches(r'[^\p{{Z}}]') && !self.matches(r'{UNFIT}')")).message(message(format!(
        "{field} is blank, or holds control characters, line breaks or characters that change the direction of writing; \
         remove them"
    )))
}

/// A duration, for `field`: its form, and that it is ten years at most.
pub(super) fn duration(field: &str) -> Rule {
    let units = "{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[self.substring(size(self) - 1)]";
    let longest = super::duration::LONGEST.as_secs();
    Rule::new(format!(
        "self.matches(r'^(0|[1-9][0-9]*)[smhd]$') && int(self.substring(0, size(self) - 1)) * {units} <= {longest}"
    ))
    .message(message(format!(
        "{field} is not a duration of 3650d or less; write one whole number with a unit, like 30s, 15m, 12h or 90d"
    )))
}

fn message(text: String) -> kube::core::Message {
    kube::core::Message::Message(text)
}
