//! Which room of the house imports which: a room without a row fails, and so does an import that its row does not allow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may import besides itself. A room is a folder or a file directly below `src`.
const ROOMS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("cause", &[]),
    ("secret", &[]),
    ("single_flight", &[]),
    ("proxy", &[]),
    ("serving_certificate", &[]),
    ("decide", &["api", "secret"]),
    ("meshagent", &["api", "decide", "proxy", "secret"]),
    ("leader", &["cause", "meshagent"]),
    ("kubernetes", &["api", "decide", "leader", "proxy", "single_flight"]),
    ("metrics", &["decide", "meshagent"]),
    ("project", &["api", "decide", "kubernetes", "meshagent", "metrics", "proxy", "secret", "single_flight"]),
    ("client", &["api", "decide", "kubernetes", "meshagent", "project", "secret"]),
    ("http", &[]),
    ("registration", &["api", "cause", "decide", "kubernetes", "metrics", "serving_certificate"]),
    ("webhook", &["decide", "http", "serving_certificate"]),
    ("config", &["api", "decide", "meshagent"]),
    ("telemetry", &["config"]),
    (
        "controller",
        &[
            "api",
            "client",
            "config",
            "decide",
            "http",
            "kubernetes",
            "leader",
            "meshagent",
            "metrics",
            "project",
            "registration",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "cause",
            "config",
            "controller",
            "decide",
            "http",
            "kubernetes",
            "leader",
            "meshagent",
            "metrics",
            "proxy",
            "telemetry",
            "webhook",
        ],
    ),
];

/// What the webhook may not name: it has no rights, and talks to nobody.
const CLIENTS: [&str; 6] = ["kube::Api", "kube::Client", "kube::api", "kube::client", "kube::runtime", "reqwest"];

/// What the room that decides may not name: clients, runtimes, clocks, randomness, environment.
const IMPURE: [&str; 10] = [
    "kube::Api",
    "kube::Client",
    "kube::api",
    "kube::client",
    "kube::runtime",
    "reqwest",
    "tokio",
    "uuid::",
    "std::env",
    "::now()",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The production code of a file: without comments, and up to its tests.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
    code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The production files of each room.
fn rooms() -> BTreeMap<String, Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        let is_test = inside
            .components()
            .any(|part| ["tests", "tests.rs", "testing.rs"].contains(&part.as_os_str().to_str().unwrap()));
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if !is_test && !["lib", "main", "rooms"].contains(&room) {
            rooms.entry(room.to_owned()).or_default().push(path);
        }
    }
    rooms
}

/// The rooms that a text imports by `crate::…`.
fn imports(text: &str) -> BTreeSet<&str> {
    let after = text.split("crate::").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default()).collect()
}

#[test]
fn every_room_has_a_row_and_imports_only_what_its_row_allows() {
    let rooms = rooms();
    let rows: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let known: Vec<&str> = rooms.keys().map(String::as_str).collect();
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), known, "a room without a row, or a row without a room");
    for (room, files) in &rooms {
        for path in files {
            let text = production(path);
            for import in imports(&text) {
                let allowed = import == room || rows[room.as_str()].contains(&import);
                assert!(allowed, "{} imports {import}, which the row of {room} does not allow", path.display());
            }
        }
    }
}

#[test]
fn rooms_import_each_other_in_one_direction_only() {
    for (position, (room, imports)) in ROOMS.iter().enumerate() {
        for import in *imports {
            let before = ROOMS[..position].iter().any(|(earlier, _)| earlier == import);
            assert!(before, "{room} imports {import}, whose row comes later");
        }
    }
}

/// Fails if a room, which has more files than `least`, names one of these words.
fn names_none_of(room: &str, least: usize, words: &[&str]) {
    let rooms = rooms();
    assert!(rooms[room].len() > least, "the folder was not found");
    for path in &rooms[room] {
        let text = production(path);
        for word in words {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn what_decides_names_no_client_no_runtime_no_clock_and_no_randomness() {
    names_none_of("decide", 40, &IMPURE);
}

/// And by the test of imports, no room that has one.
#[test]
fn the_webhook_names_no_client_of_kubernetes_or_of_anything_else() {
    names_none_of("webhook", 3, &CLIENTS);
}
