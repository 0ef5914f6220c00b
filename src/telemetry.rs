//! Logs, to standard error. No log line ever holds a secret: values that are secret have no `Display`, and what
//! libraries might print of an answer's body is kept out here.

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::config::LogFormat;

/// Libraries that say more than anybody wants to know; a flag that names one of them still has its way.
const NOISY: [&str; 7] = ["h2", "hyper", "hyper_util", "kube_client", "kube_runtime", "reqwest", "rustls"];

/// The target that calls each answer from 500 on an error, though callers expect some of them and report the rest.
const KUBE_CALLS: &str = "kube_client::client::builder";

/// The target that logs the whole body of an answer that kube cannot read, which may be a Secret's data.
const KUBE_BODIES: &str = "kube_client::client";

/// Logging was set up before.
#[derive(Debug, thiserror::Error)]
#[error("logging cannot be set up")]
pub struct InitError(#[source] tracing::subscriber::SetGlobalDefaultError);

/// Sets up logging for the whole process, panics included. The owner of the process calls it once.
///
/// # Errors
/// Returns an error if logging was set up before.
pub fn init(format: LogFormat, level: &Targets) -> Result<(), InitError> {
    let subscriber = subscriber(format, level, io::stderr().is_terminal(), io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(InitError)?;
    // A panic's message may quote the value that it stumbled over, so only its place is logged.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place = place.as_deref().unwrap_or("unknown"), "a task panicked");
    }));
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    level: &Targets,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync + 'static>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = quietened(level).and(filter_fn(holds_no_body));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Text => Box::new(registry.with(lines.with_filter(filter))),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true).with_filter(filter))),
    }
}

/// The level as asked for, with the libraries' chatter below warnings left out.
fn quietened(level: &Targets) -> Targets {
    let general = level.default_level().unwrap_or(LevelFilter::INFO);
    let mut quietened = Targets::new()
        .with_default(general)
        .with_targets(NOISY.map(|target| (target, general.min(LevelFilter::WARN))))
        .with_target(KUBE_CALLS, LevelFilter::OFF);
    quietened.extend(level.iter());
    quietened
}

fn holds_no_body(metadata: &Metadata<'_>) -> bool {
    metadata.target() != KUBE_BODIES
}

#[cfg(test)]
mod tests;
