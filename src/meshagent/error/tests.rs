use super::*;

const PAUSE: Duration = Duration::from_secs(7);

fn failed(kind: Kind) -> CallError {
    CallError { route: Route::CreateClient, kind, detail: String::new() }
}

#[test]
fn each_status_has_one_meaning() {
    let unavailable = |status| Kind::Unavailable(Unavailable::Status(status));
    for (status, kind) in [
        (400, Kind::Rejected { status: 400 }),
        (401, Kind::AuthenticationFailed),
        (403, Kind::PermissionDenied),
        (404, Kind::NotFound),
        (405, Kind::Rejected { status: 405 }),
        (408, unavailable(408)),
        (409, Kind::Rejected { status: 409 }),
        (422, Kind::Rejected { status: 422 }),
        (423, Kind::Disabled),
        (425, unavailable(425)),
        (429, Kind::RateLimited { retry_after: PAUSE }),
        (451, Kind::Rejected { status: 451 }),
        (499, unavailable(499)),
        (500, unavailable(500)),
        (502, unavailable(502)),
        (599, unavailable(599)),
        (999, unavailable(999)),
        (101, unavailable(101)),
        (301, Kind::Unavailable(Unavailable::Redirect(301))),
        (304, Kind::Unavailable(Unavailable::Redirect(304))),
    ] {
        assert_eq!(classify(status, PAUSE), kind, "{status}");
    }
}

#[test]
fn every_4xx_but_four_is_definite_and_nothing_else_is() {
    for status in 100..=999 {
        let definite = (400..500).contains(&status) && ![408, 425, 429, 499].contains(&status);
        assert_eq!(failed(classify(status, PAUSE)).is_definite(), definite, "{status}");
    }
}

#[test]
fn only_three_statuses_are_repeated_at_once() {
    let repeated: Vec<u16> = (100..=999).filter(|status| failed(classify(*status, PAUSE)).is_transient()).collect();
    assert_eq!(repeated, [502, 503, 504]);
}

#[test]
fn what_was_not_sent_is_definite() {
    for not_sent in [
        NotSent::NameNotResolved,
        NotSent::NoConnection,
        NotSent::Tls,
        NotSent::UnusableRequest,
        NotSent::NotLeader,
        NotSent::Paused { until: Instant::now() },
    ] {
        assert!(failed(Kind::NotSent(not_sent)).is_definite());
    }
}

#[test]
fn a_post_is_the_one_call_that_must_not_be_repeated() {
    let all = [Route::CreateClient, Route::ListClients, Route::GetClient, Route::UpdateClient, Route::DeleteClient];
    assert_eq!(all.map(Route::is_idempotent), [false, true, true, true, true]);
}

#[test]
fn a_message_names_the_call_the_kind_and_what_was_said() {
    let error = CallError { detail: "no such grant".to_owned(), ..failed(Kind::Rejected { status: 422 }) };
    assert_eq!(error.to_string(), "POST /oauth/clients: refused with status 422: no such grant");
    assert_eq!(failed(Kind::NotFound).to_string(), "POST /oauth/clients: not found (404)");
}

#[test]
fn permission_denied_names_the_three_roles_and_nothing_else() {
    assert_eq!(
        failed(Kind::PermissionDenied).to_string(),
        "POST /oauth/clients: permission denied (403); the key needs the roles oauth_client_creator, oauth_client_inventory \
         and oauth_client_manager"
    );
}
