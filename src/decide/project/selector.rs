//! A label selector, read once: what cannot be read selects nothing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::spec::selector_can_be_read;
use crate::api::project::NamespaceSelector;

/// A selector by labels; one without a requirement selects all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads a selector; `None` if any part of it cannot be read.
    #[must_use]
    pub fn read(selector: &NamespaceSelector) -> Option<Self> {
        if !selector_can_be_read(selector) {
            return None;
        }
        let NamespaceSelector { match_labels, match_expressions, unknown: _ } = selector;
        let equals = |(key, value): (&String, &String)| {
            Some(Requirement { key: key.clone(), test: Test::In(BTreeSet::from([value.clone()])) })
        };
        let labels = match_labels.iter().flatten().map(equals);
        labels.chain(match_expressions.iter().flatten().map(requirement)).collect::<Option<_>>().map(Self)
    }

    /// Whether the selector selects everything, labels unseen.
    #[must_use]
    pub fn selects_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the selector selects what bears these labels.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, test }| match test {
            Test::In(values) => labels.get(key).is_some_and(|value| values.contains(value)),
            // An object that lacks the label has none of the values, as in Kubernetes.
            Test::NotIn(values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Test::Exists => labels.contains_key(key),
            Test::DoesNotExist => !labels.contains_key(key),
        })
    }
}

fn requirement(expression: &LabelSelectorRequirement) -> Option<Requirement> {
    let LabelSelectorRequirement { key, operator, values } = expression;
    let values: BTreeSet<String> = values.iter().flatten().cloned().collect();
    let test = match (operator.as_str(), values.is_empty()) {
        ("In", false) => Test::In(values),
        ("NotIn", false) => Test::NotIn(values),
        ("Exists", true) => Test::Exists,
        ("DoesNotExist", true) => Test::DoesNotExist,
        (_, _) => return None,
    };
    Some(Requirement { key: key.clone(), test })
}
