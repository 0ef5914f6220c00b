//! Rules on URIs and URLs. `decide::syntax::uri` reads the same forms; `tests/integration/forms.rs` compares the two.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{limits, words};
use crate::api::fault::{self, Fault};

const PORT: &str = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))";

/// An `http` or `https` URL with a host.
const WEB: &str = r"self.matches(r'^(?i:https?)://[^:/?#]')";

/// Redirect URIs. The rules stand on the item, so that the API server's answer names the one that is wrong.
pub(in crate::api) fn redirect_uris(_: &mut SchemaGenerator) -> Schema {
    let says = |rule: String, fault: Fault| json!({"rule": rule, "message": fault.of("redirectUris: a redirect URI")});
    let schemes = words::REFUSED_SCHEMES.join("|");
    let beyond = limits::AMPERSANDS + 1;
    let mut rules = vec![
        says(characters(), fault::NOT_OF_A_URI),
        says("!self.contains('#')".to_owned(), fault::FRAGMENT),
        says(format!("!self.matches(r'(&[^&]*){{{beyond}}}')"), fault::AMPERSANDS),
        says(r"self.matches(r'^[A-Za-z][A-Za-z0-9+.-]*:')".to_owned(), fault::NOT_ABSOLUTE),
        says(format!("!self.matches(r'^(?i:{schemes}):')"), fault::REFUSED_SCHEME),
        says(format!("!self.matches(r'^[^:]*:$') && (!self.matches(r'^(?i:https?):') || {WEB})"), fault::NO_PLACE),
    ];
    rules.extend(parts().map(|(rule, fault)| says(rule, fault)));
    json_schema!({
        "type": "array",
        "maxItems": limits::REDIRECT_URIS,
        "items": {"type": "string", "maxLength": limits::URI, "x-kubernetes-validations": rules},
    })
}

/// An absolute `http` or `https` URL.
pub(in crate::api) fn logo_url(_: &mut SchemaGenerator) -> Schema {
    web_url("branding.logoUrl", fault::LOGO_URL, [])
}

/// An absolute `http` or `https` URL to which paths are appended.
pub(in crate::api) fn api_url(_: &mut SchemaGenerator) -> Schema {
    let without =
        [("!self.contains('?')".to_owned(), fault::QUERY), ("!self.contains('#')".to_owned(), fault::FRAGMENT)];
    web_url("apiUrl", fault::API_URL, without)
}

fn web_url<const N: usize>(field: &str, otherwise: Fault, more: [(String, Fault); N]) -> Schema {
    let form = [(characters(), fault::NOT_OF_A_URI), (WEB.to_owned(), otherwise)];
    let rules: Vec<Value> = form
        .into_iter()
        .chain(more)
        .chain(parts())
        .map(|(rule, fault)| json!({"rule": rule, "message": fault.of(field)}))
        .collect();
    json_schema!({"type": "string", "maxLength": limits::URI, "x-kubernetes-validations": rules})
}

/// All that RFC 3986 lets a URI hold.
fn characters() -> String {
    r"self.matches(r'^[!#-;=?-\[\]_a-z~]+$')".to_owned()
}

/// The parts of an authority, and percent-encoding.
fn parts() -> [(String, Fault); 4] {
    let before_port = r"^[^:/?#]+://(\[[^\]/?#]*\]|[^:/?#\[]*):";
    let name = r"([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+";
    let form = format!(r"^[^:/?#]+://([^/?#]*@)?((\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|{name})(:[^/?#]*)?)?([/?#]|$)");
    // To a browser, a host that ends in a number is an IPv4 address.
    let number = r"^(?i:https?)://([^:/?#]*\.)?([0-9]+|0[xX][0-9A-Fa-f]*)([:/?#]|$)";
    let host = format!(
        r"(!self.matches(r'^[^:/?#]+://') || self.matches(r'{form}')) && (!self.matches(r'^[^:/?#]+://\[') || isIP(self.find(r'://\[[^\]]*').substring(4))) && (!self.matches(r'{number}') || isIP(self.find(r'://[^:/?#]*').substring(3)))"
    );
    [
        (r"!self.matches(r'^[^:/?#]+://[^/?#]*@')".to_owned(), fault::USER),
        (format!(r"!self.matches(r'{before_port}') || self.matches(r'{before_port}{PORT}([/?#]|$)')"), fault::PORT),
        (host, fault::HOST),
        (r"!self.matches(r'%(.?$|[^0-9A-Fa-f]|.[^0-9A-Fa-f])')".to_owned(), fault::PERCENT),
    ]
}
