use std::fs;

use meshagent_operator::api::{crds, names};

use super::*;
use crate::fields::Field;
use crate::markdown::in_a_cell;
use crate::page::{NAMES, Name, borne_names, metrics};

#[test]
fn the_generated_documents_are_fresh() {
    for (path, text) in documents().unwrap() {
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{} is stale; run: make reference", path.display());
    }
}

#[test]
fn every_row_of_a_table_has_the_cells_of_its_head() {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    for (_, text) in documents().unwrap() {
        for block in text.split("\n\n").filter(|block| block.starts_with('|')) {
            let head = block.lines().next().map(cells);
            for line in block.lines() {
                assert_eq!(Some(cells(line)), head, "{line}");
            }
        }
    }
}

#[test]
fn every_field_says_what_it_is() {
    for definition in crds::all() {
        let root = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        for Field { path, text, .. } in fields::of(root) {
            assert!(!text.is_empty(), "{path} of {}", definition.spec.names.kind);
        }
    }
}

#[test]
fn names_are_read_from_their_source_with_their_values_and_texts() {
    let names: Vec<Name> = borne_names();
    let found = |value: &str| names.iter().find(|name| name.value == value).map(|name| (name.what, name.text.clone()));
    let label = "Label on a Secret that says who writes it; its value is `meshagent-operator`.";
    assert_eq!(found(names::MANAGED_BY_LABEL), Some(("label", label.to_owned())));
    assert_eq!(found(names::FINALIZER).map(|(what, _)| what), Some("finalizer"));
    assert_eq!(found(names::CLIENT_ID_ANNOTATION).map(|(what, _)| what), Some("annotation"));
    assert_eq!(found(names::GROUP), None);
    let declared = NAMES.lines().filter(|line| line.contains("_ANNOTATION: ") || line.contains("_LABEL: ")).count();
    assert_eq!(names.len(), declared + 2, "a constant is not on one line");
}

#[test]
fn every_metric_that_is_registered_is_shown() {
    let source = [
        include_str!("../../../src/metrics.rs"),
        include_str!("../../../src/metrics/scrape.rs"),
        include_str!("../../../src/webhook/metrics.rs"),
    ]
    .concat();
    let registrations = ["registry.register(", "registry.register_with_unit(", ".encode_descriptor("];
    let registered: usize = registrations.iter().map(|call| source.matches(call).count()).sum();
    assert_eq!(metrics().unwrap().matches("| `meshagent_operator_").count(), registered);
}

#[test]
fn a_cell_cannot_be_ended_by_its_text() {
    assert_eq!(in_a_cell("a | b\n\nc"), "a \\| b c");
}
