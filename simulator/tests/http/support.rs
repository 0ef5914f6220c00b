//! A simulator with its project and a plain HTTP client.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};
use simulator::admin::{Admin, ClientFields, Fault, FaultRule, RouteMatch, Secret, Settings};
use simulator::{Options, Running, serve};
use uuid::Uuid;

pub struct Sim {
    pub running: Running,
    pub admin: Admin,
    pub http: Client,
    pub project: Uuid,
    pub key: Secret,
}

pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Sim {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let running = serve(options).await.unwrap();
        let admin = Admin::new(running.admin_url.as_str()).unwrap();
        let http = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        let (project, key) = (running.projects[0].project_id, running.projects[0].api_key.clone());
        Self { running, admin, http, project, key }
    }

    pub fn clients(&self) -> String {
        format!("/accounts/projects/{}/oauth/clients", self.project)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.running.api_url)).bearer_auth(self.key.expose())
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let request = self.request(method, path);
        reply(body.into_iter().fold(request, |request, body| request.json(body))).await
    }

    /// A POST of an ordinary client.
    pub fn post(&self) -> RequestBuilder {
        self.request(Method::POST, &self.clients()).json(&new_client())
    }

    /// An ordinary client's id and secret.
    pub async fn create(&self) -> (String, String) {
        let reply = reply(self.post()).await;
        let text = |name: &str| reply.body["client"][name].as_str().unwrap().to_owned();
        (text("client_id"), text("client_secret"))
    }

    pub async fn strike_once(&self, route: impl Into<RouteMatch>, fault: Fault) {
        self.admin.fault(&FaultRule::on(route, fault).times(1)).await.unwrap();
    }

    /// Replaces the project's settings.
    pub async fn set(&self, settings: Settings) {
        self.admin.configure(self.project, &settings).await.unwrap();
    }

    /// The ids that the server holds, faults aside.
    pub async fn held(&self) -> Vec<String> {
        let state = self.admin.state().await.unwrap();
        state.clients_of(self.project).into_iter().map(|client| client.client_id).collect()
    }

    /// The status that the last call was answered.
    pub async fn last_status(&self) -> Option<u16> {
        self.admin.calls().await.unwrap().last().and_then(|call| call.status)
    }

    /// Waits until the server holds that many clients.
    pub async fn until_held(&self, count: usize) {
        let reached = async {
            while self.held().await.len() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap();
    }
}

pub async fn reply(request: RequestBuilder) -> Reply {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Reply { status, headers, body }
}

pub fn new_client() -> Value {
    json!({
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": ["https://shop.example.com/cb"],
        "scope": "openid email",
        "metadata": {"name": "Shop", "meshagent.com/token": "t1"},
    })
}

pub fn fields() -> ClientFields {
    serde_json::from_value(new_client()).unwrap()
}

/// The kind of IO error at the root of a failed call.
pub fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut kind = None;
    while let Some(error) = cause {
        kind = error.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
        cause = error.source();
    }
    kind
}
