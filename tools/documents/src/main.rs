//! Writes docs/reference.md, and the table of reasons in docs/troubleshoot.md, anew. Its tests hold the rest of the documents
//! to the tree: links lead somewhere, and tests that are named exist.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

mod fields;
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
fn documents() -> Result<[(PathBuf, String); 2], Box<dyn Error>> {
    let (reference, troubleshoot) = (top().join("docs/reference.md"), top().join("docs/troubleshoot.md"));
    let page = reasons::with_table(&fs::read_to_string(&troubleshoot)?)?;
    Ok([(reference, page::page()?), (troubleshoot, page)])
}

/// The top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod links;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
