//! Merge patches.

use serde_json::Value;

/// A merge patch from one object's fields to another's: those that differ, `null` where one goes.
#[must_use]
pub fn difference(present: &Value, wanted: &Value) -> Value {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (present, mut patch) = (fields(present), fields(wanted));
    for field in present.keys() {
        patch.entry(field.clone()).or_insert(Value::Null);
    }
    patch.retain(|field, value| present.get(field) != Some(value));
    Value::Object(patch)
}
