//! The simulator as a program.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;
use serde_json::json;
use simulator::{IdTokens, Options, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use url::Url;
use uuid::Uuid;

/// A MeshAgent OAuth API with its state in memory, faults on demand and a record of calls.
#[derive(Parser)]
#[command(name = "meshagent-simulator", version)]
struct Arguments {
    /// Where the API listens; port 0 takes a free one.
    #[arg(long, env = "MESHAGENT_SIMULATOR_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the admin side listens. It hands out keys: keep it off any network.
    #[arg(long, env = "MESHAGENT_SIMULATOR_ADMIN_LISTEN", default_value = "127.0.0.1:0")]
    admin_listen: SocketAddr,
    /// A project to begin with; may be repeated. None: one of a new id.
    #[arg(long = "project", env = "MESHAGENT_SIMULATOR_PROJECT", value_delimiter = ',')]
    projects: Vec<Uuid>,
    /// How far reads without `Consistency: high` lag behind, up to one hour, such as `5s`.
    #[arg(long, env = "MESHAGENT_SIMULATOR_FAST_LAG", default_value = "0s", value_parser = lag)]
    fast_lag: Duration,
    /// How id tokens are signed. With RS256 there are OpenID Connect discovery and keys.
    #[arg(long, env = "MESHAGENT_SIMULATOR_ID_TOKENS", default_value = "HS256", ignore_case = true)]
    id_tokens: IdTokens,
    /// The base URL by which others know the API, the issuer of id tokens. None: the address where it listens.
    #[arg(long, env = "MESHAGENT_SIMULATOR_URL", value_parser = base_url)]
    url: Option<String>,
}

fn base_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("must be an http or https URL without query and fragment".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn lag(text: &str) -> Result<Duration, String> {
    let lag = text.parse::<SignedDuration>().map_err(|error| error.to_string())?;
    let lag = Duration::try_from(lag).map_err(|_| "must not be negative".to_owned())?;
    if lag > Duration::from_secs(3600) { Err("may be one hour at most".to_owned()) } else { Ok(lag) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let Arguments { listen, admin_listen, projects, fast_lag, id_tokens, url } = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = serve(Options { listen, admin_listen, projects, fast_lag, id_tokens, url }).await?;

    // Only this line shows keys: the caller of the program needs them.
    let started = json!({"api": running.api_url, "admin": running.admin_url, "projects": running.projects});
    writeln!(io::stdout(), "{started}")?;
    tracing::info!(api = running.api_url, admin = running.admin_url, "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}
