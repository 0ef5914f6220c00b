//! The server's address, parsed once.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The base URL of a MeshAgent server: http or https, perhaps with a path prefix, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiUrl(Url);

/// Why a text is not the base URL of a server. Never shows the text: it may hold credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiUrlError {
    /// The text is no absolute URL.
    #[error("it is not an absolute URL ({0}); write it like https://api.meshagent.com")]
    NotAUrl(url::ParseError),
    /// The scheme is neither https nor http.
    #[error("its scheme is neither https nor http; write it like https://api.meshagent.com")]
    Scheme,
    /// The URL holds `user:password@`.
    #[error("it holds a user name or password; remove them, the API key goes into a Secret")]
    UserInfo,
    /// The URL holds `?…`.
    #[error("it holds a query; remove everything from the ? on")]
    Query,
    /// The URL holds `#…`.
    #[error("it holds a fragment; remove everything from the # on")]
    Fragment,
}

impl ApiUrl {
    /// The parsed URL, for checks of scheme, host and port.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The address where users sign in.
    pub fn authorize_url(&self) -> String {
        format!("{self}/oauth/authorize")
    }

    /// The address where codes and client credentials are exchanged for tokens.
    pub fn token_url(&self) -> String {
        format!("{self}/oauth/token")
    }

    /// This URL with further path segments, percent-encoded. `None` if one of them cannot be a segment: an empty one
    /// would name the collection instead of the client, and `.` and `..` would name something else altogether.
    pub(super) fn join(&self, segments: &[&str]) -> Option<Url> {
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return None;
        }
        let mut url = self.0.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
        Some(url)
    }
}

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    fn from_str(text: &str) -> Result<Self, ApiUrlError> {
        let mut url = Url::parse(text).map_err(ApiUrlError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ApiUrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ApiUrlError::UserInfo);
        }
        if url.query().is_some() {
            return Err(ApiUrlError::Query);
        }
        if url.fragment().is_some() {
            return Err(ApiUrlError::Fragment);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The url crate shows an empty path as a slash.
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests;
