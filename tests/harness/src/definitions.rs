//! Resource definitions of others, as files of their Go modules.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{Error, Result};

/// Reads a file of a Go module that tests/definitions/go.mod requires. Go fetches the module once a machine, and refuses one
/// that differs from its line in go.sum.
///
/// # Errors
/// The module is not required there, cannot be fetched or differs, or there is no such file in it.
pub fn definition(module: &str, file: &str) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../definitions");
    let go_mod = folder.join("go.mod");
    let required = fs::read_to_string(&go_mod).map_err(Error::io(format!("reading {}", go_mod.display())))?;
    let version = required.lines().find_map(|line| line.trim().strip_prefix(module)).unwrap_or_default().trim();
    let name = format!("{module}@{version}");
    let output = Command::new("go")
        .args(["mod", "download", "-json", &name])
        .current_dir(folder)
        .output()
        .map_err(Error::io("running go"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(directory) = told["Dir"].as_str().filter(|_| output.status.success()) else {
        let output_text = text + &String::from_utf8_lossy(&output.stderr);
        let command = format!("go mod download {name}");
        return Err(Error::Command { command, status: output.status, output: output_text });
    };
    let path = Path::new(directory).join(file);
    fs::read_to_string(&path).map_err(Error::io(format!("reading {}", path.display())))
}
