//! The schema and the operator accept the same, and refuse the same: one table over every field that has a form, put to
//! the API server and to the code.

use std::collections::BTreeSet;

use meshagent_operator::api::project::ClusterMeshAgentProjectSpec;
use meshagent_operator::decide::client::desired::Present;
use meshagent_operator::decide::project::spec::ProjectSettings;
use serde_json::{Value, json};

use super::fixture::Fixture;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Client,
    Project,
}

/// A field: where a value of it stands in a spec, and which values are accepted and refused.
struct Form {
    field: &'static str,
    kind: Kind,
    around: fn(&Value) -> Value,
    accepted: Vec<Value>,
    refused: Vec<Value>,
}

fn form(field: &'static str, kind: Kind, around: fn(&Value) -> Value) -> Form {
    Form { field, kind, around, accepted: Vec::new(), refused: Vec::new() }
}

impl Form {
    fn accepts(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.accepted.extend(values.into_iter().map(Into::into));
        self
    }

    fn refuses(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.refused.extend(values.into_iter().map(Into::into));
        self
    }
}

fn client(more: Value) -> Value {
    let mut spec = json!({ "redirectUris": ["https://a.example/cb"] });
    merge(&mut spec, more);
    spec
}

fn project(more: Value) -> Value {
    let mut spec = json!({ "apiKeySecretRef": { "name": "key" } });
    merge(&mut spec, more);
    spec
}

fn merge(spec: &mut Value, more: Value) {
    if let Value::Object(fields) = more {
        for (field, value) in fields {
            spec[field] = value;
        }
    }
}

/// F11, F20.
fn redirect_uris() -> Form {
    let long = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
    form("redirectUris", Kind::Client, |uri| json!({ "redirectUris": [uri] }))
        .accepts(WEB_URIS)
        .accepts(NATIVE_URIS)
        .accepts([long(2048), format!("https://a.example/?{}", "&".repeat(32))])
        .refuses(REFUSED_URIS)
        .refuses([long(2049), format!("https://a.example/?{}", "&".repeat(33))])
        .refuses(
            REFUSED_SCHEMES
                .into_iter()
                .flat_map(|scheme| [format!("{scheme}:x"), format!("{}://x", scheme.to_uppercase())]),
        )
}

const WEB_URIS: [&str; 20] = [
    "https://a.example",
    "https://a.example/",
    "https://a.example?x=1",
    "HTTPS://A.Example:8443/cb?next=%2F&a@b",
    "http://localhost:3000/cb",
    "http://localhost",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:1/cb",
    "http://127.0.0.1:65535/cb",
    "http://[::1]:3000/cb",
    "http://[2001:db8::1]/cb",
    "http://[::127.0.0.1]/cb",
    "https://xn--bcher-kva.example/cb",
    "https://my_app.example/cb",
    "https://a-.example/cb",
    "https://1.example.2x/cb",
    "https://0x7.example/cb",
    "https://a.example/cb?a[]=1;b=(2)*!'$,",
    "https://a.example/a:b@c//d",
    "https://a.example/javascript:alert(1)",
];

const NATIVE_URIS: [&str; 19] = [
    "powerboards:/mauth/callback",
    "vscode://vendor.extension/did-authenticate",
    "cursor://anysphere.cursor-retrieval/oauth/callback",
    "com.example.app:/cb",
    "com.example.app:cb",
    "com.example.app://cb",
    "com.example.app:///cb",
    "com.example.app://",
    "Com.Example.App:cb",
    "com..example.:/cb",
    "exp+app://192.168.1.10:8081/--/cb",
    "app://1/cb",
    "app://1.2.3.4.5/cb",
    "app://[::1]:80/cb",
    "msauth://com.example.app/ga0RGNYHvNM5d0SLGQfpQWAPGJ8%3D",
    "x-javascript:alert(1)",
    "javascriptx:alert(1)",
    "java.script:alert(1)",
    "wsx:/cb",
];

