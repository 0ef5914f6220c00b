//! The five routes for OAuth clients.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::route::{Route, Target};
use super::{World, bearer, header_text};
use crate::generate::Generate;
use crate::state::client::{Client, ClientFields, Invalid};
use crate::state::settings::{PageTotal, Settings};
use crate::state::{Consistency, CreateError, Key, Listing, Page, Project, Role, State, UpdateError};

const DEFAULT_COUNT: usize = 100;

pub(super) fn respond(
    world: &mut World,
    route: Route,
    target: &Target,
    request: &Request<Bytes>,
    now: Duration,
    overrides: Option<&Value>,
) -> Answer {
    let (key, project_id) = match authenticate(&world.state, target, request.headers()) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let Some(project) = world.state.project_mut(project_id) else {
        return Answer::error(404, "not_found", "no such project");
    };
    // A patch was checked when it was taken; one that no longer fits leaves the settings as they are.
    let patched = overrides.and_then(|patch| project.settings.merged(patch).ok());
    let settings = patched.unwrap_or_else(|| project.settings.clone());
    let call = Call { key: &key, settings: &settings, client_id: target.client_id().unwrap_or_default(), now };
    let answer = match call.permitted(route) {
        Err(refusal) => refusal,
        Ok(()) => call.carry_out(route, project, request, &mut *world.generator),
    };
    answer.with_errors_as(&settings)
}

// 401 before 404 before 403: an unknown key learns nothing about projects.
fn authenticate(state: &State, target: &Target, headers: &HeaderMap) -> Result<(Key, Uuid), Answer> {
    let key = bearer(headers).and_then(|key| state.key(key)).ok_or_else(|| {
        Answer::error(401, "unauthorized", "the API key is missing or unknown")
            .with_header("www-authenticate", "Bearer")
    })?;
    let no_project = || Answer::error(404, "not_found", "no such project");
    let project_id = target.project().filter(|id| state.project(*id).is_some()).ok_or_else(no_project)?;
    if key.project_id != project_id {
        return Err(Answer::error(403, "permission_denied", "the API key belongs to another project"));
    }
    Ok((key.clone(), project_id))
}

struct Call<'a> {
    key: &'a Key,
    settings: &'a Settings,
    client_id: &'a str,
    now: Duration,
}

