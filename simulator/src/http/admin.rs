//! The admin side's routes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use super::connection::told_to;
use super::{Inside, Shared};
use crate::admin::{
    Call, ClientAccess, ClientFields, Credential, FaultRule, InstalledFault, KeyAccess, NewKey, NewProject,
    ProjectAccess, ProjectView, Refusal, Role, Settings, StateView, Verdict,
};
use crate::state::client::Invalid;
use crate::state::{CreateError, Project, UpdateError};

type Sim = State<Arc<Shared>>;
type Answer<T> = Result<Json<T>, Refused>;
type Done = Result<StatusCode, Refused>;

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/calls", get(calls).delete(clear_calls))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/state", get(state))
        .route("/projects", post(add_project))
        .route("/projects/{project}", put(configure))
        .route("/projects/{project}/keys", post(add_key))
        .route("/keys/{key}", delete(revoke_key))
        .route("/projects/{project}/clients", post(add_client))
        .route("/projects/{project}/clients/{client}", put(edit_client).delete(delete_client))
        .route("/projects/{project}/verify", post(verify))
        .with_state(shared);
    // A long graceful shutdown is of no use here: nothing on this side hangs, and idle connections may stay for ever.
    let served = tokio::select! {
        served = axum::serve(listener, router) => served,
        () = told_to(&mut stop) => Ok(()),
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin side ended");
    }
}

struct Refused(StatusCode, String);

impl Refused {
    fn absent(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        (status, Json(Refusal { message })).into_response()
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self(StatusCode::BAD_REQUEST, invalid.to_string())
    }
}

// Reads a body without axum's `Json`, which refuses curl's default content type. No body at all means an empty object.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("not a valid body: {error}")))
}

fn project(inside: &mut Inside, id: Uuid) -> Result<&mut Project, Refused> {
    inside.world.state.project_mut(id).ok_or_else(|| Refused::absent("project"))
}

fn done_if(done: bool, what: &str) -> Done {
    if done { Ok(StatusCode::NO_CONTENT) } else { Err(Refused::absent(what)) }
}

async fn calls(State(shared): Sim) -> Json<Vec<Call>> {
    Json(shared.lock().record.calls().to_vec())
}

async fn clear_calls(State(shared): Sim) -> StatusCode {
    shared.lock().record.clear();
    StatusCode::NO_CONTENT
}

async fn faults(State(shared): Sim) -> Json<Vec<InstalledFault>> {
    Json(shared.lock().faults.list())
}

async fn add_fault(State(shared): Sim, body: Bytes) -> Answer<InstalledFault> {
    let rule: FaultRule = read(&body)?;
    Ok(Json(shared.lock().faults.add(rule)?))
}

async fn clear_faults(State(shared): Sim) -> StatusCode {
    shared.lock().faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(shared): Sim, Path(id): Path<u64>) -> Done {
    done_if(shared.lock().faults.remove(id), "fault")
}

async fn state(State(shared): Sim) -> Json<StateView> {
    let inside = shared.lock();
    let state = &inside.world.state;
    let view = |project: &Project| ProjectView {
        project_id: project.id(),
        settings: project.settings.clone(),
        keys: state.keys_of(project.id()),
        clients: project.clients().cloned().collect(),
    };
    Json(StateView { projects: state.projects().map(view).collect() })
}

async fn add_project(State(shared): Sim, body: Bytes) -> Answer<ProjectAccess> {
    let NewProject { id } = read(&body)?;
    let mut inside = shared.lock();
    let world = &mut inside.world;
    let project_id = id.unwrap_or_else(|| world.generator.uuid());
    if !world.state.add_project(project_id) {
        return Err(Refused(StatusCode::CONFLICT, "there is a project of this id".to_owned()));
    }
    let (_, api_key) = world.state.add_key(project_id, Role::ALL.to_vec(), &mut *world.generator);
    Ok(Json(ProjectAccess { project_id, api_key }))
}

async fn configure(State(shared): Sim, Path(id): Path<Uuid>, body: Bytes) -> Answer<Settings> {
    let patch: Value = read(&body)?;
    let mut inside = shared.lock();
    let project = project(&mut inside, id)?;
    project.settings = project.settings.merged(&patch)?;
    Ok(Json(project.settings.clone()))
}

async fn add_key(State(shared): Sim, Path(id): Path<Uuid>, body: Bytes) -> Answer<KeyAccess> {
    let NewKey { roles } = read(&body)?;
    let mut inside = shared.lock();
    project(&mut inside, id)?;
    let world = &mut inside.world;
    let roles = roles.unwrap_or_else(|| Role::ALL.to_vec());
    let (key, api_key) = world.state.add_key(id, roles, &mut *world.generator);
    Ok(Json(KeyAccess { key, api_key }))
}

async fn revoke_key(State(shared): Sim, Path(key_id): Path<Uuid>) -> Done {
    done_if(shared.lock().world.state.revoke_key(key_id), "key")
}

async fn add_client(State(shared): Sim, Path(id): Path<Uuid>, body: Bytes) -> Answer<ClientAccess> {
    let fields = ClientFields::parse(&body)?;
    let now = shared.now();
    let mut inside = shared.lock();
    let world = &mut inside.world;
    let project = world.state.project_mut(id).ok_or_else(|| Refused::absent("project"))?;
    // Studio stores what it is given: normalising and the limit are the API's.
    match project.create(&Settings::default(), fields, now, &mut *world.generator) {
        Ok((client, client_secret)) => Ok(Json(ClientAccess { client, client_secret })),
        Err(CreateError::Invalid(invalid)) => Err(invalid.into()),
        Err(error @ CreateError::LimitReached(_)) => Err(Refused(StatusCode::CONFLICT, error.to_string())),
    }
}

async fn edit_client(State(shared): Sim, Path((id, client_id)): Path<(Uuid, String)>, body: Bytes) -> Done {
    let fields = ClientFields::parse(&body)?;
    let now = shared.now();
    let mut inside = shared.lock();
    match project(&mut inside, id)?.update(&Settings::default(), &client_id, fields, now) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(UpdateError::Invalid(invalid)) => Err(invalid.into()),
        Err(UpdateError::NotFound) => Err(Refused::absent("client")),
    }
}

async fn delete_client(State(shared): Sim, Path((id, client_id)): Path<(Uuid, String)>) -> Done {
    let now = shared.now();
    done_if(project(&mut shared.lock(), id)?.delete(&client_id, now), "client")
}

async fn verify(State(shared): Sim, Path(id): Path<Uuid>, body: Bytes) -> Answer<Verdict> {
    let Credential { client_id, client_secret } = read(&body)?;
    let accepted = project(&mut shared.lock(), id)?.accepts(&client_id, client_secret.expose());
    Ok(Json(Verdict { accepted }))
}