const REFUSED_SCHEMES: [&str; 15] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "filesystem",
    "about",
    "ws",
    "wss",
    "ftp",
    "mailto",
    "tel",
    "sms",
    "urn",
    "view-source",
];

const REFUSED_URIS: [&str; 91] = [
    "",
    " ",
    ":",
    "://a.example",
    "/cb",
    "//a.example/cb",
    "a.example/cb",
    "#",
    "?x",
    "https",
    "https:",
    "https:a.example/cb",
    "https:/a.example/cb",
    "https:///cb",
    "https://",
    "https:// /cb",
    "https://?x",
    "https://:443/cb",
    "https://@/cb",
    "https://user@a.example/cb",
    "https://user:pw@a.example/cb",
    "https://a.example@evil.example/cb",
    "https://a.example:443@evil.example/cb",
    "https://a.example:99999/cb",
    "http://127.0.0.1:99999/cb",
    "http://127.0.0.1:65536/cb",
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:080/cb",
    "http://127.0.0.1:/cb",
    "http://127.0.0.1:+80/cb",
    "http://127.0.0.1:80:80/cb",
    "http://127.0.0.1:http/cb",
    "http://127.0.0.1:8%30/cb",
    "http://127.0.0/cb",
    "http://127.1/cb",
    "http://2130706433/cb",
    "http://0x7f.0.0.1/cb",
    "http://0x7f000001/cb",
    "http://127.0.0.0x1/cb",
    "http://127.0.0.01/cb",
    "http://127.0.0.256/cb",
    "http://1.2.3.4.5/cb",
    "http://a.1/cb",
    "http://a.0x/cb",
    "http://[::1/cb",
    "http://::1/cb",
    "http://[]/cb",
    "http://[1.2.3.4]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://[::ffff:7f00:1]/cb",
    "http://[fe80::1%25eth0]/cb",
    "http://[::1]x/cb",
    "http://[::1]:99999/cb",
    "http://[1:2:3:4:5:6:7:8:9]/cb",
    "http://[::g]/cb",
    "http://a[::1]/cb",
    "https://a..example/cb",
    "https://.a.example/cb",
    "https://a.example./cb",
    "https://a.example.:443/cb",
    "https://*.example.com/cb",
    "https://a%2eexample/cb",
    "https://a,b/cb",
    "https://bücher.example/cb",
    "https://ａ.example/cb",
    "https://a.example\\@evil.example/cb",
    "https://a.example/cb#frag",
    "https://a.example/cb#",
    "https://a.example/c b",
    " https://a.example/cb",
    "https://a.example/cb ",
    "https://a.example/cb\n",
    "\thttps://a.example/cb",
    "https://a.example/\u{0}",
    "https://a.example/\u{202E}",
    "https://a.example/{tenant}/cb",
    "https://a.example/<x>",
    "https://a.example/\"x\"",
    "https://a.example/a|b^c`d",
    "https://a.example/%",
    "https://a.example/%2",
    "https://a.example/%zz",
    "https://a.example/?x=100%&y=1",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\u{1}javascript:alert(1)",
    "jav\u{200B}ascript:alert(1)",
    "com.example.app://user@evil.example/cb",
    "1com.example:/cb",
];

const REFUSED_NATIVE_URIS: [&str; 8] = [
    "app:",
    "com.example.app:",
    ".example:/cb",
    "-app:/cb",
    "app://:80/cb",
    "app://host:99999/cb",
    "app://a..b/cb",
    "a_b:/cb",
];

