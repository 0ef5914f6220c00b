//! Logs, to standard error.

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log-level {0:?} is no log level; give error, warn, info, debug or trace, or a filter such as info,kube=debug"
)]
pub struct LogLevelError(String);

/// Starts logging. Once in a process; a second call changes nothing.
///
/// # Errors
/// If the level is none.
pub fn start(format: LogFormat, level: &str) -> Result<(), LogLevelError> {
    let filter = EnvFilter::try_new(level).map_err(|_| LogLevelError(level.to_owned()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a subscriber is there already, as in tests.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
