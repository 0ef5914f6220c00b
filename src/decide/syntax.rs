//! The form of each text in a spec.

use url::Url;

use crate::api::{limits, names};

/// What is wrong with a text, and what to do: `<field> <problem>; <fix>` is a sentence.
pub(in crate::decide) struct Fault {
    pub(in crate::decide) problem: &'static str,
    pub(in crate::decide) fix: &'static str,
}

/// A [`Fault`] unless the condition holds.
fn need(holds: bool, problem: &'static str, fix: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault { problem, fix }) }
}

fn shorter(text: &str, limit: usize) -> Result<(), Fault> {
    need(text.chars().count() <= limit, "is too long", "shorten it to what kubectl explain says")
}

/// Printable ASCII without spaces and backslashes. A backslash is a slash to some parsers of URLs and not to others.
fn uri_characters(text: &str) -> Result<(), Fault> {
    need(
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'),
        "is empty or holds other than printable ASCII without spaces and backslashes",
        "percent-encode other characters, and write an international host name in its xn-- form",
    )
}

/// The scheme in lower case and what follows its colon.
fn scheme(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Whether this is a scheme for native apps. RFC 8252 asks for a domain name of the app's owner, reversed; that also
/// keeps out `javascript:`, `data:` and whatever else a browser may come to run.
fn is_private_use(scheme: &str) -> bool {
    scheme.contains('.') && scheme.split('.').all(|label| !label.is_empty())
}

/// What stands between `//` and the path, in what follows a scheme.
fn authority(rest: &str) -> Option<&str> {
    rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next())
}

/// Whether this, after `http:` or `https:`, names a host and no user.
fn names_host_only(rest: &str) -> bool {
    authority(rest).is_some_and(|authority| !authority.is_empty() && !authority.contains('@'))
}

/// An absolute redirect URI without a fragment.
pub(in crate::decide) fn redirect_uri(uri: &str) -> Result<(), Fault> {
    shorter(uri, limits::URI)?;
    uri_characters(uri)?;
    need(!uri.contains('#'), "has a fragment", "remove the # and what follows it")?;
    let scheme = scheme(uri);
    let names_user =
        scheme.as_ref().and_then(|(_, rest)| authority(rest)).is_some_and(|authority| authority.contains('@'));
    need(!names_user, "has a user name or password", "remove what stands between // and @, and the @")?;
    match scheme {
        Some((scheme, rest)) if scheme == "https" || scheme == "http" => need(
            names_host_only(rest) && Url::parse(uri).is_ok_and(|url| url.has_host()),
            "has no valid host",
            "write it like https://app.example.com/callback",
        ),
        Some((scheme, _)) if is_private_use(&scheme) => {
            need(Url::parse(uri).is_ok(), "is not a valid URI", "write it like com.example.app:/callback")
        }
        Some(_) | None => need(
            false,
            "is not absolute, or its scheme is not https, http or a reversed domain name",
            "write the whole URI, like https://app.example.com/callback or, for a native app, com.example.app:/callback",
        ),
    }
}

/// Whether this is an absolute `http` or `https` URL that names a host and no user.
fn is_http_url(text: &str) -> bool {
    let by_hand =
        scheme(text).is_some_and(|(scheme, rest)| ["https", "http"].contains(&&*scheme) && names_host_only(rest));
    by_hand && Url::parse(text).is_ok_and(|url| url.has_host())
}

/// The address of a logo.
pub(in crate::decide) fn logo_url(url: &str) -> Result<(), Fault> {
    shorter(url, limits::URI)?;
    uri_characters(url)?;
    let fix = "write it like https://www.example.com/logo.png";
    need(is_http_url(url), "is not an absolute http or https URL without a user name", fix)
}

/// The address of a MeshAgent API.
pub(in crate::decide) fn api_url(url: &str) -> Result<(), Fault> {
    shorter(url, limits::URI)?;
    uri_characters(url)?;
    need(
        is_http_url(url) && !url.contains(['?', '#']),
        "is not an absolute http or https URL without user name, query and fragment",
        "write it like https://api.meshagent.com",
    )
}

/// A scope token of RFC 6749.
pub(in crate::decide) fn scope(scope: &str) -> Result<(), Fault> {
    shorter(scope, limits::SCOPE)?;
    need(
        !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'),
        "is not one token of printable ASCII without spaces, quotes and backslashes",
        "write each scope as an item of its own",
    )
}