/// F36, and what a person can write into the address of a server.
fn urls() -> [Form; 2] {
    let wrong = [
        "",
        "api.meshagent.com",
        "//api.meshagent.com",
        "ftp://api.meshagent.com",
        "https:api.meshagent.com",
        "https://",
        "https:///x",
        "https://:443",
        "https://user@api.meshagent.com",
        "https://api.meshagent.com@evil.example",
        "https://api.meshagent.com:99999",
        "https://api.meshagent.com:0",
        "https://api.meshagent.com:",
        "https://API.meshagent.com.",
        "https://api.meshagent.com.:443/x",
        "https://api..meshagent.com",
        "https://api%2Emeshagent.com",
        "https://127.1",
        "https://[::1",
        "https://[::ffff:1.2.3.4]",
        "https://a.example\\b",
        "https://a.example/ b",
        "https://a.example/%zz",
        "https://bücher.example",
        "javascript:alert(1)",
    ];
    let right = [
        "https://api.meshagent.com",
        "https://API.meshagent.com",
        "HTTPS://api.meshagent.com:443/",
        "http://localhost:8080/prefix//",
        "http://127.0.0.1:1",
        "https://[2001:db8::1]:8443/x",
        "https://meshagent.meshagent.svc.cluster.local/a%20b",
    ];
    [
        form("apiUrl", Kind::Project, |url| project(json!({ "apiUrl": url }))).accepts(right).refuses(wrong).refuses([
            "https://api.meshagent.com?x",
            "https://api.meshagent.com/?",
            "https://api.meshagent.com#x",
            "https://api.meshagent.com/#",
        ]),
        form("branding.logoUrl", Kind::Client, |url| client(json!({ "branding": { "logoUrl": url } })))
            .accepts(right)
            .accepts(["https://a.example/logo.png?v=2#x", "https://a.example?x", "https://a.example#x"])
            .refuses(wrong),
    ]
}

fn durations() -> [Form; 2] {
    let right = ["0s", "0d", "30s", "15m", "12h", "90d", "3650d", "87600h", "5256000m", "315360000s"];
    let wrong = [
        "",
        "s",
        "30",
        "1h30m",
        "-1s",
        "+1s",
        "1.5h",
        " 1s",
        "1s ",
        "1s\n",
        "1S",
        "007s",
        "00s",
        "1w",
        "1y",
        "1é",
        "١s",
        "3651d",
        "87601h",
        "315360001s",
        "99999999d",
        "99999999999999999999999d",
        "1 day",
        "P1D",
        "24h0m0s",
        "1e3s",
        "0x1s",
    ];
    [
        form("rotation.overlap", Kind::Client, |text| client(json!({ "rotation": { "overlap": text } })))
            .accepts(right)
            .refuses(wrong),
        form("orphans.minAge", Kind::Project, |text| project(json!({ "orphans": { "minAge": text } })))
            .accepts(right)
            .refuses(wrong),
    ]
}

/// Fields of a few words: other words, other cases and no word are refused.
fn words() -> Vec<Form> {
    let words = |field, kind, around, accepted: &[&str]| {
        let other = accepted.iter().flat_map(|word| [word.to_lowercase(), word.to_uppercase(), format!("{word} ")]);
        let other: Vec<String> = other.filter(|word| !accepted.contains(&&**word)).collect();
        form(field, kind, around).accepts(accepted.iter().copied()).refuses(other).refuses(["", "Any"])
    };
    vec![
        words(
            "grantTypes",
            Kind::Client,
            |word| client(json!({ "grantTypes": [word] })),
            &["authorization_code", "refresh_token", "client_credentials"],
        ),
        words(
            "responseTypes",
            Kind::Client,
            |word| client(json!({ "responseTypes": [word] })),
            &["code", "token", "id_token"],
        ),
        words(
            "branding.theme",
            Kind::Client,
            |word| client(json!({ "branding": { "theme": word } })),
            &["light", "dark", "auto"],
        ),
        words("deletionPolicy", Kind::Client, |word| client(json!({ "deletionPolicy": word })), &["Delete", "Retain"]),
        words(
            "onCredentialLoss",
            Kind::Client,
            |word| client(json!({ "onCredentialLoss": word })),
            &["Recreate", "Block"],
        ),
        words(
            "rollout.restart",
            Kind::Client,
            |word| client(json!({ "rollout": { "restart": word } })),
            &["None", "Injected"],
        ),
        words(
            "projectRef.kind",
            Kind::Client,
            |word| client(json!({ "projectRef": { "kind": word, "name": "x" } })),
            &["MeshAgentProject", "ClusterMeshAgentProject"],
        ),
        words(
            "caBundleRef.kind",
            Kind::Project,
            |word| project(json!({ "caBundleRef": { "kind": word, "name": "x" } })),
            &["Secret", "ConfigMap"],
        ),
        words(
            "orphans.policy",
            Kind::Project,
            |word| project(json!({ "orphans": { "policy": word } })),
            &["Delete", "Report"],
        ),
    ]
}

