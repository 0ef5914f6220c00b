//! Rules on who may use a cluster project. What is misspelt here must never come to mean all namespaces.
//!
//! An empty selector means all, so a selector must not be emptied on its way. The API server would drop a field of another
//! name with no more than a warning, and `matchLabels:` without a value, which templates leave behind, without a word. The
//! schema keeps both, and the operator refuses them: to a rule, a null is an absent field.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{QUALIFIED, limits, rule, words};

/// Namespaces by name.
pub(in crate::api) fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": limits::NAMESPACES,
        "items": {
            "type": "string",
            "maxLength": limits::NAMESPACE,
            "x-kubernetes-validations": [rule(
                "self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
                "names: an item is not the name of a namespace; write each name in full, and use the selector for more than \
                 can be named",
            )],
        },
    })
}

/// A label selector whose requirements can all be read.
pub(in crate::api) fn namespace_selector(_: &mut SchemaGenerator) -> Schema {
    let written = |field: &str| {
        rule(
            &format!("!has(self.{field}) || size(self.{field}) > 0"),
            &format!("selector.{field} is empty; name what is to match, or write selector: {{}} for all namespaces"),
        )
    };
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"matchLabels": match_labels(), "matchExpressions": match_expressions()},
        "x-kubernetes-validations": [written("matchLabels"), written("matchExpressions")],
    })
}

fn match_labels() -> Value {
    json!({
        "description": "Labels that a namespace must have, each with this value. Default: none. Rule: not empty if given.",
        "type": "object",
        "nullable": true,
        "maxProperties": limits::MATCH_LABELS,
        "additionalProperties": label_value("matchLabels"),
        "x-kubernetes-validations": [rule(
            &format!("self.all(k, {})", key_form("k")),
            "selector.matchLabels: a key is not the key of a label; write it like tier or example.com/tier",
        )],
    })
}

fn match_expressions() -> Value {
    let operators = "Rule: required; `In` or `NotIn` with values, `Exists` or `DoesNotExist` without.";
    json!({
        "description": "Requirements on labels, all of which a namespace must meet. Default: none. Rule: not empty if given.",
        "type": "array",
        "nullable": true,
        "maxItems": limits::MATCH_EXPRESSIONS,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["key", "operator"],
            "properties": {
                "key": {
                    "description": "Key of the label. Rule: required.",
                    "type": "string",
                    "maxLength": limits::QUALIFIED_NAME,
                    "x-kubernetes-validations": [rule(
                        &key_form("self"),
                        "selector.matchExpressions: key is not the key of a label; write it like tier or example.com/tier",
                    )],
                },
                "operator": {
                    "description": format!("How the label is compared. {operators}"),
                    "type": "string",
                    "enum": words::OPERATORS,
                },
                "values": {
                    "description": "Values to compare with. Default: none. Rule: required by `In` and `NotIn`, refused with \
                                    the others.",
                    "type": "array",
                    "maxItems": limits::MATCH_VALUES,
                    "x-kubernetes-list-type": "atomic",
                    "items": label_value("matchExpressions"),
                },
            },
            "x-kubernetes-validations": [rule(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                "selector.matchExpressions: In and NotIn need values, Exists and DoesNotExist take none; add values, or \
                 change the operator",
            )],
        },
    })
}

fn key_form(key: &str) -> String {
    let length = limits::QUALIFIED_NAME;
    format!("size({key}) <= {length} && {key}.indexOf('/') <= {} && {key}.matches(r'{QUALIFIED}')", limits::OBJECT_NAME)
}

fn label_value(field: &str) -> Value {
    json!({
        "type": "string",
        "maxLength": limits::LABEL_VALUE,
        "x-kubernetes-validations": [rule(
            r"self.matches(r'^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
            &format!(
                "selector.{field}: a value is no value of a label; use up to 63 letters, digits, -, _ and ., with a letter or \
                 digit at both ends"
            ),
        )],
    })
}
