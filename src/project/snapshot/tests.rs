use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::decide::id::{ClusterId, Token};
use crate::decide::marker::{Marker, Origin, Owner, Policy};
use crate::decide::settings::Settings;
use crate::meshagent::{Kind, Route};

fn client(scope: &str) -> RemoteClient {
    let settings = Settings { scopes: BTreeSet::from([scope.to_owned()]), ..Settings::default() };
    RemoteClient { settings, marker: None }
}

fn marked(uid: &str) -> RemoteClient {
    let uid = Uid::new(uid);
    let marker = Marker {
        token: Token::mint(&uid, "r"),
        policy: Policy::Delete,
        origin: Origin::Created,
        retained: false,
        owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
    };
    RemoteClient { marker: Some(marker), ..client("openid") }
}

fn id(text: &str) -> ClientId {
    ClientId::new(text)
}

fn listed<const N: usize>(clients: [(ClientId, RemoteClient); N]) -> Listing {
    clients.into_iter().map(|(id, client)| (id, Arc::new(PackedClient::new(client)))).collect()
}

/// Merges a listing, which shares with the snapshot what it shows unchanged, as listings do.
fn merge(snapshot: &Snapshot, begun: u64, listing: Listing) {
    let share = |(id, client)| {
        let known = snapshot.read().clients.get(&id).map(|entry| Arc::clone(&entry.client));
        (id, known.filter(|known| *known == client).unwrap_or(client))
    };
    let listing = listing.into_iter().map(share).collect();
    snapshot.write().merge(begun, &listing);
}

fn shows(snapshot: &Snapshot, id: &ClientId) -> Option<RemoteClient> {
    match snapshot.relevant([id], &Uid::new("nobody")).remove(id)? {
        Remote::Listed(client) | Remote::PutIgnored(client) | Remote::Read(client) => Some(client),
        Remote::Missing | Remote::Absent | Remote::Deleted => None,
    }
}

#[test]
fn a_put_that_the_next_listing_does_not_show_has_not_moved_the_client() {
    let (snapshot, id) = (Snapshot::default(), id("c"));
    let seen = || snapshot.relevant([&id], &Uid::new("nobody")).remove(&id);
    let list = |scope: &str| {
        let begun = snapshot.write().next();
        merge(&snapshot, begun, listed([(id.clone(), client(scope))]));
    };
    list("kept");
    assert_eq!(seen(), Some(Remote::Listed(client("kept"))));
    snapshot.changed(&id, client("kept"), client("sent"));
    assert_eq!(seen(), Some(Remote::Listed(client("sent"))), "for all that is known");
    list("kept");
    assert_eq!(seen(), Some(Remote::PutIgnored(client("kept"))));
    list("kept");
    assert_eq!(seen(), Some(Remote::PutIgnored(client("kept"))), "it stays so");
    list("edited");
    assert_eq!(seen(), Some(Remote::Listed(client("edited"))));
    list("kept");
    assert_eq!(seen(), Some(Remote::Listed(client("kept"))), "somebody edited it back");
}

/// Whatever has changed since passes looked last, whoever noticed, is told once; what is as it was is not.
#[test]
fn what_changes_is_news_once_and_what_is_as_it_was_is_none() {
    let (snapshot, id) = (Snapshot::default(), id("c"));
    let list = |clients: &[RemoteClient]| {
        let begun = snapshot.write().next();
        let clients = clients.iter().map(|client| (id.clone(), Arc::new(PackedClient::new(client.clone()))));
        merge(&snapshot, begun, clients.collect());
    };
    let news = || snapshot.news() != News::default();
    list(&[marked("u")]);
    assert_eq!([news(), news()], [true, false], "it is new");
    list(&[marked("u")]);
    assert!(!news(), "it is as it was");
    list(&[client("openid")]);
    assert!(news(), "its marker is gone");
    snapshot.changed(&id, client("openid"), client("sent"));
    assert!(news(), "this process has written it");
    list(&[client("sent")]);
    assert!(news(), "the write is shown");
    list(&[client("sent")]);
    assert!(!news());
    snapshot.changed(&id, client("sent"), client("ignored"));
    let _written = news();
    list(&[client("sent")]);
    assert!(news(), "the write was ignored");
    list(&[client("sent")]);
    assert!(!news(), "and still is");
    let moment = snapshot.moment();
    snapshot.saw(&id, moment, client("read"));
    assert!(news(), "a pass of another has read it");
    list(&[]);
    assert!(news(), "it is gone");
    list(&[client("back")]);
    let _back = news();
    snapshot.deleted(&id);
    assert!(news(), "this process has deleted it");
}