/// Names of objects and data keys.
#[allow(clippy::too_many_lines, reason = "a table")]
fn names() -> Vec<Form> {
    let named = |form: Form| {
        form.accepts(["a", "a-b", "a.b", "1", &"a".repeat(253)]).refuses([
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a/b",
            "ä",
            "a\n",
            &"a".repeat(254),
        ])
    };
    let keys = |form: Form| {
        form.accepts(["a", "A_b-C.d", ".a", &"k".repeat(253)]).refuses([
            ".",
            "..",
            "..a",
            "a b",
            "a/b",
            "ä",
            "a\n",
            &"k".repeat(254),
        ])
    };
    vec![
        named(form("secret.name", Kind::Client, |name| client(json!({ "secret": { "name": name } })))),
        named(form("projectRef.name", Kind::Client, |name| {
            client(json!({ "projectRef": { "kind": "MeshAgentProject", "name": name } }))
        })),
        named(form("adopt.credentialSecretRef.name", Kind::Client, |name| {
            client(json!({ "adopt": { "clientId": "c", "credentialSecretRef": { "name": name } } }))
        })),
        named(form("apiKeySecretRef.name", Kind::Project, |name| json!({ "apiKeySecretRef": { "name": name } }))),
        named(form("caBundleRef.name", Kind::Project, |name| {
            project(json!({ "caBundleRef": { "kind": "Secret", "name": name } }))
        })),
        keys(form("secret.keys.clientId", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "clientId": key } } }))
        }))
        .refuses([""]),
        keys(form("secret.keys.clientSecret", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "clientSecret": key } } }))
        }))
        .refuses(["", "CLIENT_ID", "SCOPES"]),
        keys(form("secret.keys.projectId", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "projectId": key } } }))
        }))
        .accepts([""]),
        keys(form("secret.keys.authorizeUrl", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "authorizeUrl": key } } }))
        }))
        .accepts([""]),
        keys(form("secret.keys.tokenUrl", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "tokenUrl": key } } }))
        }))
        .accepts([""]),
        keys(form("secret.keys.scopes", Kind::Client, |key| {
            client(json!({ "secret": { "keys": { "scopes": key } } }))
        }))
        .accepts([""])
        .refuses(["TOKEN_URL"]),
        keys(form("adopt.credentialSecretRef.clientIdKey", Kind::Client, |key| {
            client(json!({ "adopt": { "clientId": "c", "credentialSecretRef": { "name": "x", "clientIdKey": key } } }))
        }))
        .refuses([""]),
        keys(form("adopt.credentialSecretRef.clientSecretKey", Kind::Client, |key| {
            client(
                json!({ "adopt": { "clientId": "c", "credentialSecretRef": { "name": "x", "clientSecretKey": key } } }),
            )
        }))
        .refuses([""]),
        keys(form(
            "apiKeySecretRef.key",
            Kind::Project,
            |key| json!({ "apiKeySecretRef": { "name": "x", "key": key } }),
        ))
        .refuses([""]),
        keys(form("caBundleRef.key", Kind::Project, |key| {
            project(json!({ "caBundleRef": { "kind": "Secret", "name": "x", "key": key } }))
        }))
        .refuses([""]),
    ]
}

