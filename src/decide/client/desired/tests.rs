use proptest::prelude::*;
use serde_json::{Value, json};

use std::time::Duration;

use super::lifecycle::{Adopt, CredentialRef, OnLoss};
use super::*;
use crate::api::oauth_client::{
    AdoptSpec, CredentialSecretRef, ProjectRef as ProjectRefSpec, RolloutSpec, RotationSpec, SecretKeysSpec, SecretSpec,
};
use crate::decide::id::ClientId;
use crate::decide::marker::Policy;
use crate::decide::project::reference::ProjectKind;

fn spec(fields: Value) -> OAuthClientSpec {
    serde_json::from_value(fields).unwrap()
}

fn read(fields: Value) -> Result<Present, InvalidSpec> {
    Present::read(&spec(fields), "web")
}

fn sentences(fields: Value) -> Vec<String> {
    read(fields).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

/// A spec that is fine but for its redirect URIs.
fn uri(uri: &str) -> Result<BTreeSet<String>, InvalidSpec> {
    read(json!({"redirectUris": [uri]})).map(|present| present.settings.redirect_uris)
}

fn metadata<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn default_keys() -> SecretKeys {
    SecretKeys {
        client_id: "CLIENT_ID".to_owned(),
        client_secret: "CLIENT_SECRET".to_owned(),
        project_id: Some("PROJECT_ID".to_owned()),
        authorize_url: Some("AUTHORIZE_URL".to_owned()),
        token_url: Some("TOKEN_URL".to_owned()),
        scopes: Some("SCOPES".to_owned()),
    }
}

fn layout(name: &str, keys: SecretKeys) -> SecretLayout {
    let (labels, annotations) = (BTreeMap::new(), BTreeMap::new());
    SecretLayout { name: name.to_owned(), keys, labels, annotations, type_: "Opaque".to_owned() }
}

/// What is done with a client whose spec does not say.
fn usual() -> Lifecycle {
    Lifecycle {
        adopt: None,
        policy: None,
        on_loss: OnLoss::Recreate,
        suspended: false,
        overlap: Duration::from_secs(86_400),
    }
}

/// A spec that says something else of each.
fn unusual() -> Lifecycle {
    let credential = CredentialRef {
        secret: "old-login".to_owned(),
        client_id_key: "id".to_owned(),
        client_secret_key: "CLIENT_SECRET".to_owned(),
    };
    Lifecycle {
        adopt: Some(Adopt { client_id: ClientId::new("c-1"), credential: Some(credential) }),
        policy: Some(Policy::Retain),
        on_loss: OnLoss::Block,
        suspended: true,
        overlap: Duration::ZERO,
    }
}

#[test]
fn a_redirect_uri_is_enough() {
    let wanted = Present {
        settings: Settings {
            redirect_uris: set(&["https://shop.example.com/cb"]),
            grant_types: set(&["authorization_code"]),
            response_types: set(&["code"]),
            scopes: set(&["email", "openid", "profile"]),
            metadata: metadata([("name", "web")]),
        },
        secret: layout("web-oauth", default_keys()),
        project: ProjectRef { kind: ProjectKind::ClusterMeshAgentProject, name: "default".to_owned() },
        lifecycle: usual(),
    };
    assert_eq!(read(json!({"redirectUris": ["https://shop.example.com/cb"]})), Ok(wanted));
}

#[test]
fn every_field_is_read() {
    let wanted = Present {
        settings: Settings {
            redirect_uris: set(&["HTTPS://Shop.example.com/cb?x=1", "com.example.shop:/cb"]),
            grant_types: set(&["authorization_code", "client_credentials", "refresh_token"]),
            response_types: set(&["code", "id_token"]),
            scopes: set(&["profile:read"]),
            metadata: metadata([
                ("name", "Der Laden – 店"),
                ("logo_url", "https://shop.example.com/logo.png?v=2#x"),
                ("theme", "dark"),
                ("remove_powered_by_meshagent", "false"),
                ("team", "checkout\nsecond line"),
            ]),
        },
        secret: SecretLayout {
            name: "web-login".to_owned(),
            keys: SecretKeys {
                client_id: "client-id".to_owned(),
                client_secret: "client-secret".to_owned(),
                project_id: None,
                authorize_url: None,
                token_url: Some("token.url".to_owned()),
                scopes: None,
            },
            labels: metadata([("argocd.argoproj.io/secret-type", "repository"), ("tier", "")]),
            annotations: metadata([("reloader.stakater.com/match", "true\nor not")]),
            type_: "kubernetes.io/basic-auth".to_owned(),
        },
        project: ProjectRef { kind: ProjectKind::MeshAgentProject, name: "shop".to_owned() },
        lifecycle: unusual(),
    };
    let given = json!({
        "projectRef": {"kind": "MeshAgentProject", "name": "shop"},
        "displayName": "Der Laden – 店",
        "redirectUris": ["HTTPS://Shop.example.com/cb?x=1", "com.example.shop:/cb"],
        "grantTypes": ["refresh_token", "authorization_code", "client_credentials"],
        "responseTypes": ["code", "id_token"],
        "scopes": ["profile:read"],
        "branding": {"logoUrl": "https://shop.example.com/logo.png?v=2#x", "theme": "dark", "removePoweredBy": false},
        "extraMetadata": {"team": "checkout\nsecond line"},
        "secret": {"name": "web-login", "keys": {
            "clientId": "client-id", "clientSecret": "client-secret", "projectId": "", "authorizeUrl": "",
            "tokenUrl": "token.url", "scopes": "",
        }, "labels": {"argocd.argoproj.io/secret-type": "repository", "tier": ""},
        "annotations": {"reloader.stakater.com/match": "true\nor not"}, "type": "kubernetes.io/basic-auth"},
        "adopt": {"clientId": "c-1", "credentialSecretRef": {"name": "old-login", "clientIdKey": "id"}},
        "deletionPolicy": "Retain",
        "onCredentialLoss": "Block",
        "suspend": true,
        "rotation": {"overlap": "0s"},
    });
    assert_eq!(read(given), Ok(wanted));
}

#[test]
fn a_secret_that_would_act_by_itself_is_refused() {
    let said = |secret: Value| sentences(json!({"redirectUris": ["https://a.example"], "secret": secret}));
    for type_ in
        ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1", "a b", ""]
    {
        let said = said(json!({"type": type_}));
        assert!(said.len() == 1 && said[0].starts_with("spec.secret.type is not a type"), "{type_}: {said:?}");
    }
    for key in ["kubernetes.io/service-account.name", "meshagent.com/owner-uid", "-a", "a/b/c", "/a", ""] {
        for field in ["labels", "annotations"] {
            let said = said(json!({field: {key: ""}}));
            assert!(
                said.len() == 1 && said[0].starts_with(&format!("spec.secret.{field} has a key")),
                "{key}: {said:?}"
            );
        }
    }
    for label in ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by"] {
        let said = said(json!({"labels": {label: "x"}}));
        assert!(said.len() == 1 && said[0].ends_with("choose another label"), "{label}: {said:?}");
    }
    assert_eq!(said(json!({"labels": {"tier": "not a value"}})).len(), 1);
    let present = read(json!({"redirectUris": ["https://a.example"], "secret": {
        "labels": {"app.kubernetes.io/part-of": "shop"}, "annotations": {"app.kubernetes.io/instance": "x"},
    }}));
    assert!(present.is_ok(), "{present:?}");
}

