//! docs/failure-scenarios.md: the tests that it names, and the codes that tests use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::top;

/// Every Rust source by its path from the top.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["src", "tests", "simulator", "tools"] {
        collect(&top().join(folder), folder, &mut found);
    }
    found
}

fn collect(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &name, found);
        } else if name.ends_with(".rs") {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

fn page() -> String {
    fs::read_to_string(top().join("docs/failure-scenarios.md")).unwrap()
}

/// The first cell of each row, a range such as `C5–C9` as all that are in it.
fn codes() -> Vec<String> {
    let page = page();
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut codes = Vec::new();
    for cell in cells {
        match cell.split_once('–') {
            Some((first, last)) => {
                let number = |code: &str| code[1..].parse::<u8>().unwrap();
                codes.extend((number(first)..=number(last)).map(|number| format!("{}{number}", &first[..1])));
            }
            None if is_code(cell) => codes.push(cell.to_owned()),
            None => {}
        }
    }
    codes
}

/// A letter of a section and one or two digits, as in `K10` or `K5b`.
fn is_code(word: &str) -> bool {
    let word = word.strip_suffix('b').unwrap_or(word);
    let digits = word.trim_start_matches(['C', 'P', 'S', 'L', 'R', 'K', 'U', 'O', 'W', 'F']);
    word.len() == digits.len() + 1 && matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let (page, sources) = (page(), sources());
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let named: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    let tests = named.iter().filter_map(|name| name.split_once(".rs::"));
    let mut seen = 0;
    for (file, test) in tests {
        let path = if file.contains('/') { format!("{file}.rs") } else { format!("tests/integration/{file}.rs") };
        let source = sources.get(&path).unwrap_or_else(|| panic!("there is no {path}, which shall hold {test}"));
        assert!(source.contains(&format!("fn {test}(")), "{path} holds no test {test}");
        seen += 1;
    }
    assert!(seen > 100, "tests are no longer found where this test looks: {seen}");
    let scenarios = &sources["tests/model/scenarios.rs"];
    for scenario in named.iter().filter_map(|name| name.strip_prefix("model: ")) {
        assert!(scenarios.contains(&format!("\"{scenario}\"")), "the model has no scenario {scenario}");
    }
}

#[test]
fn every_code_that_the_sources_use_has_one_row() {
    let codes = codes();
    let known: BTreeSet<&String> = codes.iter().collect();
    assert_eq!(known.len(), codes.len(), "a code stands twice: {codes:?}");
    let mut used = 0;
    for (path, source) in sources() {
        let comments = source.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
        let words = comments.flat_map(|comment| comment.split(|c: char| !c.is_alphanumeric()));
        for code in words.filter(|word| is_code(word)) {
            assert!(
                known.contains(&code.to_owned()),
                "{path} speaks of {code}, which docs/failure-scenarios.md has not"
            );
            used += 1;
        }
    }
    assert!(used > 30, "codes are no longer found where this test looks: {used}");
}
