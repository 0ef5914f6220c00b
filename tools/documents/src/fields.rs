//! The fields of a kind, from its schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// One field, as the reference shows it.
pub(crate) struct Field {
    pub(crate) path: String,
    pub(crate) type_: String,
    pub(crate) text: String,
}

/// All fields below `spec` and `status`, those in front that `kubectl explain` shows in front.
pub(crate) fn of(root: &JSONSchemaProps) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, part) in root.properties.iter().flatten() {
        if matches!(name.as_str(), "spec" | "status") {
            below(name, part, &mut fields);
        }
    }
    fields
}

fn below(path: &str, schema: &JSONSchemaProps, fields: &mut Vec<Field>) {
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let text = property.description.clone().unwrap_or_default();
        fields.push(Field { path: path.clone(), type_: type_name(property), text });
        match inner(property) {
            // Fields that Kubernetes itself describes are not repeated.
            Some(_) if foreign(property).is_some() => {}
            Some((suffix, inside)) => below(&format!("{path}{suffix}"), inside, fields),
            None => {}
        }
    }
}

/// The suffix that a path shows for a property, and the schema of the fields below it.
fn inner(property: &JSONSchemaProps) -> Option<(&'static str, &JSONSchemaProps)> {
    match (&property.items, &property.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(item)), _) => Some(("[]", item)),
        (_, Some(JSONSchemaPropsOrBool::Schema(value))) => Some((".<key>", value)),
        _ => property.properties.as_ref().map(|_| ("", property)),
    }
}

/// The name of a type that Kubernetes describes.
fn foreign(property: &JSONSchemaProps) -> Option<&'static str> {
    let described = inner(property).map_or(property, |(_, inside)| inside);
    let has = |name: &str| described.properties.as_ref().is_some_and(|properties| properties.contains_key(name));
    if has("lastTransitionTime") {
        Some("Condition")
    } else if has("matchExpressions") {
        Some("LabelSelector")
    } else {
        None
    }
}

fn type_name(property: &JSONSchemaProps) -> String {
    let own = match (property.type_.as_deref().unwrap_or("any"), property.format.as_deref()) {
        ("string", Some("date-time")) => "time",
        (own, _) => own,
    };
    match (inner(property), foreign(property)) {
        (Some(("[]", _)), Some(name)) => format!("[]{name}"),
        (_, Some(name)) => name.to_owned(),
        (Some(("[]", item)), None) => format!("[]{}", type_name(item)),
        (Some((".<key>", value)), None) => format!("map of {}", type_name(value)),
        (_, None) => own.to_owned(),
    }
}
