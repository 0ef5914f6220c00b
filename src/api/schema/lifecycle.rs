//! Rules on adoption, on what becomes of a client, and on its Secret.

use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{CONTROL, QUALIFIED, limits, message, rule, words};

/// What becomes of a client with its object.
pub(in crate::api) fn deletion_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::DELETION_POLICIES})
}

/// What happens when a credential is lost.
pub(in crate::api) fn on_credential_loss(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::ON_CREDENTIAL_LOSS})
}

/// Which workloads are restarted.
pub(in crate::api) fn restart(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::RESTARTS})
}

/// The id of a client at MeshAgent.
pub(in crate::api) fn client_id() -> Rule {
    Rule::new("self.matches(r'^[!-~]+$') && self != '.' && self != '..'").message(
        "adopt.clientId is not the id of a client: it is empty, only dots, or holds spaces or characters that are not ASCII; \
         copy it from MeshAgent Studio",
    )
}

/// Taking over a client is a beginning, not a change. The rule stands on the root, because only there it sees the status.
pub(in crate::api) fn adopt_set_before_the_client_exists() -> Rule {
    let reference = "adopt.credentialSecretRef";
    let id = |spec: &str| format!("(has({spec}.adopt) ? {spec}.adopt.clientId : '')");
    let mut same = vec![field_is_same(id)];
    for name in ["name", "clientIdKey", "clientSecretKey"] {
        same.push(field_is_same(|spec| {
            let field = format!("{spec}.{reference}.{name}");
            format!("(has({spec}.adopt) && has({spec}.{reference}) && has({field}) ? {field} : '')")
        }));
    }
    Rule::new(format!(
        "!has(oldSelf.status) || !has(oldSelf.status.clientId) || !has(self.spec.adopt) || ({})",
        same.join(" && ")
    ))
    .message(
        "spec.adopt can be set or changed only while this OAuthClient has no client, because it would have to leave the one \
         that it has; put the former value back, or delete this OAuthClient and create it anew",
    )
    .field_path(".spec.adopt")
    .reason(Reason::FieldValueForbidden)
}

fn field_is_same(value: impl Fn(&str) -> String) -> String {
    format!("{} == {}", value("self.spec"), value("oldSelf.spec"))
}

/// The type of a Secret. Some types make Kubernetes or Helm act on the Secret: with its annotation,
/// `kubernetes.io/service-account-token` is filled with the token of any service account.
pub(in crate::api) fn secret_type() -> Rule {
    Rule::new(
        "self == 'kubernetes.io/basic-auth' || (self.matches(r'^[-._/A-Za-z0-9]+$') && \
         !self.matches(r'^[^/]*kubernetes\\.io/') && !self.startsWith('helm.sh/'))",
    )
    .message(
        "secret.type is not a type that the operator writes: types under kubernetes.io/ other than kubernetes.io/basic-auth, \
         and types under helm.sh/, have effects of their own; leave it out for Opaque, or choose another",
    )
}

/// The rule stands on `spec`, because a transition rule on the field itself is not evaluated when the field comes or goes.
pub(in crate::api) fn secret_type_changes_with_the_name() -> Rule {
    let datum = |spec: &str, field: &str, default: &str| {
        format!("(has({spec}.secret) && has({spec}.secret.{field}) ? {spec}.secret.{field} : '{default}')")
    };
    let same = |field: &str, default: &str| {
        format!("{} == {}", datum("self", field, default), datum("oldSelf", field, default))
    };
    Rule::new(format!("{} || !({})", same("type", "Opaque"), same("name", "")))
        .message(
            "secret.type cannot change while secret.name stays, because Kubernetes keeps the type of a Secret for ever, and \
             the credential cannot be shown again; change secret.name too",
        )
        .field_path(".secret.type")
        .reason(Reason::FieldValueForbidden)
}

