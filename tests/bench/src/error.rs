//! The errors of a run.

use std::io;

use simulator::admin::AdminError;

/// The benchmark's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure; each variant names what was being done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started, asked or stopped.
    #[error("running the programs")]
    Harness(#[from] harness::Error),
    /// The API server refused, or could not be reached.
    #[error("{doing}")]
    Kubernetes { doing: String, source: Box<kube::Error> },
    /// A server other than the API server could not be reached, or its answer not be read.
    #[error("{doing}")]
    Http { doing: String, source: reqwest::Error },
    /// The simulator's admin side failed.
    #[error("steering the simulator")]
    Simulator(#[from] AdminError),
    /// The operating system refused.
    #[error("{doing}")]
    Io { doing: String, source: io::Error },
    /// A certificate could not be made.
    #[error("making the webhook's certificate")]
    Certificate(#[from] rcgen::Error),
    /// Something is not as the benchmark needs it.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// Makes a function that says what was being done when the API server failed.
    pub fn kubernetes(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Kubernetes { doing, source: Box::new(source) }
    }

    /// Makes a function that says what was being done when another server failed.
    pub fn http(doing: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Http { doing, source }
    }

    /// Makes a function that says what was being done when the operating system refused.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The error and what caused it, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}