#[test]
fn an_adoption_needs_the_id_and_the_name_of_the_secret() {
    let said = sentences(json!({"redirectUris": ["https://a.example"], "adopt": {"credentialSecretRef": {}}}));
    let fields: Vec<_> = said.iter().filter_map(|sentence| sentence.split(' ').next()).collect();
    assert_eq!(fields, ["spec.adopt.clientId", "spec.adopt.credentialSecretRef.name"]);
}

#[test]
fn words_and_durations_of_the_lifecycle_are_known_ones() {
    let said = sentences(json!({
        "redirectUris": ["https://a.example"], "deletionPolicy": "Keep", "onCredentialLoss": "Ignore",
        "rotation": {"overlap": "1 day"},
    }));
    let fields: Vec<_> = said.iter().filter_map(|sentence| sentence.split(' ').next()).collect();
    assert_eq!(fields, ["spec.deletionPolicy", "spec.onCredentialLoss", "spec.rotation.overlap"]);
}

#[test]
fn response_types_default_to_code_only_where_a_code_is_granted() {
    let present = read(json!({"grantTypes": ["client_credentials"], "scopes": []})).unwrap();
    let wanted = Settings {
        grant_types: set(&["client_credentials"]),
        metadata: metadata([("name", "web")]),
        ..Settings::default()
    };
    assert_eq!(present.settings, wanted);
}

