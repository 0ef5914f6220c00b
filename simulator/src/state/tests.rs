use super::client::{Client, ClientFields, Invalid};
use super::settings::{Normalise, Settings};
use super::*;
use crate::generate::Counting;

const PROJECT: Uuid = Uuid::from_u128(0xA);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn fields() -> ClientFields {
    ClientFields {
        grant_types: Some(vec!["authorization_code".to_owned()]),
        response_types: Some(vec!["code".to_owned()]),
        redirect_uris: Some(vec!["https://shop.example.com/cb".to_owned()]),
        scope: Some("openid email".to_owned()),
        metadata: Some(BTreeMap::from([("name".to_owned(), "Shop".to_owned())])),
        official: None,
    }
}

fn project(lag: u64) -> (Project, Counting) {
    (Project::new(PROJECT, seconds(lag)), Counting::default())
}

fn create(project: &mut Project, generator: &mut Counting, now: u64) -> String {
    let settings = project.settings.clone();
    project.create(&settings, fields(), seconds(now), generator).unwrap().0.client_id
}

fn seen(project: &Project, consistency: Consistency, now: u64) -> Vec<String> {
    let page = Page { count: 100, offset: 0, filter: None };
    let listing = project.list(&project.settings, &page, consistency, seconds(now));
    listing.clients.into_iter().map(|client| client.client_id).collect()
}

#[test]
fn a_fast_read_sees_the_past_and_a_high_one_the_present() {
    let (mut project, mut generator) = project(5);
    let id = create(&mut project, &mut generator, 10);
    assert_eq!(seen(&project, Consistency::Fast, 14), Vec::<String>::new());
    assert_eq!(seen(&project, Consistency::High, 14), vec![id.clone()]);
    assert_eq!(seen(&project, Consistency::Fast, 15), vec![id.clone()]);

    project.delete(&id, seconds(20));
    let settings = project.settings.clone();
    assert!(project.read(&settings, &id, Consistency::Fast, seconds(24)).is_some());
    assert!(project.secret(&id).is_none() && project.secret_of_version(&id).is_some());
    assert!(project.read(&settings, &id, Consistency::High, seconds(24)).is_none());
    assert!(project.read(&settings, &id, Consistency::Fast, seconds(25)).is_none());
}

#[test]
fn before_the_lag_has_passed_once_a_fast_read_sees_nothing() {
    let (mut project, mut generator) = project(5);
    create(&mut project, &mut generator, 0);
    assert_eq!(seen(&project, Consistency::Fast, 4), Vec::<String>::new());
}

#[test]
fn what_no_read_can_reach_is_forgotten_but_the_longest_lag_still_works() {
    let (mut project, mut generator) = project(0);
    project.settings.fast_lag = Some(seconds(3600));
    let old = create(&mut project, &mut generator, 0);
    project.delete(&old, seconds(1));
    let id = create(&mut project, &mut generator, 10);
    for now in 11..5000 {
        let settings = project.settings.clone();
        project.update(&settings, &id, ClientFields::default(), seconds(now)).unwrap();
    }
    assert_eq!(seen(&project, Consistency::Fast, 4999), vec![id]);
    create(&mut project, &mut generator, 5000);
    assert!(project.history(&old).is_none());
}

#[test]
fn a_listing_keeps_the_order_of_creation_and_its_total_counts_all_pages() {
    let (mut project, mut generator) = project(0);
    let ids: Vec<_> = (1..=5).map(|now| create(&mut project, &mut generator, now)).collect();
    let page = Page { count: 2, offset: 2, filter: None };
    let listing = project.list(&Settings::default(), &page, Consistency::High, seconds(9));
    assert_eq!(listing.total, 5);
    assert_eq!(listing.clients.iter().map(|c| c.client_id.clone()).collect::<Vec<_>>(), ids[2..4]);
}

#[test]
fn a_page_is_capped_and_an_offset_ignored_where_the_settings_say_so() {
    let (mut project, mut generator) = project(0);
    let ids: Vec<_> = (1..=3).map(|now| create(&mut project, &mut generator, now)).collect();
    let settings = Settings { max_count: Some(1), ignore_offset: true, ..Settings::default() };
    let page = Page { count: 100, offset: 2, filter: None };
    let listing = project.list(&settings, &page, Consistency::High, seconds(9));
    assert_eq!(listing.clients.iter().map(|c| c.client_id.clone()).collect::<Vec<_>>(), ids[..1]);
}

#[test]
fn a_filter_searches_ids_and_metadata() {
    let (mut project, mut generator) = project(0);
    create(&mut project, &mut generator, 1);
    let found = |filter: &str| {
        let page = Page { count: 9, offset: 0, filter: Some(filter.to_owned()) };
        project.list(&Settings::default(), &page, Consistency::High, seconds(2)).total
    };
    assert_eq!((found("sHOp"), found("other")), (1, 0));
}

