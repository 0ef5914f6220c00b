//! What is wrong with a spec, in words that say what to do.

use std::fmt;

use super::syntax::Fault;

/// One field that cannot be carried out as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, like `spec.redirectUris[2]`.
    pub field: String,
    /// What is wrong, without the value, which may be long or not meant for a log.
    pub problem: String,
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, problem, fix } = self;
        write!(f, "{field} {problem}; {fix}")
    }
}

/// A spec that cannot be carried out as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpec {
    /// The problems, one for each fault, in the order of the fields; never empty.
    pub problems: Vec<Problem>,
}

impl InvalidSpec {
    /// How many problems the message spells out.
    const SHOWN: usize = 5;
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.problems.iter().take(Self::SHOWN).map(ToString::to_string).collect();
        f.write_str(&shown.join(". "))?;
        match self.problems.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, ". And {more} more"),
        }
    }
}

impl std::error::Error for InvalidSpec {}

/// Collects problems while reading goes on, so that a person can mend all of them at once.
#[derive(Default)]
pub(in crate::decide) struct Problems(Vec<Problem>);

impl Problems {
    pub(in crate::decide) fn check(&mut self, field: &str, checked: Result<(), Fault>) {
        if let Err(Fault { problem, fix }) = checked {
            self.refuse(field, problem.to_owned(), fix.to_owned());
        }
    }

    pub(in crate::decide) fn refuse(&mut self, field: &str, problem: String, fix: String) {
        self.0.push(Problem { field: field.to_owned(), problem, fix });
    }

    pub(in crate::decide) fn at_most(&mut self, field: &str, length: usize, limit: usize) {
        if length > limit {
            self.refuse(field, format!("has {length} entries, more than {limit}"), format!("keep {limit} or fewer"));
        }
    }

    pub(in crate::decide) fn one_of(&mut self, field: &str, text: &str, words: &[&str]) {
        if !words.contains(&text) {
            self.refuse(
                field,
                "is not a word that is known here".to_owned(),
                format!("use one of {}", words.join(", ")),
            );
        }
    }

    pub(in crate::decide) fn or<T>(self, read: T) -> Result<T, InvalidSpec> {
        if self.0.is_empty() { Ok(read) } else { Err(InvalidSpec { problems: self.0 }) }
    }
}