#[test]
fn all_that_is_wrong_is_said_with_its_fix() {
    let given = json!({
        "projectRef": {"kind": "Project"},
        "displayName": "evil\u{202E}live",
        "redirectUris": ["https://a.example/cb", "https://a.example/cb#frag"],
        "grantTypes": ["password"],
        "responseTypes": ["none"],
        "scopes": ["a b"],
        "branding": {"logoUrl": "ftp://a.example/logo", "theme": "pink"},
        "extraMetadata": {"name": "x", "theme": "dark", "meshagent.com/uid": "x", "a\u{7}": "x", "ok": "\u{0}"},
        "secret": {"name": "Web", "keys": {"clientId": "", "clientSecret": "a b", "scopes": "TOKEN_URL"}},
    });
    let wanted = [
        "spec.projectRef.kind is not a word that is known here; use one of MeshAgentProject, ClusterMeshAgentProject",
        "spec.projectRef.name is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a letter or \
         digit at both ends",
        "spec.displayName is blank, or holds control characters, line breaks or characters that change the direction of \
         writing; remove them",
        "spec.redirectUris[1] has a fragment; remove the # and what follows it",
        "spec.grantTypes[0] is not a word that is known here; use one of authorization_code, refresh_token, \
         client_credentials",
        "spec.responseTypes[0] is not a word that is known here; use one of code, token, id_token",
        "spec.scopes[0] is not one token of printable ASCII without spaces, quotes and backslashes; write each scope as an item \
         of its own",
        "spec.branding.logoUrl is not an absolute http or https URL with a host; write it like \
         https://www.example.com/logo.png",
        "spec.branding.theme is not a word that is known here; use one of light, dark, auto",
        "spec.extraMetadata[a\\u{7}] is empty, or holds control characters or characters that change the direction of \
         writing; choose another key",
        "spec.extraMetadata[meshagent.com/uid] is the operator's own; choose a key that does not begin with meshagent.com/",
        "spec.extraMetadata[name] is the display name; use displayName instead",
        "spec.extraMetadata[ok] has a value with control characters; remove them",
        "spec.extraMetadata[theme] is part of the login branding; use branding instead",
        "spec.secret.name is not the name of a Kubernetes object; use lower case letters, digits, - and ., with a letter or \
         digit at both ends",
        "spec.secret.keys.clientId is not a data key of a Secret; use letters, digits, -, _ and . only, and no .. at its start",
        "spec.secret.keys.clientSecret is not a data key of a Secret; use letters, digits, -, _ and . only, and no .. at its \
         start",
        "spec.secret.keys.scopes is the data key of another value too, counting the defaults; choose different names",
    ];
    assert_eq!(sentences(given), wanted);
}

#[test]
fn a_message_spells_out_five_problems_and_counts_the_rest() {
    let given = json!({"redirectUris": ["", "", "", "", "", "", ""]});
    let message = read(given).unwrap_err().to_string();
    assert_eq!(message.matches("spec.redirectUris[").count(), 5);
    assert!(message.ends_with("in its xn-- form. And 2 more"), "{message}");
}

#[test]
fn an_authorization_code_needs_a_redirect_uri() {
    let wanted = "spec.redirectUris is empty, but the grant type authorization_code (the default) needs at least one; add a \
                  redirect URI, or set grantTypes to [client_credentials]";
    assert_eq!(sentences(json!({})), [wanted]);
    assert_eq!(sentences(json!({"grantTypes": ["authorization_code"], "redirectUris": []})), [wanted]);
}

#[test]
fn a_client_without_a_grant_type_is_refused() {
    let wanted = "spec.grantTypes is empty, and a client without a grant type can do nothing; name one, or leave the field out \
                  for authorization_code";
    assert_eq!(sentences(json!({"grantTypes": []})), [wanted]);
}

#[test]
fn redirect_uris_are_kept_as_they_are_written() {
    for given in [
        "https://a.example",
        "https://a.example/",
        "HTTPS://A.Example:8443/cb?next=%2F&a@b",
        "http://localhost:3000/cb",
        "http://127.0.0.1/cb",
        "http://[::1]:3000/cb",
        "https://xn--bcher-kva.example/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
        "Com.Example.App:cb",
        "powerboards:/mauth/callback",
        "vscode://vendor.extension/cb",
        "cursor://anysphere.cursor/cb",
    ] {
        assert_eq!(uri(given), Ok(set(&[given])), "{given}");
    }
}