fn keys(what: &str) -> [serde_json::Value; 2] {
    let (length, prefix) = (limits::QUALIFIED_NAME, limits::OBJECT_NAME);
    [
        rule(
            &format!("self.all(k, size(k) <= {length} && k.indexOf('/') <= {prefix} && k.matches(r'{QUALIFIED}'))"),
            &format!(
                "secret.{what}: a key is not a name like tier or example.com/tier; use letters, digits, -, _ and ., with a \
                 letter or digit at both ends"
            ),
        ),
        rule(
            "self.all(k, !k.startsWith('kubernetes.io/') && !k.startsWith('meshagent.com/'))",
            &format!(
                "secret.{what}: keys under kubernetes.io/ and meshagent.com/ have effects of their own; choose another prefix"
            ),
        ),
    ]
}

/// Labels of the Secret. Atomic, like the lists.
pub(in crate::api) fn secret_labels(_: &mut SchemaGenerator) -> Schema {
    let [form, prefix] = keys("labels");
    let owned = rule(
        "!('app.kubernetes.io/instance' in self || 'app.kubernetes.io/managed-by' in self)",
        "secret.labels: app.kubernetes.io/instance would make Argo CD take the Secret for its own, and \
         app.kubernetes.io/managed-by is the operator's; choose another label",
    );
    let value = rule(
        r"self.matches(r'^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
        "secret.labels: a value is letters, digits, -, _ and ., with a letter or digit at both ends, or empty",
    );
    json_schema!({
        "type": "object",
        "maxProperties": limits::SECRET_METADATA,
        "additionalProperties": {
            "type": "string",
            "maxLength": limits::LABEL_VALUE,
            "x-kubernetes-validations": [value],
        },
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [form, prefix, owned],
    })
}

/// Annotations of the Secret. Atomic, like the lists.
pub(in crate::api) fn secret_annotations(_: &mut SchemaGenerator) -> Schema {
    let [form, prefix] = keys("annotations");
    let control = rule(
        &format!("!self.matches(r'{CONTROL}')"),
        "secret.annotations: a value holds control characters; remove them",
    );
    let total = rule(
        &format!("self.map(k, size(bytes(k)) + size(bytes(self[k]))).sum() <= {}", limits::ANNOTATIONS),
        "secret.annotations: keys and values together are larger than 64 KiB; shorten them",
    );
    json_schema!({
        "type": "object",
        "maxProperties": limits::SECRET_METADATA,
        "additionalProperties": {
            "type": "string",
            "maxLength": limits::ANNOTATION_VALUE,
            "x-kubernetes-validations": [control],
        },
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [form, prefix, total],
    })
}

/// No two of `secret.keys` are alike, the defaults included. CEL has no variables: the list in a list gives the inner one
/// a name.
pub(in crate::api) fn secret_keys_distinct() -> Rule {
    let keys = SECRET_KEYS.map(|(field, default)| format!("has(self.{field}) ? self.{field} : '{default}'")).join(", ");
    Rule::new(format!("[[{keys}]].all(keys, keys.all(k, k == '' || keys.filter(x, x == k).size() == 1))")).message(
        "secret.keys: two values would be written under one data key, counting the defaults of those that are not named; \
         choose different names",
    )
}

/// The data keys of a Secret: their fields, and what they are called by default.
const SECRET_KEYS: [(&str, &str); 6] = [
    ("clientId", "CLIENT_ID"),
    ("clientSecret", "CLIENT_SECRET"),
    ("projectId", "PROJECT_ID"),
    ("authorizeUrl", "AUTHORIZE_URL"),
    ("tokenUrl", "TOKEN_URL"),
    ("scopes", "SCOPES"),
];

/// A data key of a Secret, for `field`.
pub(in crate::api) fn data_key(field: &str) -> Rule {
    Rule::new("self.matches(r'^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')").message(message(format!(
        "{field} is not a data key of a Secret; use letters, digits, -, _ and . only, and no .. at its start"
    )))
}

/// A data key of a Secret that may be left out, for `field`.
pub(in crate::api) fn droppable_data_key(field: &str) -> Rule {
    Rule::new("self.matches(r'^[-._a-zA-Z0-9]*$') && self != '.' && !self.startsWith('..')").message(message(format!(
        "{field} is not a data key of a Secret; use letters, digits, -, _ and . only, and no .. at its start, or the empty \
         text to leave this key out"
    )))
}
