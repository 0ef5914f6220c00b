//! The errors of starting, asking and stopping real programs.

use std::{fmt, io, path::PathBuf, process::ExitStatus, time::Duration};

/// The harness's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure; each variant names what was being done.
#[derive(thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{doing}")]
    Io {
        /// The operation that failed.
        doing: String,
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("sending {signal} to {process}")]
    Signal {
        signal: nix::sys::signal::Signal,
        /// The process that it was for.
        process: String,
        source: nix::Error,
    },
    /// A certificate could not be made.
    #[error("making the certificate of {subject}")]
    Certificate {
        /// The subject of the certificate.
        subject: String,
        source: rcgen::Error,
    },
    /// A client certificate was to name more groups than it can.
    #[error("the certificate of {user} can name {most} groups at most")]
    Groups {
        /// The user of the certificate.
        user: String,
        /// How many groups a certificate can name.
        most: usize,
    },
    /// The Kubernetes API or its client failed.
    #[error("{doing}")]
    Kubernetes {
        /// The operation that failed.
        doing: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The simulator's admin API failed.
    #[error("asking the simulator for {path}")]
    Simulator {
        /// The path that was asked for.
        path: String,
        source: reqwest::Error,
    },
    /// A program that is needed is not there.
    #[error("{name} is not at {path}: {remedy}")]
    Missing {
        name: String,
        /// The path where it should be.
        path: PathBuf,
        /// The remedy, in words.
        remedy: String,
    },
    /// A command ended with a failure.
    #[error("{command}: {status}\n{output}")]
    Command {
        command: String,
        status: ExitStatus,
        /// The output of the command, or what else tells of the failure.
        output: String,
    },
    /// A process that should run has ended.
    #[error("{process} has ended: {status}\n{log}")]
    Ended {
        process: String,
        status: ExitStatus,
        /// The end of the log.
        log: String,
    },
    /// A process that should run does not.
    #[error("{process} does not run")]
    NotRunning { process: String },
    /// A document cannot be tried.
    #[error("reading {}", path.display())]
    Document {
        /// The document's file.
        path: PathBuf,
        /// The problem in the document.
        source: crate::howto::Malformed,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {within:?}; last seen: {last}")]
    NotInTime {
        what: String,
        /// The time that the condition had.
        within: Duration,
        /// The result of the last check.
        last: String,
    },
    /// No free port was found.
    #[error("no free port between {first} and {last}")]
    NoPort {
        /// The lower end of the ports tried.
        first: u16,
        /// The upper end.
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