#[test]
fn redirect_uris_that_run_hide_or_mislead_are_refused() {
    for given in [
        "",
        "/cb",
        "a.example/cb",
        "https:",
        "https:a.example/cb",
        "https:/a.example/cb",
        "https://",
        "https:///cb",
        "https://:443/cb",
        "https://user@a.example/cb",
        "https://a.example@evil.example/cb",
        // The schemes of native apps once let a user name through.
        "com.example.app://user@evil.example/cb",
        "com.example://@@a.",
        "https://a.example\\@evil.example/cb",
        "https://a.example/cb#frag",
        "https://a.example/cb#",
        "https://a.example/c b",
        " https://a.example/cb",
        "https://a.example/cb\n",
        "https://a.example/\u{0}",
        "https://bücher.example/cb",
        "https://a.example/\u{202E}",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://a.example/1",
        "about:blank",
        "myapp:",
        ".example:/cb",
        "1com.example:/cb",
    ] {
        assert!(uri(given).is_err(), "{given:?}");
    }
}

/// F11, F20. All forms are in `tests/integration/forms.rs`.
#[test]
fn the_part_of_a_redirect_uri_that_is_wrong_is_named() {
    for (given, said) in [
        ("http://127.0.0.1:99999/cb", "has a port that is not a number from 1 to 65535"),
        ("app://host:x/cb", "has a port that is not a number from 1 to 65535"),
        ("https://a..example:1/cb", "has no valid host"),
        ("https://xn--/cb", "has no valid host"),
        ("https://me@a.example/cb", "has a user name or password"),
        ("https://a.example/cb#x", "has a fragment"),
        ("https://a.example/%zz", "has a % that two hexadecimal digits do not follow"),
        ("JavaScript:alert(1)", "has a scheme that a browser acts on by itself"),
        ("/cb", "does not begin with a scheme and a colon"),
        ("app:", "ends after its scheme, or is http or https without // and a host"),
    ] {
        let sentences = sentences(json!({"redirectUris": [given]}));
        assert!(sentences.len() == 1, "{given}: {sentences:?}");
        assert!(sentences[0].starts_with(&format!("spec.redirectUris[0] {said}; ")), "{given}: {sentences:?}");
    }
}

#[test]
fn a_thousand_redirect_uris_are_refused() {
    let many: Vec<String> = (0..1000).map(|n| format!("https://a.example/{n}")).collect();
    assert_eq!(
        sentences(json!({"redirectUris": many})),
        ["spec.redirectUris has 1000 entries, more than 100; keep 100 or fewer"]
    );
}

/// A spec around a text, the longest such text, and one that is too long.
type LongestAndLonger = (fn(String) -> Value, String, String);

#[test]
fn a_text_is_as_long_as_the_schema_allows_and_no_longer() {
    let uri_of = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
    let cases: [LongestAndLonger; 4] = [
        (|it| json!({"redirectUris": [it]}), uri_of(limits::URI), uri_of(limits::URI + 1)),
        (
            |it| json!({"redirectUris": ["https://a.example"], "displayName": it}),
            "店".repeat(limits::DISPLAY_NAME),
            "店".repeat(limits::DISPLAY_NAME + 1),
        ),
        (
            |it| json!({"redirectUris": ["https://a.example"], "scopes": [it]}),
            "s".repeat(limits::SCOPE),
            "s".repeat(limits::SCOPE + 1),
        ),
        (
            |it| json!({"redirectUris": ["https://a.example"], "extraMetadata": {"key": it}}),
            "ä".repeat(limits::METADATA_VALUE),
            "ä".repeat(limits::METADATA_VALUE + 1),
        ),
    ];
    for (around, longest, longer) in cases {
        assert!(read(around(longest)).is_ok());
        assert_eq!(sentences(around(longer)).len(), 1);
    }
}

#[test]
fn a_name_is_a_label_value() {
    let given = spec(json!({"redirectUris": ["https://a.example"]}));
    assert!(Present::read(&given, &"a".repeat(63)).is_ok());
    let refused = Present::read(&given, &"a".repeat(64)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "metadata.name is longer than 63 bytes, the longest value of the label that the Secret carries; choose a shorter name"
    );
}

