//! Writes docs/reference.md, the table of reasons in docs/troubleshoot.md, and the chart's CRDs and table of values
//! anew. The tests hold the rest of the documents to the tree: links lead somewhere, and tests that are named exist.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

mod chart;
mod fields;
mod gitops;
mod markdown;
mod page;
mod reasons;

fn main() -> Result<(), Box<dyn Error>> {
    for (path, text) in documents()? {
        fs::write(path, text)?;
    }
    Ok(())
}

/// Each document that is generated, whole or in part, and its text as it shall be.
fn documents() -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
    let read = |path: &str| fs::read_to_string(top().join(path));
    let troubleshoot = reasons::with_table(&read("docs/troubleshoot.md")?)?;
    let values = chart::with_table(
        &read("charts/meshagent-operator/README.md")?,
        &read("charts/meshagent-operator/values.schema.json")?,
        &read("charts/meshagent-operator/values.yaml")?,
    )?;
    let written = [
        ("docs/reference.md", page::page()?),
        ("docs/troubleshoot.md", troubleshoot),
        ("charts/meshagent-operator/README.md", values),
        ("charts/meshagent-operator/files/crds.yaml", chart::definitions()?),
        ("gitops/argocd/argocd-cm/argocd-cm.yaml", gitops::config_map()?),
    ];
    Ok(written.map(|(path, text)| (top().join(path), text)).into())
}

/// The top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod links;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