/// Whether a character changes the direction of writing or breaks the line, without being a control character.
fn is_disguise(character: char) -> bool {
    matches!(character, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Text that is shown to people.
pub(in crate::decide) fn shown_text(text: &str) -> Result<(), Fault> {
    shorter(text, limits::DISPLAY_NAME)?;
    need(
        !text.trim().is_empty() && !text.chars().any(|character| character.is_control() || is_disguise(character)),
        "is blank, or holds control characters, line breaks or characters that change the direction of writing",
        "remove them",
    )
}

/// A metadata key, whoever may use it.
pub(in crate::decide) fn metadata_key(key: &str) -> Result<(), Fault> {
    shorter(key, limits::METADATA_KEY)?;
    need(
        !key.is_empty() && !key.chars().any(|character| character.is_control() || is_disguise(character)),
        "is empty, or holds control characters or characters that change the direction of writing",
        "choose another key",
    )
}

/// A metadata value; tabs and line breaks are allowed.
pub(in crate::decide) fn metadata_value(value: &str) -> Result<(), Fault> {
    shorter(value, limits::METADATA_VALUE)?;
    let control = |character: char| character.is_control() && !['\t', '\n', '\r'].contains(&character);
    need(!value.chars().any(control), "has a value with control characters", "remove them")
}

/// The name of a Kubernetes object: a DNS subdomain.
pub(in crate::decide) fn object_name(name: &str) -> Result<(), Fault> {
    shorter(name, limits::OBJECT_NAME)?;
    let label = |label: &str| {
        let middle = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        !label.is_empty() && middle && !label.starts_with('-') && !label.ends_with('-')
    };
    need(
        name.split('.').all(label),
        "is not the name of a Kubernetes object",
        "use lower case letters, digits, - and ., with a letter or digit at both ends",
    )
}

/// The name of an OAuthClient, which is the value of a label too.
pub(in crate::decide) fn client_name(name: &str) -> Result<(), Fault> {
    let problem = "is longer than 63 bytes, the longest value of the label that the Secret carries";
    need(name.len() <= limits::CLIENT_NAME, problem, "choose a shorter name")?;
    object_name(name)
}

/// A data key of a Secret.
pub(in crate::decide) fn data_key(key: &str) -> Result<(), Fault> {
    shorter(key, limits::OBJECT_NAME)?;
    let characters = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    need(
        !key.is_empty() && characters && key != "." && !key.starts_with(".."),
        "is not a data key of a Secret",
        "use letters, digits, -, _ and . only, and no .. at its start",
    )
}

/// The id of a MeshAgent project.
pub(in crate::decide) fn project_id(id: &str) -> Result<(), Fault> {
    shorter(id, limits::PROJECT_ID)?;
    let characters = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    need(
        id.starts_with(|first: char| first.is_ascii_alphanumeric()) && characters,
        "is not an id of a MeshAgent project",
        "copy it from MeshAgent Studio, or leave the field out if the key begins with ma-",
    )
}

/// The id of a client at MeshAgent.
pub(in crate::decide) fn client_id(id: &str) -> Result<(), Fault> {
    shorter(id, limits::CLIENT_ID)?;
    need(
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()),
        "is empty, or holds spaces or characters that are not ASCII",
        "copy it from MeshAgent Studio",
    )
}

/// The type of a Secret that has no effect of its own.
pub(in crate::decide) fn secret_type(type_: &str) -> Result<(), Fault> {
    shorter(type_, limits::OBJECT_NAME)?;
    let characters = type_.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    let prefix = type_.split_once('/').map_or("", |(prefix, _)| prefix);
    let acts = prefix.ends_with("kubernetes.io") && type_ != "kubernetes.io/basic-auth" || prefix == "helm.sh";
    need(
        !type_.is_empty() && characters && !acts,
        "is not a type that the operator writes: those under kubernetes.io/ other than kubernetes.io/basic-auth, and those \
         under helm.sh/, have effects of their own",
        "leave it out for Opaque, or choose another",
    )
}

/// The key of a label or annotation that has no effect of its own.
pub(in crate::decide) fn secret_metadata_key(key: &str) -> Result<(), Fault> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    need(
        prefix.is_none_or(|prefix| object_name(prefix).is_ok()) && is_label_text(name) && !name.is_empty(),
        "has a key that is not a name like tier or example.com/tier",
        "use letters, digits, -, _ and ., with a letter or digit at both ends",
    )?;
    need(
        !matches!(prefix, Some("kubernetes.io" | "meshagent.com")),
        "has a key under kubernetes.io/ or meshagent.com/, which have effects of their own",
        "choose another prefix",
    )
}

/// The key of a label that the Secret may bear.
pub(in crate::decide) fn label_key(key: &str) -> Result<(), Fault> {
    secret_metadata_key(key)?;
    need(
        key != names::INSTANCE_LABEL && key != names::MANAGED_BY_LABEL,
        "has the label app.kubernetes.io/instance, by which Argo CD would take the Secret for its own, or \
         app.kubernetes.io/managed-by, which is the operator's",
        "choose another label",
    )
}

/// The value of a label.
pub(in crate::decide) fn label_value(value: &str) -> Result<(), Fault> {
    need(
        is_label_text(value),
        "has a value that is no value of a label",
        "use up to 63 letters, digits, -, _ and ., with a letter or digit at both ends",
    )
}

/// The value of an annotation.
pub(in crate::decide) fn annotation_value(value: &str) -> Result<(), Fault> {
    shorter(value, limits::ANNOTATION_VALUE)
}

fn is_label_text(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= limits::LABEL_VALUE
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
