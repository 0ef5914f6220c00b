//! Absence is proved: whatever does not prove it deletes nothing, however old the orphan.

use super::*;

/// Sweeps one orphan of age, and returns what is left. Asserts that nothing was deleted.
async fn left(world: &World, case: &str) -> Vec<Orphan> {
    let found = sweep(world, &listing([("lost", marker("r"))]), &[orphan("lost", 1)]).await;
    assert_eq!(found.next, None, "{case}");
    assert!(!world.calls().contains(&delete("lost")), "{case}");
    found.orphans
}

#[tokio::test]
async fn an_answer_that_is_not_about_this_object_leaves_all_as_it_is() {
    let no_permission = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "no", "details": { "name": "web", "group": "meshagent.com", "kind": "oauthclients" },
    });
    let mut without_details = not_found("oauthclients", "meshagent.com", "web");
    without_details["details"] = json!(null);
    let answers = [
        ("another resource", 404, not_found("secrets", "", "web")),
        ("another group", 404, not_found("oauthclients", "example.com", "web")),
        ("another name", 404, not_found("oauthclients", "meshagent.com", "api")),
        ("no details", 404, without_details),
        ("a gateway's 404", 404, json!({ "error": "not found" })),
        ("forbidden", 403, no_permission),
        ("out of order", 500, json!({ "error": "etcd" })),
        ("not an OAuthClient", 200, json!([])),
    ];
    for (case, status, body) in answers {
        let world = without_object().says(OBJECT, status, body);
        assert_eq!(left(&world, case).await, [orphan("lost", 1)], "{case}");
    }
    let bare = World::default().says(CRD, 200, crds(&[crd(&[("Established", "True")])]));
    assert_eq!(left(&bare, "a bare 404").await, [orphan("lost", 1)]);
}

#[tokio::test]
async fn no_orphan_ages_while_the_definition_is_away() {
    let mut going = crd(&[("Established", "True")]);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let answers = [
        ("gone", vec![]),
        ("going", vec![going]),
        ("terminating", vec![crd(&[("Established", "True"), ("Terminating", "True")])]),
        ("not established", vec![crd(&[("Established", "False")])]),
        ("new", vec![crd(&[])]),
    ];
    for (case, found) in answers {
        let world = without_object().says(CRD, 200, crds(&found));
        assert_eq!(left(&world, case).await, [], "{case}");
    }
}

#[tokio::test]
async fn a_definition_that_cannot_be_asked_for_proves_nothing_and_forgets_nothing() {
    let nothing_of_crds = json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": [] });
    let answers = [
        ("forbidden", 403, json!({})),
        ("a gateway's 404", 404, json!({})),
        ("a list of something else", 200, nothing_of_crds),
    ];
    for (case, status, body) in answers {
        let world = without_object().says(CRD, status, body);
        assert_eq!(left(&world, case).await, [orphan("lost", 1)], "{case}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_proves_nothing() {
    for (case, status, body) in [("forbidden", 403, json!({})), ("a gateway's 404", 404, json!({}))] {
        let world = at_rest().says(SECRET, status, body);
        let found = sweep(&world, &listing([("late", marker("lost"))]), &[]).await;
        assert_eq!(found, Swept::default(), "{case}");
        assert!(!world.calls().contains(&delete("late")), "{case}");
    }
}

/// How often a sweep over these orphans tries an API server that hangs up on everybody. Asserts that all are left.
async fn tries(ids: &[&'static str]) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tries) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&tries);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let clients = listing(ids.iter().map(|id| (*id, marker("r"))));
    let known: Vec<Orphan> = ids.iter().map(|id| orphan(id, 1)).collect();
    let (requests, cluster) = (kubernetes(address), ClusterId::new("c"));
    let scope = Scope { cluster: &cluster, namespaces: &[] };
    let sweep = Sweep { requests: &requests, users: &Users::default(), scope, clock: ClockState::Right, now: at(NOW) };
    let found = sweep.sweep(&project(address, &clients), &clients, &known, rule(OrphanPolicy::Delete)).await;
    assert_eq!(found, Swept { orphans: known, next: None });
    tries.load(Ordering::SeqCst)
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_is_not_tried_for_each_client() {
    assert_eq!(tries(&["a", "b", "c"]).await, tries(&["a"]).await);
}