/// F12.
#[test]
fn what_a_read_shows_is_known_until_a_listing_that_is_begun_later() {
    let (snapshot, id) = (Snapshot::default(), id("c"));
    let begin = || snapshot.write().next();
    let list = |begun, scope: &str| merge(&snapshot, begun, listed([(id.clone(), client(scope))]));
    list(begin(), "listed");
    let listing = begin();
    snapshot.saw(&id, snapshot.moment(), client("read"));
    list(listing, "older");
    assert_eq!(shows(&snapshot, &id), Some(client("read")), "the listing was begun before the read");
    list(begin(), "newer");
    assert_eq!(shows(&snapshot, &id), Some(client("newer")));
}

/// F12.
#[test]
fn a_read_wins_over_an_older_listing_in_which_the_client_is_missing() {
    let (snapshot, id) = (Snapshot::default(), id("c"));
    let begun = snapshot.write().next();
    snapshot.saw(&id, snapshot.moment(), client("read"));
    snapshot.write().merge(begun, &Listing::new());
    assert_eq!(shows(&snapshot, &id), Some(client("read")));
    let begun = snapshot.write().next();
    snapshot.write().merge(begun, &Listing::new());
    assert_eq!(shows(&snapshot, &id), None);
}

#[test]
fn a_write_since_a_read_was_begun_wins_over_what_the_read_shows() {
    let (snapshot, put, gone, back) = (Snapshot::default(), id("put"), id("gone"), id("back"));
    snapshot.deleted(&back);
    let moment = snapshot.moment();
    snapshot.wrote(&put, client("new"));
    snapshot.deleted(&gone);
    for id in [&put, &gone, &back] {
        snapshot.saw(id, moment, client("old"));
    }
    assert_eq!(shows(&snapshot, &put), Some(client("new")));
    assert_eq!(shows(&snapshot, &gone), None);
    assert_eq!(shows(&snapshot, &back), Some(client("old")), "the deletion was not carried out");
}

#[test]
fn a_read_after_a_put_shows_whether_the_client_has_moved() {
    let (snapshot, id) = (Snapshot::default(), id("c"));
    let seen = || snapshot.relevant([&id], &Uid::new("nobody")).remove(&id);
    snapshot.changed(&id, client("kept"), client("sent"));
    snapshot.saw(&id, snapshot.moment(), client("sent"));
    assert_eq!(seen(), Some(Remote::Listed(client("sent"))));
    snapshot.changed(&id, client("kept"), client("sent"));
    snapshot.saw(&id, snapshot.moment(), client("kept"));
    assert_eq!(seen(), Some(Remote::PutIgnored(client("kept"))));
}

fn on_the_wire(id: &str, scope: &str) -> wire::Client {
    wire::Client { client_id: id.to_owned(), scope: scope.to_owned(), ..wire::Client::default() }
}

fn read(id: &str, scope: &str) -> (ClientId, Arc<PackedClient>) {
    Snapshot::default().read_listed(on_the_wire(id, scope))
}

fn out_of_order() -> CallError {
    CallError { route: Route::ListClients, kind: Kind::Disabled, detail: String::new() }
}

#[test]
fn a_write_after_a_listing_was_begun_wins_over_what_the_listing_shows() {
    let (snapshot, put, made, gone) = (Snapshot::default(), id("put"), id("made"), id("gone"));
    let begun = snapshot.write().next();
    snapshot.wrote(&put, client("new"));
    snapshot.wrote(&made, client("made"));
    snapshot.deleted(&gone);
    let listing = listed([(put.clone(), client("old")), (gone.clone(), client("old"))]);
    snapshot.write().merge(begun, &listing);
    assert_eq!(shows(&snapshot, &put), Some(client("new")));
    assert_eq!(shows(&snapshot, &made), Some(client("made")));
    assert_eq!(shows(&snapshot, &gone), None);
    assert!(!snapshot.holds(&gone));
}

#[test]
fn a_listing_that_was_begun_after_a_write_wins_over_it() {
    let (snapshot, edited, gone, back) = (Snapshot::default(), id("edited"), id("gone"), id("back"));
    snapshot.wrote(&edited, client("mine"));
    snapshot.wrote(&gone, client("mine"));
    snapshot.deleted(&back);
    let begun = snapshot.write().next();
    let listing = listed([(edited.clone(), client("somebody's")), (back.clone(), client("mine"))]);
    snapshot.write().merge(begun, &listing);
    assert_eq!(shows(&snapshot, &edited), Some(client("somebody's")));
    assert_eq!(shows(&snapshot, &gone), None);
    assert_eq!(shows(&snapshot, &back), Some(client("mine")));
}

