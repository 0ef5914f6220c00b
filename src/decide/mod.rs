//! What to do next, decided without IO, clock, randomness or environment.
//!
//! A reader who knows only this folder knows what the operator does. One folder for each subject: [`client`] for one
//! OAuthClient, [`project`] for a MeshAgent project, [`orphan`] for clients that nobody declares any more.

pub mod client;
pub mod failure;
pub mod id;
pub mod marker;
pub mod orphan;
pub mod problem;
pub mod project;
pub mod settings;
pub mod syntax;
pub mod time;
pub mod words;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn deciding_imports_no_client_no_clock_no_runtime_and_nothing_that_acts() {
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decide"));
        assert!(sources.len() > 15, "the folder was not found");
        let acting = ["controller", "reconcile", "project::", "sweep", "cli", "http", "metrics"];
        let banned =
            ["kube::", "reqwest", "tokio", "uuid::", "std::env", "Instant::now", "Timestamp::now", "SystemTime"];
        for path in sources.iter().filter(|path| !path.ends_with("decide/mod.rs")) {
            let text = fs::read_to_string(path).unwrap();
            for word in banned {
                assert!(!text.contains(word), "{} uses {word}", path.display());
            }
            for module in acting {
                assert!(!text.contains(&format!("crate::{module}")), "{} imports {module}", path.display());
            }
        }
    }
}
