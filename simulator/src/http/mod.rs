//! The thin part: sockets, and nothing that decides.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use getrandom::SysRng;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use uuid::Uuid;

mod admin;
mod api;
mod connection;
mod deliver;

use crate::admin::ProjectAccess;
use crate::api::World;
use crate::fault::Faults;
use crate::generate::{Generate, Random};
use crate::record::Record;
use crate::signin::{IdTokens, Sessions, SigningKey};
use crate::state::{Role, State};

/// The options of a simulator.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address where the API listens.
    pub listen: SocketAddr,
    /// The address where the admin side listens.
    pub admin_listen: SocketAddr,
    /// The projects to begin with; none: one of a new id.
    pub projects: Vec<Uuid>,
    /// How far reads without `Consistency: high` lag behind.
    pub fast_lag: Duration,
    /// How id tokens are signed.
    pub id_tokens: IdTokens,
    /// The base URL by which others know the API, the issuer of id tokens; none: the address where it listens.
    pub url: Option<String>,
}

impl Default for Options {
    /// Free ports of the loopback interface, one project, no lag, id tokens under the client's secret.
    fn default() -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: anywhere,
            admin_listen: anywhere,
            projects: Vec::new(),
            fast_lag: Duration::ZERO,
            id_tokens: IdTokens::default(),
            url: None,
        }
    }
}

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// No key for id tokens could be made.
    #[error("making the key of id tokens")]
    SigningKey(#[source] rsa::Error),
    /// The thread that made the key ended badly.
    #[error("making the key of id tokens")]
    Thread(#[source] JoinError),
}

/// A simulator at work. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    /// The API's base URL, by the address where it listens.
    pub api_url: String,
    /// The admin side's base URL.
    pub admin_url: String,
    /// The projects that it began with, each with a key that has every role.
    pub projects: Vec<ProjectAccess>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Takes no more calls, lets those under way end for a moment, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Calls under way end with the listeners that own them.
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

// The state that both sides share.
struct Shared {
    inside: Mutex<Inside>,
    started: Instant,
}

struct Inside {
    world: World,
    faults: Faults,
    record: Record,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A panic under the lock is a defect that its own call shows; the others go on.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Inside {
    // The wall clock may jump, the state's time may not: one is derived from the other.
    fn time(&self, now: Duration) -> Timestamp {
        self.world.started.checked_add(now).unwrap_or(Timestamp::MAX)
    }
}

/// Starts a simulator on the present runtime.
pub async fn serve(options: Options) -> Result<Running, StartError> {
    let signing_key = signing_key(options.id_tokens).await?;
    let (api, api_address) = listen(options.listen).await?;
    let (admin, admin_address) = listen(options.admin_listen).await?;
    let api_url = format!("http://{api_address}");

    let mut generator = Random;
    let mut state = State::new(options.fast_lag);
    let ids = if options.projects.is_empty() { vec![generator.uuid()] } else { options.projects };
    let mut projects = Vec::new();
    for project_id in ids {
        if state.add_project(project_id) {
            let (_, api_key) = state.add_key(project_id, Role::ALL.to_vec(), &mut generator);
            projects.push(ProjectAccess { project_id, api_key });
        }
    }
    let world = World {
        state,
        sessions: Sessions::default(),
        generator: Box::new(generator),
        url: options.url.unwrap_or_else(|| api_url.clone()),
        signing_key,
        started: Timestamp::now(),
    };
    let inside = Inside { world, faults: Faults::default(), record: Record::default() };
    let shared = Arc::new(Shared { inside: Mutex::new(inside), started: Instant::now() });

    let (stop, stopped) = watch::channel(false);
    let tasks = vec![
        tokio::spawn(connection::accept(api, Arc::clone(&shared), stopped.clone())),
        tokio::spawn(admin::serve(admin, shared, stopped)),
    ];
    Ok(Running { api_url, admin_url: format!("http://{admin_address}"), projects, stop, tasks })
}

async fn signing_key(id_tokens: IdTokens) -> Result<Option<Arc<SigningKey>>, StartError> {
    match id_tokens {
        IdTokens::Hs256 => Ok(None),
        IdTokens::Rs256 => {
            let made = tokio::task::spawn_blocking(|| SigningKey::generate(&mut SysRng)).await;
            let key = made.map_err(StartError::Thread)?.map_err(StartError::SigningKey)?;
            Ok(Some(Arc::new(key)))
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
