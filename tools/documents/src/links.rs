//! Links between documents.

use std::fs;
use std::path::PathBuf;

use crate::top;

/// Every Markdown file at the top, in docs/, docs/adr/ and simulator/, and in the chart's folder.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr", "simulator", "charts/meshagent-operator"].map(|folder| top().join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The anchor that a heading gets on the usual sites.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut followed = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(to.exists(), "{target} in {}", path.display());
            if !fragment.is_empty() {
                let there = fs::read_to_string(&to).unwrap();
                let found = there.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == fragment);
                assert!(found, "{target} in {}", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 60, "links are no longer found where this test looks: {followed}");
}

#[test]
fn the_indexes_name_every_document_and_decision() {
    for (index, folder) in [("docs/README.md", "docs"), ("docs/adr/README.md", "docs/adr")] {
        let text = fs::read_to_string(top().join(index)).unwrap();
        for entry in fs::read_dir(top().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let listed = name == "README.md" || text.contains(&format!("]({name})")) || name == "adr";
            assert!(listed, "{index} does not name {name}");
        }
    }
}