#[test]
fn joined_emoji_and_right_to_left_scripts_are_shown_as_they_are() {
    for shown in ["👩\u{200D}🚀 crew", "متجر", "חנות", "می\u{200C}خواهم"] {
        let present = read(json!({"redirectUris": ["https://a.example"], "displayName": shown})).unwrap();
        assert_eq!(present.settings.metadata, metadata([("name", shown)]));
    }
}

/// Texts near the edge of what is allowed.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(https?|com\\.example|javascript|app)://?[a-z.@#:/% 0-9\\[\\]]{0,20}",
        "[a-zA-Z_.-]{0,12}",
        Just("authorization_code".to_owned()),
        Just("meshagent.com/x".to_owned()),
    ]
}

fn texts() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec(text(), 0..5))
}

fn entries() -> impl Strategy<Value = Option<BTreeMap<String, String>>> {
    prop::option::of(prop::collection::btree_map(text(), text(), 0..4))
}

prop_compose! {
    fn any_spec()(
        lists in (texts(), texts(), texts(), texts()),
        words in prop::collection::vec(prop::option::of(text()), 20),
        secret_metadata in (entries(), entries()),
        extra_metadata in prop::option::of(prop::collection::btree_map(text(), text(), 0..4)),
    ) -> OAuthClientSpec {
        let mut words = words.into_iter();
        let mut word = move || words.next().flatten();
        OAuthClientSpec {
            project_ref: Some(ProjectRefSpec { kind: word(), name: word() }),
            display_name: word(),
            redirect_uris: lists.0,
            grant_types: lists.1,
            response_types: lists.2,
            scopes: lists.3,
            branding: Some(Branding { logo_url: word(), theme: word(), remove_powered_by: None }),
            extra_metadata,
            secret: Some(SecretSpec {
                name: word(),
                keys: Some(SecretKeysSpec {
                    client_id: word(),
                    client_secret: word(),
                    project_id: word(),
                    authorize_url: word(),
                    token_url: word(),
                    scopes: word(),
                }),
                labels: secret_metadata.0,
                annotations: secret_metadata.1,
                type_: word(),
            }),
            adopt: Some(AdoptSpec {
                client_id: word(),
                credential_secret_ref: Some(CredentialSecretRef {
                    name: word(),
                    client_id_key: word(),
                    client_secret_key: word(),
                }),
            }),
            deletion_policy: word(),
            on_credential_loss: word(),
            suspend: None,
            rotation: Some(RotationSpec { overlap: word() }),
            rollout: Some(RolloutSpec { restart: word() }),
        }
    }
}

/// A list that people may order and repeat as they like.
fn good_list(words: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(words), 1..8)
        .prop_map(|words| words.iter().map(ToString::to_string).collect())
}

proptest! {
    #[test]
    fn reading_never_panics_and_a_refusal_says_why(given in any_spec(), name in any::<String>()) {
        if let Err(refused) = Present::read(&given, &name) {
            prop_assert!(!refused.problems.is_empty());
        }
    }

    #[test]
    fn a_refusal_holds_no_control_characters(given in any_spec()) {
        if let Err(refused) = Present::read(&given, "web") {
            prop_assert!(!refused.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn what_is_accepted_is_one_absolute_uri(given in text()) {
        if let Ok(uris) = uri(&given) {
            prop_assert_eq!(uris, set(&[&given]));
            let parsed = url::Url::parse(&given).unwrap();
            prop_assert_eq!((parsed.fragment(), parsed.username(), parsed.password()), (None, "", None));
        }
    }

    #[test]
    fn order_and_repetition_mean_nothing(
        uris in good_list(&["https://a.example", "https://b.example", "com.example:/cb"]),
        grants in good_list(&["authorization_code", "refresh_token", "client_credentials"]),
        responses in good_list(&["code", "token", "id_token"]),
        scopes in good_list(&["openid", "profile:read", "rooms:connect"]),
    ) {
        let written = |order: fn(&[String]) -> Vec<String>| {
            read(json!({
                "redirectUris": order(&uris), "grantTypes": order(&grants),
                "responseTypes": order(&responses), "scopes": order(&scopes),
            }))
        };
        let as_given = written(<[String]>::to_vec);
        prop_assert!(as_given.is_ok());
        prop_assert_eq!(&as_given, &written(|list| list.iter().rev().cloned().collect()));
        prop_assert_eq!(&as_given, &written(|list| set(list).into_iter().collect()));
    }
}