#[test]
fn a_client_is_relevant_by_its_id_or_by_the_uid_in_its_marker_as_last_known() {
    let snapshot = Snapshot::default();
    for (name, uid) in [("mine", "u1"), ("lost", "u1"), ("moved", "u1"), ("other", "u2")] {
        snapshot.wrote(&id(name), marked(uid));
    }
    snapshot.wrote(&id("named"), client("openid"));
    snapshot.wrote(&id("moved"), marked("u2"));
    snapshot.deleted(&id("lost"));
    let (named, absent) = (id("named"), id("absent"));
    let relevant = snapshot.relevant([&named, &absent], &Uid::new("u1"));
    assert_eq!(
        relevant,
        BTreeMap::from([(id("mine"), Remote::Listed(marked("u1"))), (named, Remote::Listed(client("openid")))])
    );
    let others: Vec<ClientId> = snapshot.relevant([], &Uid::new("u2")).into_keys().collect();
    assert_eq!(others, [id("moved"), id("other")]);
}

#[tokio::test]
async fn a_listing_is_never_one_that_was_begun_before_it_was_asked_for_and_who_waits_shares_the_next() {
    let (snapshot, calls, gate) = (Snapshot::default(), AtomicUsize::new(0), Semaphore::new(0));
    let ask = || {
        let call = async || {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            Ok(vec![read("c", &call.to_string())])
        };
        snapshot.list_by(call, || None, |_| ())
    };
    let release = async {
        // The joined futures before this one have asked by now: the first is under way, the others wait.
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        gate.add_permits(2);
    };
    let (first, second, third, ()) = tokio::join!(ask(), ask(), ask(), release);
    let scopes = |answer: Result<Arc<Listing>, CallError>| answer.unwrap()[&id("c")].unpack().unwrap().settings.scopes;
    let scope = |text: &str| BTreeSet::from([text.to_owned()]);
    assert_eq!([scopes(first), scopes(second), scopes(third)], [scope("0"), scope("1"), scope("1")]);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_listing_that_failed_changes_nothing_and_does_not_answer_who_asks_later() {
    let snapshot = Snapshot::default();
    snapshot.wrote(&id("c"), client("mine"));
    assert_eq!(snapshot.list_by(async || Err(out_of_order()), || None, |_| ()).await, Err(out_of_order()));
    assert_eq!(shows(&snapshot, &id("c")), Some(client("mine")));
    let theirs = async || Ok(vec![read("c", "theirs")]);
    let answer = snapshot.list_by(theirs, || None, |_| ()).await.unwrap();
    assert_eq!(*answer, listed([(id("c"), client("theirs"))]));
    assert_eq!(shows(&snapshot, &id("c")), Some(client("theirs")));
}

#[tokio::test]
async fn a_listing_whose_asker_gave_up_leaves_the_way_free() {
    let snapshot = Snapshot::default();
    let given_up = snapshot.list_by(async || std::future::pending().await, || None, |_| ());
    assert!(tokio::time::timeout(std::time::Duration::ZERO, given_up).await.is_err());
    let answer = snapshot.list_by(async || Ok(vec![]), || None, |_| ()).await.unwrap();
    assert_eq!(*answer, Listing::new());
}

/// F24.
#[tokio::test]
async fn a_listing_counts_what_was_recorded_before_it_was_begun_and_was_not_deleted_here() {
    let snapshot = Snapshot::default();
    snapshot.deleted(&id("retired"));
    let on_record = || Some(["there", "lost", "retired"].into_iter().map(id).collect());
    let mut told = None;
    let listing = async || Ok(vec![read("there", "openid"), read("other", "openid")]);
    snapshot.list_by(listing, on_record, |roll| told = roll.cloned()).await.unwrap();
    assert_eq!(told, Some(RollCall { recorded: 3, missing: BTreeSet::from([id("lost")]) }));
    let mut told = false;
    snapshot.list_by(async || Err(out_of_order()), || None, |_| told = true).await.unwrap_err();
    assert!(!told, "a listing that failed tells nothing");
}

#[test]
fn a_listing_shares_with_the_snapshot_what_has_not_changed() {
    let snapshot = Snapshot::default();
    snapshot.wrote(&id("kept"), client("openid"));
    snapshot.wrote(&id("edited"), client("openid"));
    let shares = |id: &str, scope: &str| {
        let (id, read) = snapshot.read_listed(on_the_wire(id, scope));
        assert_eq!(read.unpack(), Some(client(scope)));
        snapshot.read().clients.get(&id).is_some_and(|entry| Arc::ptr_eq(&entry.client, &read))
    };
    assert!(shares("kept", "openid"));
    assert!(!shares("edited", "email") && !shares("new", "openid"));
}
