//! Which route a request is for.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A route's name, by which faults and the record of calls speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Route {
    /// `POST …/oauth/clients`
    #[serde(rename = "clients.create")]
    ClientsCreate,
    /// `GET …/oauth/clients`
    #[serde(rename = "clients.list")]
    ClientsList,
    /// `GET …/oauth/clients/{client_id}`
    #[serde(rename = "clients.get")]
    ClientsGet,
    /// `PUT …/oauth/clients/{client_id}`
    #[serde(rename = "clients.update")]
    ClientsUpdate,
    /// `DELETE …/oauth/clients/{client_id}`
    #[serde(rename = "clients.delete")]
    ClientsDelete,
    /// `GET /oauth/authorize`
    #[serde(rename = "oauth.authorize")]
    OauthAuthorize,
    /// `POST /oauth/token`
    #[serde(rename = "oauth.token")]
    OauthToken,
    /// `GET /config`
    #[serde(rename = "config")]
    Config,
    /// `GET /accounts/profiles/me`
    #[serde(rename = "profiles.me")]
    ProfilesMe,
    /// `GET /.well-known/openid-configuration`
    #[serde(rename = "openid.configuration")]
    OpenidConfiguration,
    /// `GET /.well-known/jwks.json`
    #[serde(rename = "openid.keys")]
    OpenidKeys,
}

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A project's clients.
    Clients {
        /// The project, as in the path; it need not be a UUID.
        project: String,
    },
    /// One client.
    Client {
        /// The project, as in the path.
        project: String,
        /// The client id, as in the path.
        client_id: String,
    },
    /// Sign-in.
    Authorize,
    /// Tokens.
    Token,
    /// The server's description of itself.
    Config,
    /// The user who has signed in.
    Me,
    /// OpenID Connect discovery.
    OpenidConfiguration,
    /// The keys of id tokens.
    OpenidKeys,
    /// No route of this API.
    Elsewhere,
}

impl Target {
    /// Reads a path; its segments are percent-decoded.
    pub fn of(path: &str) -> Self {
        let decode = |segment| percent_decode_str(segment).decode_utf8().ok().map(|text| text.into_owned());
        let Some(segments) = path.split('/').skip(1).map(decode).collect::<Option<Vec<_>>>() else {
            return Self::Elsewhere;
        };
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["oauth", "authorize"] => Self::Authorize,
            ["oauth", "token"] => Self::Token,
            ["config"] => Self::Config,
            ["accounts", "profiles", "me"] => Self::Me,
            [".well-known", "openid-configuration"] => Self::OpenidConfiguration,
            [".well-known", "jwks.json"] => Self::OpenidKeys,
            ["accounts", "projects", project, "oauth", "clients"] => Self::Clients { project: project.to_owned() },
            ["accounts", "projects", project, "oauth", "clients", client_id] if !client_id.is_empty() => {
                Self::Client { project: project.to_owned(), client_id: client_id.to_owned() }
            }
            _ => Self::Elsewhere,
        }
    }

    /// The routes of this path, each with its method.
    pub fn routes(&self) -> &'static [(&'static str, Route)] {
        match self {
            Self::Clients { .. } => &[("GET", Route::ClientsList), ("POST", Route::ClientsCreate)],
            Self::Client { .. } => {
                &[("GET", Route::ClientsGet), ("PUT", Route::ClientsUpdate), ("DELETE", Route::ClientsDelete)]
            }
            Self::Authorize => &[("GET", Route::OauthAuthorize)],
            Self::Token => &[("POST", Route::OauthToken)],
            Self::Config => &[("GET", Route::Config)],
            Self::Me => &[("GET", Route::ProfilesMe)],
            Self::OpenidConfiguration => &[("GET", Route::OpenidConfiguration)],
            Self::OpenidKeys => &[("GET", Route::OpenidKeys)],
            Self::Elsewhere => &[],
        }
    }

    /// The route of this path and method.
    pub fn route(&self, method: &str) -> Option<Route> {
        self.routes().iter().find(|(name, _)| *name == method).map(|(_, route)| *route)
    }

    /// The project in the path, if it is an id.
    pub fn project(&self) -> Option<Uuid> {
        match self {
            Self::Clients { project } | Self::Client { project, .. } => Uuid::parse_str(project).ok(),
            Self::Authorize
            | Self::Token
            | Self::Config
            | Self::Me
            | Self::OpenidConfiguration
            | Self::OpenidKeys
            | Self::Elsewhere => None,
        }
    }

    /// The client in the path.
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Client { client_id, .. } => Some(client_id),
            Self::Clients { .. }
            | Self::Authorize
            | Self::Token
            | Self::Config
            | Self::Me
            | Self::OpenidConfiguration
            | Self::OpenidKeys
            | Self::Elsewhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_after_they_are_split() {
        let path = "/accounts/projects/p/oauth/clients/a%2Fb%20c";
        assert_eq!(Target::of(path), Target::Client { project: "p".to_owned(), client_id: "a/b c".to_owned() });
    }

    #[test]
    fn a_path_that_is_not_documented_is_elsewhere() {
        for path in ["/", "/oauth", "/oauth/token/", "/accounts/projects/p/oauth/clients/", "/%ff"] {
            assert_eq!(Target::of(path), Target::Elsewhere, "{path}");
        }
    }

    #[test]
    fn a_route_needs_its_method() {
        assert_eq!(Target::of("/oauth/token").route("GET"), None);
        assert_eq!(Target::of("/oauth/token").route("POST"), Some(Route::OauthToken));
    }
}
