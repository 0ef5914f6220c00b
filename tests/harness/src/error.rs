//! What can go wrong while real programs are started, asked and stopped.

use std::{fmt, io, path::PathBuf, process::ExitStatus, time::Duration};

/// The harness's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure; each variant names what was being done.
#[derive(thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("sending {signal} to {process}")]
    Signal {
        signal: nix::sys::signal::Signal,
        /// Whom it was for.
        process: String,
        source: nix::Error,
    },
    /// A certificate could not be made.
    #[error("making the certificate of {subject}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        source: rcgen::Error,
    },
    /// A client certificate was to name more groups than it can.
    #[error("the certificate of {user} can name {most} groups at most")]
    Groups {
        /// Whose certificate.
        user: String,
        /// How many it can name.
        most: usize,
    },
    /// The Kubernetes API or its client failed.
    #[error("{doing}")]
    Kubernetes {
        /// What was being done.
        doing: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The simulator's admin API failed.
    #[error("asking the simulator for {path}")]
    Simulator {
        /// What was asked for.
        path: String,
        source: reqwest::Error,
    },
    /// A program that is needed is not there.
    #[error("{name} is not at {path}: {remedy}")]
    Missing {
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do about it.
        remedy: String,
    },
    /// A command ended with a failure.
    #[error("{command}: {status}\n{output}")]
    Command {
        command: String,
        status: ExitStatus,
        /// What it printed on standard error.
        output: String,
    },
    /// A process that should run has ended.
    #[error("{process} has ended: {status}\n{log}")]
    Ended {
        process: String,
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A process that should run does not.
    #[error("{process} does not run")]
    NotRunning { process: String },
    /// A document cannot be tried.
    #[error("reading {}", path.display())]
    Document {
        /// Its file.
        path: PathBuf,
        /// What is wrong in it.
        source: crate::howto::Malformed,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {within:?}; last seen: {last}")]
    NotInTime {
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// What the last look at it gave.
        last: String,
    },
    /// No free port was found.
    #[error("no free port between {first} and {last}")]
    NoPort {
        /// The first port tried.
        first: u16,
        /// The last.
        last: u16,
    },
}

impl Error {
    /// Makes a function that says what was being done when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Makes a function that says what was being done when the Kubernetes API or its client failed.
    pub(crate) fn kubernetes<E: std::error::Error + Send + Sync + 'static>(
        doing: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Kubernetes { doing, source: Box::new(source) }
    }
}

// `unwrap` in a test prints Debug; a reader wants the messages of the whole chain.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
