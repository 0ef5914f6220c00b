//! Documents that say what to type and what comes back, so that they can be tried word by word.
//!
//! A document's `console` blocks are run from top to bottom in one shell. A line that begins with `$ ` is a command; it
//! goes on after a trailing `\` and to the end of a here-document. The lines below it are what it prints: without any,
//! it may print anything. [`compare`] has the few signs that stand for what no document can know.
//!
//! HTML comments, which no reader sees, say the rest:
//! - `<!-- tried with: clusters=2 project -->` on top: what the reader is said to have.
//! - `<!-- stage: stop operator -->`: what a reader does elsewhere, for example with Helm.
//! - `<!-- console` on a line of its own, until `-->`: commands that bring about what the reader is said to face.

mod pattern;
mod shell;

use std::{collections::BTreeMap, fmt, fs, path::Path};

pub use pattern::{Known, compare};
pub use shell::Shell;

use crate::{Error, Result};

/// The needs and the steps of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The things that the reader is said to have: `clusters=2` is `clusters` with the value `2`.
    pub needs: BTreeMap<String, String>,
    /// The reader's steps, in order.
    pub steps: Vec<Step>,
}

/// One thing that a reader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the step's line in the document.
    pub line: usize,
    /// The reader's action.
    pub action: Action,
}

/// An action of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Types a command.
    Type {
        /// The command, with the lines that belong to it.
        command: String,
        /// The lines that are said to come back; none allows any output.
        printed: Vec<String>,
    },
    /// Does something that a test of the document has to do in another way.
    Stage(String),
}

/// Something in a document that cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The number of the line.
    pub line: usize,
    /// The problem on that line.
    pub problem: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for Malformed {}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or something in it cannot be tried.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(format!("reading {}", path.display())))?;
        Self::parse(&text).map_err(|source| Error::Document { path: path.to_owned(), source })
    }

    /// Reads Markdown.
    ///
    /// # Errors
    /// Something in the text cannot be tried.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut document = Self::default();
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        while let Some((number, line)) = lines.next() {
            let end = match line.trim_end() {
                "```console" => "```",
                "<!-- console" => "-->",
                other => {
                    if other.starts_with("```") {
                        lines.by_ref().find(|(_, line)| line.trim_end() == "```");
                    } else if let Some(words) = comment(other, "tried with:") {
                        document.needs.extend(words.split_whitespace().map(need));
                    } else if let Some(words) = comment(other, "stage:") {
                        document.steps.push(Step { line: number, action: Action::Stage(words.to_owned()) });
                    }
                    continue;
                }
            };
            let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| line.trim_end() != end).collect();
            document.steps.extend(commands(&block)?);
        }
        Ok(document)
    }
}

/// The words of a comment in one line that begins with `name`.
fn comment<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    Some(line.strip_prefix("<!-- ")?.strip_suffix("-->")?.strip_prefix(name)?.trim())
}

fn need(word: &str) -> (String, String) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    (name.to_owned(), value.to_owned())
}

fn commands(block: &[(usize, &str)]) -> Result<Vec<Step>, Malformed> {
    let mut steps = Vec::new();
    let mut lines = block.iter().copied().peekable();
    while let Some((line, text)) = lines.next() {
        let Some(first) = text.strip_prefix("$ ") else {
            return Err(Malformed { line, problem: "the block begins with no command; write `$ ` before it" });
        };
        let mut command = first.to_owned();
        while command.ends_with('\\') {
            let Some((_, more)) = lines.next() else {
                return Err(Malformed { line, problem: "the command goes on after the block" });
            };
            command = format!("{command}\n{more}");
        }
        if let Some(delimiter) = here_document(&command) {
            loop {
                let Some((_, more)) = lines.next() else {
                    return Err(Malformed { line, problem: "the here-document has no end" });
                };
                command = format!("{command}\n{more}");
                if more == delimiter {
                    break;
                }
            }
        }
        let mut printed = Vec::new();
        while let Some((_, text)) = lines.next_if(|(_, text)| !text.starts_with("$ ")) {
            printed.push(text.to_owned());
        }
        steps.push(Step { line, action: Action::Type { command, printed } });
    }
    Ok(steps)
}

/// The word that ends the here-document that the command begins.
fn here_document(command: &str) -> Option<String> {
    let (_, after) = command.split_once("<<")?;
    let word = after.trim_start().trim_start_matches(['\'', '"']);
    let word: String = word.chars().take_while(char::is_ascii_alphanumeric).collect();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests;