impl Call<'_> {
    fn permitted(&self, route: Route) -> Result<(), Answer> {
        if self.settings.disabled {
            return Err(Answer::error(423, "locked", "the project is disabled"));
        }
        let role = match route {
            Route::ClientsCreate => Role::OauthClientCreator,
            Route::ClientsList | Route::ClientsGet => Role::OauthClientInventory,
            Route::ClientsUpdate | Route::ClientsDelete => Role::OauthClientManager,
            Route::OauthAuthorize
            | Route::OauthToken
            | Route::Config
            | Route::ProfilesMe
            | Route::OpenidConfiguration
            | Route::OpenidKeys => return Ok(()),
        };
        if self.key.has(role) {
            return Ok(());
        }
        Err(Answer::error(403, "permission_denied", format!("the API key lacks the role {}", role.name())))
    }

    fn carry_out(
        &self,
        route: Route,
        project: &mut Project,
        request: &Request<Bytes>,
        generator: &mut dyn Generate,
    ) -> Answer {
        match route {
            Route::ClientsCreate => self.create(project, request.body(), generator),
            Route::ClientsList => self.list(project, request),
            Route::ClientsGet => self.get(project, consistency(request.headers())),
            Route::ClientsUpdate => self.update(project, request.body()),
            Route::ClientsDelete => self.delete(project),
            Route::OauthAuthorize
            | Route::OauthToken
            | Route::Config
            | Route::ProfilesMe
            | Route::OpenidConfiguration
            | Route::OpenidKeys => Answer::error(404, "not_found", "not a route of a project"),
        }
    }

    fn create(&self, project: &mut Project, body: &[u8], generator: &mut dyn Generate) -> Answer {
        let fields = match self.fields(body) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        match project.create(self.settings, fields, self.now, generator) {
            Ok((client, secret)) => {
                let mut shown = json!(client);
                shown["client_secret"] = secret.expose().into();
                let body = if self.settings.bare_create { shown } else { json!({"client": shown}) };
                Answer::json(200, body).about(&client.client_id)
            }
            Err(CreateError::Invalid(invalid)) => refused(&invalid),
            Err(error @ CreateError::LimitReached(_)) => Answer::error(409, "conflict", error.to_string()),
        }
    }

    fn list(&self, project: &Project, request: &Request<Bytes>) -> Answer {
        let page = match page(request.uri().query().unwrap_or_default()) {
            Ok(page) => page,
            Err(invalid) => return refused(&invalid),
        };
        let Listing { clients, total } = project.list(self.settings, &page, consistency(request.headers()), self.now);
        let shown: Vec<Value> =
            clients.iter().map(|client| shown(project, client, self.settings.secret_in_list)).collect();
        let mut body = json!({"clients": shown});
        match self.settings.page_total {
            PageTotal::Honest => body["total"] = total.into(),
            PageTotal::Missing => {}
            PageTotal::Fixed(lie) => body["total"] = lie.into(),
        }
        Answer::json(200, body)
    }

    fn get(&self, project: &Project, consistency: Consistency) -> Answer {
        let Some(client) = project.read(self.settings, self.client_id, consistency, self.now) else {
            return self.not_found();
        };
        let shown = shown(project, client, self.settings.secret_in_get);
        let body = if self.settings.wrap_get { json!({"client": shown}) } else { shown };
        Answer::json(200, body).about(self.client_id)
    }

    fn update(&self, project: &mut Project, body: &[u8]) -> Answer {
        let fields = match self.fields(body) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        match project.update(self.settings, self.client_id, fields, self.now) {
            Ok(()) => Answer::json(200, json!({"ok": true})).about(self.client_id),
            Err(UpdateError::Invalid(invalid)) => refused(&invalid),
            Err(UpdateError::NotFound) => self.not_found(),
        }
    }

    fn delete(&self, project: &mut Project) -> Answer {
        if project.delete(self.client_id, self.now) {
            Answer::empty(204).about(self.client_id)
        } else {
            self.not_found()
        }
    }

    fn fields(&self, body: &[u8]) -> Result<ClientFields, Answer> {
        let fields = ClientFields::parse(body).map_err(|invalid| refused(&invalid))?;
        let proxy = fields.scope.iter().flat_map(|scope| scope.split_ascii_whitespace()).any(|s| s == "llm_proxy");
        if proxy && !self.key.has(Role::CanUseLlmProxy) {
            let message = "a client with the scope llm_proxy needs the project permission can_use_llm_proxy";
            return Err(Answer::error(403, "permission_denied", message));
        }
        Ok(fields)
    }

    fn not_found(&self) -> Answer {
        Answer::error(404, "not_found", "no such OAuth client").about(self.client_id)
    }
}

fn shown(project: &Project, client: &Client, with_secret: bool) -> Value {
    let mut shown = json!(client);
    if with_secret && let Some(secret) = project.secret_of_version(&client.client_id) {
        shown["client_secret"] = secret.expose().into();
    }
    shown
}

fn refused(invalid: &Invalid) -> Answer {
    Answer::error(400, "invalid_request", invalid.to_string())
}

fn consistency(headers: &HeaderMap) -> Consistency {
    match header_text(headers, "consistency") {
        Some(value) if value.eq_ignore_ascii_case("high") => Consistency::High,
        Some(_) | None => Consistency::Fast,
    }
}

fn page(query: &str) -> Result<Page, Invalid> {
    let mut page = Page { count: DEFAULT_COUNT, offset: 0, filter: None };
    let number = |name: &str, value: &str| {
        value.parse().map_err(|_| Invalid(format!("{name} must be a whole number that is not negative")))
    };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "count" => page.count = number("count", &value)?,
            "offset" => page.offset = number("offset", &value)?,
            "filter" => page.filter = Some(value.into_owned()).filter(|text| !text.is_empty()),
            _ => {}
        }
    }
    Ok(page)
}