/// Texts that are shown, ids, scopes, types.
fn texts() -> Vec<Form> {
    let disguises =
        ["a\u{202E}b", "a\u{2066}b", "a\u{200F}b", "a\u{61C}b", "a\u{2028}b", "a\u{0}b", "a\u{85}b", "a\nb"];
    vec![
        form("displayName", Kind::Client, |text| client(json!({ "displayName": text })))
            .accepts(["Shop", "Der Laden – 店", "👩\u{200D}🚀 crew", "می\u{200C}خواهم", &"店".repeat(256)])
            .refuses(["", " ", "\u{A0}", "\u{3000}", "\u{2003} ", &"店".repeat(257)])
            .refuses(disguises),
        form("scopes", Kind::Client, |text| client(json!({ "scopes": [text] })))
            .accepts(["openid", "profile:read", "llm:invoke", "!#[]~<&>", &"s".repeat(256)])
            .refuses(["", "a b", "a\"b", "a\\b", "ä", "a\n", &"s".repeat(257)]),
        form("adopt.clientId", Kind::Client, |text| client(json!({ "adopt": { "clientId": text } })))
            .accepts(["0d0c0f6e-8f5c-4a39-9f4d-0b6d4f1f6a5c", "...", "a/b?c#d%", &"c".repeat(256)])
            .refuses(["", ".", "..", "a b", "ä", "a\n", &"c".repeat(257)]),
        form("projectId", Kind::Project, |text| project(json!({ "projectId": text })))
            .accepts(["7f3c2e1a-0d5b-4c8e-9f6a-1b2c3d4e5f60", "p", "A.b_c-", &"p".repeat(128)])
            .refuses(["", ".", "..", "-a", "a/b", "../x", "a b", "ä", &"p".repeat(129)]),
        form("extraMetadata's value", Kind::Client, |text| client(json!({ "extraMetadata": { "team": text } })))
            .accepts(["", "a\tb\r\nc", "\u{202E}", &"💡".repeat(1024)])
            .refuses(["\u{0}", "\u{7}", "\u{7F}", "\u{9F}", &"💡".repeat(1025)]),
        form("extraMetadata's key", Kind::Client, |key| {
            client(json!({ "extraMetadata": { key.as_str().unwrap_or_default(): "x" } }))
        })
        .accepts(["team", "Name", "a b", "example.com/x", "💡", &"💡".repeat(128)])
        .refuses(["", "name", "logo_url", "theme", "remove_powered_by_meshagent", "meshagent.com/x", &"k".repeat(129)])
        .refuses(disguises),
        form("secret.type", Kind::Client, |text| client(json!({ "secret": { "type": text } })))
            .accepts(["Opaque", "kubernetes.io/basic-auth", "example.com/oauth", "a/b/c"])
            .refuses(["", "kubernetes.io/tls", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"])
            .refuses(["evilkubernetes.io/x", "helm.sh/release.v1", "a b", "ä", &"t".repeat(254)]),
    ]
}

/// Keys and values of labels and annotations.
fn secret_metadata() -> Vec<Form> {
    fn entry(field: &str, key: &Value) -> Value {
        client(json!({ "secret": { field: { key.as_str().unwrap_or_default(): "x" } } }))
    }
    let keys = |form: Form| {
        let prefix = |length: usize| format!("{}/x", "p".repeat(length));
        form.accepts(["tier", "example.com/tier", "A_b.C", "sub.kubernetes.io/x", "argocd.argoproj.io/secret-type"])
            .accepts([prefix(253), "n".repeat(63)])
            .refuses(["", "a b", "-a", "a-", "/a", "a/", "a/b/c", "A/b", "ä", "kubernetes.io/x", "meshagent.com/x"])
            .refuses([prefix(254), "n".repeat(64)])
    };
    vec![
        keys(form("secret.labels' key", Kind::Client, |key| entry("labels", key)))
            .refuses(["app.kubernetes.io/instance", "app.kubernetes.io/managed-by"]),
        keys(form("secret.annotations' key", Kind::Client, |key| entry("annotations", key)))
            .accepts(["app.kubernetes.io/instance"]),
        form("secret.labels' value", Kind::Client, |text| client(json!({ "secret": { "labels": { "tier": text } } })))
            .accepts(["", "a", "A-b_c.9", &"v".repeat(63)])
            .refuses(["a b", "-a", "a-", "a/b", "ä", &"v".repeat(64)]),
        form("secret.annotations' value", Kind::Client, |text| {
            client(json!({ "secret": { "annotations": { "tier": text } } }))
        })
        .accepts(["", "a\tb\nc", "{\"a\": [1]}", &"💡".repeat(4096)])
        .refuses(["\u{0}", "\u{1B}", &"v".repeat(4097)]),
        form("secret.annotations together", Kind::Client, |entries| {
            client(json!({ "secret": { "annotations": entries } }))
        })
        .accepts([annotations(16, 4091), annotations(30, 100)])
        .refuses([annotations(16, 4092), annotations(31, 1)]),
    ]
}

/// Annotations, `count` of them, with keys of five bytes and values of `bytes` bytes.
fn annotations(count: usize, bytes: usize) -> Value {
    (0..count).map(|n| (format!("key{n:02}"), json!("v".repeat(bytes)))).collect::<serde_json::Map<_, _>>().into()
}

/// F4: a selector that cannot be read never means all namespaces.
fn namespaces() -> Vec<Form> {
    fn allowed(allowed: &Value) -> Value {
        project(json!({ "allowedNamespaces": allowed }))
    }
    fn adopting(allowed: &Value) -> Value {
        project(json!({ "adoption": { "allowedNamespaces": allowed } }))
    }
    let expression = |expression: Value| json!({ "selector": { "matchExpressions": [expression] } });
    let right = [
        json!({}),
        json!({ "names": [] }),
        json!({ "names": ["shop", "a-1", "n".repeat(63)] }),
        json!({ "selector": {} }),
        json!({ "selector": { "matchLabels": { "kubernetes.io/metadata.name": "shop", "tier": "" } } }),
        expression(json!({ "key": "env", "operator": "In", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "NotIn", "values": ["prod", ""] })),
        expression(json!({ "key": "example.com/env", "operator": "Exists" })),
        expression(json!({ "key": "env", "operator": "DoesNotExist", "values": [] })),
    ];
    let names = ["", "*", "team-*", "Shop", "a.b", "a_b", "-a", "a b", &"n".repeat(64)];
    let wrong_keys = ["", "a b", "-a", "/a", "a/b/c", "A/b"];
    let wrong = [
        expression(json!({ "key": "env", "operator": "NotIn", "values": [] })),
        expression(json!({ "key": "env", "operator": "NotIn" })),
        expression(json!({ "key": "env", "operator": "In" })),
        expression(json!({ "key": "env", "operator": "In", "values": [] })),
        expression(json!({ "key": "env", "operator": "in", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "Equals", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "Exists", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "DoesNotExist", "values": ["prod"] })),
        expression(json!({ "key": "env", "operator": "In", "values": ["a b"] })),
        expression(json!({ "key": "env", "operator": "In", "values": ["v".repeat(64)] })),
        json!({ "selector": { "matchExpressions": [] } }),
        json!({ "selector": { "matchLabels": {} } }),
        json!({ "selector": { "matchLabels": { "tier": "a b" } } }),
    ];
    let form_of = |field, around| {
        form(field, Kind::Project, around)
            .accepts(right.clone())
            .refuses(wrong.clone())
            .refuses(names.map(|name| json!({ "names": [name] })))
            .refuses(wrong_keys.map(|key| json!({ "selector": { "matchLabels": { key: "x" } } })))
            .refuses(wrong_keys.map(|key| expression(json!({ "key": key, "operator": "Exists" }))))
            .refuses([json!({ "names": vec!["shop"; 1001] })])
    };
    vec![form_of("allowedNamespaces", allowed), form_of("adoption.allowedNamespaces", adopting)]
}

fn forms() -> Vec<Form> {
    let mut forms = vec![redirect_uris().refuses(REFUSED_NATIVE_URIS)];
    forms.extend(urls());
    forms.extend(durations());
    forms.extend(words());
    forms.extend(names());
    forms.extend(texts());
    forms.extend(secret_metadata());
    forms.extend(namespaces());
    forms
}

/// Whether the code accepts a spec.
fn is_read(kind: Kind, spec: &Value) -> bool {
    match kind {
        Kind::Client => Present::read(&serde_json::from_value(spec.clone()).unwrap(), "web").is_ok(),
        Kind::Project => {
            let spec: ClusterMeshAgentProjectSpec = serde_json::from_value(spec.clone()).unwrap();
            ProjectSettings::read_cluster(&spec).is_ok()
        }
    }
}

/// A value of a field, cut to what a person can read, and who accepts it.
#[derive(Debug, PartialEq)]
struct Answer {
    field: &'static str,
    value: String,
    schema: bool,
    code: bool,
}

/// The names of those objects that the API server would accept.
async fn accepted(fixture: &Fixture, objects: &[Value]) -> BTreeSet<String> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let args = ["create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"];
    let output = fixture.kubectl.try_run(&args, &list.to_string()).await.unwrap();
    output.stdout.lines().filter_map(|line| line.split('/').nth(1)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_schema_and_the_code_accept_the_same_of_every_form() {
    let fixture = Fixture::shared("forms").await;
    let (mut objects, mut wanted, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for Form { field, kind, around, accepted, refused } in forms() {
        assert!(!accepted.is_empty() && !refused.is_empty(), "{field}");
        for (value, good) in accepted.iter().map(|it| (it, true)).chain(refused.iter().map(|it| (it, false))) {
            let (name, spec) = (format!("form-{}", objects.len()), around(value));
            let kind_name = if kind == Kind::Client { "OAuthClient" } else { "ClusterMeshAgentProject" };
            let namespace = (kind == Kind::Client).then(|| fixture.ns());
            read.push(is_read(kind, &spec));
            objects.push(json!({
                "apiVersion": "meshagent.com/v1alpha1",
                "kind": kind_name,
                "metadata": { "name": name, "namespace": namespace },
                "spec": spec,
            }));
            let shown = value.to_string().chars().take(100).collect();
            wanted.push(Answer { field, value: shown, schema: good, code: good });
        }
    }
    let names = accepted(&fixture, &objects).await;
    let answers = wanted.iter().enumerate().map(|(index, Answer { field, value, .. })| {
        let schema = names.contains(&format!("form-{index}"));
        Answer { field, value: value.clone(), schema, code: read[index] }
    });
    let wrong: Vec<Answer> =
        answers.zip(&wanted).filter(|(answer, wanted)| answer != *wanted).map(|(it, _)| it).collect();
    assert_eq!(wrong, []);
}

/// Only code can tell whether a host name in its `xn--` form can be decoded. F4: the schema lets a misspelt field of a
/// selector and one without a value through, for the code to see.
#[tokio::test]
async fn what_the_schema_cannot_tell_the_code_refuses() {
    let fixture = Fixture::shared("beyond").await;
    assert!(!is_read(Kind::Client, &json!({ "redirectUris": ["https://xn--/cb"] })));
    for selector in [
        json!({ "matchLabel": { "env": "prod" } }),
        json!({ "matchLabels": null }),
        json!({ "matchExpressions": null }),
    ] {
        let allowed = json!({ "allowedNamespaces": { "selector": selector } });
        assert!(!is_read(Kind::Project, &project(allowed.clone())), "{selector}");
        let mut manifest = fixture.project_manifest(&allowed);
        manifest["metadata"] = json!({ "name": "beyond" });
        let args = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let kept = fixture.kubectl.run_with_input(&args, &manifest.to_string()).await.unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["spec"]["allowedNamespaces"]["selector"], selector);
    }
}