#[test]
fn metadata_is_replaced_whole_and_fields_left_out_stay() {
    let (mut project, mut generator) = project(0);
    let id = create(&mut project, &mut generator, 1);
    let before = project.client(&id).unwrap().clone();
    let metadata = BTreeMap::from([("other".to_owned(), "x".to_owned())]);
    let fields = ClientFields { metadata: Some(metadata.clone()), ..ClientFields::default() };
    project.update(&Settings::default(), &id, fields, seconds(2)).unwrap();
    assert_eq!(*project.client(&id).unwrap(), Client { metadata, ..before });
}

#[test]
fn the_limit_counts_living_clients_only() {
    let (mut project, mut generator) = project(0);
    project.settings.client_limit = Some(1);
    let settings = project.settings.clone();
    let id = create(&mut project, &mut generator, 1);
    assert_eq!(
        project.create(&settings, fields(), seconds(2), &mut generator).unwrap_err(),
        CreateError::LimitReached(1)
    );
    assert!(project.delete(&id, seconds(3)));
    assert!(!project.delete(&id, seconds(4)), "a second delete finds nothing");
    create(&mut project, &mut generator, 5);
}

#[test]
fn a_request_that_breaks_a_rule_says_which() {
    let (mut project, mut generator) = project(0);
    let mut refusal = |change: &dyn Fn(&mut ClientFields)| {
        let mut fields = fields();
        change(&mut fields);
        project.create(&Settings::default(), fields, seconds(1), &mut generator).unwrap_err().to_string()
    };
    assert_eq!(refusal(&|f| f.scope = None), "scope is required");
    assert_eq!(
        refusal(&|f| f.grant_types = Some(vec!["password".to_owned()])),
        "grant_types holds \"password\"; allowed are authorization_code, refresh_token, client_credentials"
    );
    assert_eq!(refusal(&|f| f.grant_types = Some(vec![])), "grant_types must not be empty");
    assert_eq!(
        refusal(&|f| f.redirect_uris = Some(vec![])),
        "authorization_code needs at least one redirect URI in redirect_uris"
    );
    let uri = |uri: &str| Some(vec![uri.to_owned()]);
    assert_eq!(refusal(&|f| f.redirect_uris = uri("/cb")), "redirect_uris holds \"/cb\", not an absolute URI");
    let fragment = "https://a.example/#x";
    assert!(refusal(&|f| f.redirect_uris = uri(fragment)).ends_with("which has a fragment"));
}

#[test]
fn a_misspelt_field_is_refused() {
    let Invalid(message) = ClientFields::parse(br#"{"redirectUris": []}"#).unwrap_err();
    assert!(message.contains("unknown field `redirectUris`"), "{message}");
}

#[test]
fn a_put_is_checked_against_what_stays() {
    let (mut project, mut generator) = project(0);
    let id = create(&mut project, &mut generator, 1);
    let fields = ClientFields { redirect_uris: Some(vec![]), ..ClientFields::default() };
    let before = project.client(&id).unwrap().clone();
    assert!(matches!(project.update(&Settings::default(), &id, fields, seconds(2)), Err(UpdateError::Invalid(_))));
    assert_eq!(*project.client(&id).unwrap(), before);
}

#[test]
fn a_server_that_normalises_stores_something_else() {
    let mut client = fields().into_client("id".to_owned(), PROJECT, &Normalise::default()).unwrap();
    client.redirect_uris = vec!["https://Shop.EXAMPLE.com".to_owned(), "https://a.example/CB/".to_owned()];
    let drop_scopes = vec!["email".to_owned()];
    Normalise { lower_case_hosts: true, strip_trailing_slash: true, drop_scopes }.apply(&mut client);
    assert_eq!(client.redirect_uris, ["https://shop.example.com", "https://a.example/CB"]);
    assert_eq!(client.scope, "openid");
}

#[test]
fn settings_are_patched_and_null_puts_the_default_back() {
    let settings = Settings { client_limit: Some(3), disabled: true, ..Settings::default() };
    let patch = serde_json::json!({"clientLimit": null, "fastLag": "2s", "pageTotal": {"fixed": -1}});
    let expected = Settings {
        disabled: true,
        fast_lag: Some(seconds(2)),
        page_total: settings::PageTotal::Fixed(-1),
        ..Settings::default()
    };
    assert_eq!(settings.merged(&patch).unwrap(), expected);
    assert!(settings.merged(&serde_json::json!({"clientlimit": 1})).is_err(), "a misspelt setting is refused");
    assert!(settings.merged(&serde_json::json!({"fastLag": "2h"})).is_err(), "no history reaches back so far");
}

#[test]
fn a_revoked_key_is_unknown() {
    let mut state = State::new(Duration::ZERO);
    assert!(state.add_project(PROJECT));
    assert!(!state.add_project(PROJECT), "a project is not made twice");
    let (key, text) = state.add_key(PROJECT, vec![Role::OauthClientInventory], &mut Counting::default());
    assert_eq!(state.key(text.expose()), Some(&key));
    assert!(state.revoke_key(key.key_id));
    assert_eq!(state.key(text.expose()), None);
    assert!(!state.revoke_key(key.key_id));
}
