use super::*;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::project::reference::ProjectKind;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn project(name: &str) -> ProjectKey {
    ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: name.into() }
}

/// Slots with a test in the place of the controller: it lets enqueued objects enter their pass.
struct Fixture {
    slots: Slots,
    enqueue: UnboundedSender<Object>,
    enqueued: UnboundedReceiver<Object>,
}

impl Fixture {
    fn new(total: u16) -> Self {
        let (enqueue, enqueued) = unbounded_channel();
        Self { slots: Slots::new(total), enqueue, enqueued }
    }

    fn enter(&self, name: &str, object: &str) -> Option<Slot> {
        self.slots.enter(Some(&project(name)), Priority::Bulk, &ObjectRef::new(object), &self.enqueue)
    }

    /// Enters `number` objects of a project, and returns the slots of those that have one.
    fn crowd(&self, name: &str, number: usize) -> Vec<Slot> {
        (0..number).filter_map(|n| self.enter(name, &format!("{name}/{n}"))).collect()
    }

    /// The objects that were given a slot since, each with its slot.
    fn granted(&mut self) -> Vec<(String, Slot)> {
        let mut granted = Vec::new();
        while let Ok(object) = self.enqueued.try_recv() {
            let name = object.name.split('/').next().unwrap();
            granted.push((object.name.clone(), self.enter(name, &object.name).unwrap()));
        }
        granted
    }

    fn busy(&self) -> usize {
        self.slots.state().busy
    }
}

fn no_answer() -> Answer {
    Answer::Failed(Failure::retry(Reason::APIUnavailable, "no complete answer in time"))
}

/// A call that hangs until the deadline of calls.
async fn hang(slot: Slot) {
    slot.call(async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        no_answer()
    })
    .await;
}

#[test]
fn a_project_has_three_quarters_of_the_slots_and_never_none() {
    for (total, share) in [(1, 1), (2, 2), (4, 3), (32, 24)] {
        let slots = Fixture::new(total);
        assert_eq!(slots.crowd("busy", 100).len(), share, "of {total}");
    }
}

#[test]
fn projects_take_turns_and_within_one_the_first_comes_first() {
    let mut slots = Fixture::new(1);
    let mut running = slots.enter("a", "a/0");
    for object in ["a/1", "a/2", "a/3", "b/1", "b/2", "c/1"] {
        assert!(slots.enter(object.split('/').next().unwrap(), object).is_none());
    }
    let mut order = Vec::new();
    while running.take().is_some() {
        if let Some((object, slot)) = slots.granted().pop() {
            order.push(object);
            running = Some(slot);
        }
    }
    assert_eq!(order, ["a/1", "b/1", "c/1", "a/2", "b/2", "a/3"]);
    assert_eq!((slots.busy(), slots.slots.state().lanes.len()), (0, 0));
}

/// An object in a namespace, as a pass of this priority asks for a slot.
fn ask(slots: &Fixture, priority: Priority, namespace: &str, name: &str) -> Option<Slot> {
    slots.slots.enter(Some(&project("a")), priority, &ObjectRef::new(name).within(namespace), &slots.enqueue)
}

/// Frees the one slot again and again, and returns the order in which it is granted.
fn order(slots: &mut Fixture, mut running: Option<Slot>) -> Vec<String> {
    let mut order = Vec::new();
    while running.take().is_some() {
        if let Ok(object) = slots.enqueued.try_recv() {
            running = slots.slots.enter(Some(&project("a")), Priority::Bulk, &object, &slots.enqueue);
            order.push(object.name);
        }
    }
    order
}

#[test]
fn a_change_waits_for_one_of_the_bulk_and_one_of_the_bulk_for_a_change() {
    let mut slots = Fixture::new(1);
    let running = ask(&slots, Priority::Bulk, "shop", "running");
    for number in 0..4 {
        assert!(ask(&slots, Priority::Bulk, "shop", &format!("new{number}")).is_none());
    }
    for number in 0..2 {
        assert!(ask(&slots, Priority::Interactive, "shop", &format!("edit{number}")).is_none());
    }
    assert_eq!(order(&mut slots, running), ["edit0", "new0", "edit1", "new1", "new2", "new3"]);
    assert_eq!((slots.busy(), slots.slots.state().lanes.len()), (0, 0));
}

#[test]
fn namespaces_take_turns_and_an_object_that_is_changed_while_it_waits_comes_sooner() {
    let mut slots = Fixture::new(1);
    let running = ask(&slots, Priority::Bulk, "many", "running");
    for object in ["many0", "many1", "many2", "many3"] {
        assert!(ask(&slots, Priority::Bulk, "many", object).is_none());
    }
    assert!(ask(&slots, Priority::Bulk, "few", "few0").is_none());
    assert!(ask(&slots, Priority::Interactive, "many", "many3").is_none());
    assert_eq!(order(&mut slots, running), ["many3", "many0", "few0", "many1", "many2"]);
    assert_eq!((slots.busy(), slots.slots.state().queued.len()), (0, 0));
}

#[test]
fn a_pass_is_interactive_if_something_was_asked_of_a_client_that_is_recorded() {
    let priority = |change: serde_json::Value| {
        let mut object = serde_json::json!({
            "metadata": { "name": "web", "generation": 2, "annotations": {} },
            "spec": { "projectRef": { "name": "default" } },
            "status": {
                "clientId": "c", "observedGeneration": 2,
                "lastHandledRotateAt": "monday", "lastHandledReconcileAt": "",
            },
        });
        json_patch::merge(&mut object, &change);
        Priority::of(&serde_json::from_value(object).unwrap())
    };
    let ask = |what: &str, at| serde_json::json!({ "metadata": { "annotations": { what: at } } });
    let rotate = |at| ask("meshagent.com/rotate-requested-at", at);
    for (change, expected) in [
        (serde_json::json!({}), Priority::Bulk),
        (serde_json::json!({ "metadata": { "generation": 3 } }), Priority::Interactive),
        (serde_json::json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }), Priority::Interactive),
        (rotate("tuesday"), Priority::Interactive),
        (rotate("monday"), Priority::Bulk),
        (ask("meshagent.com/reconcile-requested-at", "tuesday"), Priority::Interactive),
        (serde_json::json!({ "metadata": { "generation": 3 }, "status": { "clientId": null } }), Priority::Bulk),
        (serde_json::json!({ "status": null }), Priority::Bulk),
    ] {
        assert_eq!(priority(change.clone()), expected, "{change}");
    }
}

#[test]
fn an_object_is_queued_once_and_gives_up_its_place_when_it_is_gone_or_calls_another_project() {
    let mut slots = Fixture::new(1);
    let running = slots.enter("a", "a/0");
    for object in ["a/1", "a/1", "a/2", "a/3"] {
        assert!(slots.enter("a", object).is_none());
    }
    slots.slots.forget(&ObjectRef::new("a/1"));
    assert!(slots.slots.enter(None, Priority::Bulk, &ObjectRef::new("a/2"), &slots.enqueue).is_none());
    drop(running);
    // Lane a has its turn, with a/3, which is deleted before its pass begins.
    assert_eq!(slots.enqueued.try_recv().unwrap().name, "a/3");
    slots.slots.forget(&ObjectRef::new("a/3"));
    assert_eq!(slots.enqueued.try_recv().unwrap().name, "a/2");
    assert!(slots.enqueued.try_recv().is_err());
    assert!(slots.slots.enter(None, Priority::Bulk, &ObjectRef::new("a/2"), &slots.enqueue).is_some());
    assert_eq!((slots.busy(), slots.slots.state().queued.len()), (0, 0));
}

/// F30.
#[tokio::test(start_paused = true)]
async fn projects_that_hang_keep_no_slot_from_the_others_however_many_they_are() {
    let mut slots = Fixture::new(8);
    let hanging: Vec<String> = (0..20).map(|n| format!("hanging{n}")).collect();
    for name in &hanging {
        for slot in slots.crowd(name, 100) {
            tokio::spawn(hang(slot));
        }
    }
    // Each object that is granted a slot hangs as well, until none is granted one any more.
    loop {
        tokio::time::sleep(PATIENCE * 2).await;
        let granted = slots.granted();
        if granted.is_empty() {
            break;
        }
        granted.into_iter().for_each(|(_, slot)| drop(tokio::spawn(hang(slot))));
    }
    assert_eq!(slots.busy(), 0, "calls that hang have given their slots back");
    assert_eq!(slots.crowd("sound", 100).len(), 6, "as without them");
    let calls: Vec<usize> = slots.slots.state().lanes.values().map(|lane| lane.busy).collect();
    assert!(calls.iter().all(|calls| *calls <= 6), "{calls:?}");
}

/// F30.
#[tokio::test(start_paused = true)]
async fn a_project_that_does_not_answer_has_one_call_at_a_time_until_it_answers() {
    let mut slots = Fixture::new(8);
    for slot in slots.crowd("hanging", 100) {
        tokio::spawn(hang(slot));
    }
    tokio::time::sleep(Duration::from_secs(31)).await;
    for _ in 0..5 {
        let mut probe = slots.granted();
        assert_eq!(probe.len(), 1);
        tokio::spawn(hang(probe.remove(0).1));
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(slots.granted().is_empty(), "while the probe is under way");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (_, probe) = slots.granted().remove(0);
    probe.call(async { Answer::Deleted }).await;
    assert_eq!(slots.granted().len(), 5, "the rest of its share");
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_takes_nothing_from_its_own_project_but_itself() {
    let slots = Fixture::new(8);
    tokio::spawn(hang(slots.enter("sound", "bad").unwrap()));
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!(slots.crowd("sound", 100).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_the_slot_back_and_a_pass_that_panics_leaves_it() {
    let slots = Fixture::new(2);
    let slot = slots.enter("slow", "slow/0").unwrap();
    let slow = async {
        tokio::time::sleep(PATIENCE * 3).await;
        Answer::Deleted
    };
    let pass = tokio::spawn(async move {
        slot.call(slow).await;
        tokio::time::sleep(PATIENCE).await;
        drop(slot);
    });
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!(slots.busy(), 0);
    tokio::time::sleep(PATIENCE + PATIENCE / 2).await;
    assert_eq!(slots.busy(), 1);
    pass.await.unwrap();
    let slot = slots.enter("slow", "slow/1").unwrap();
    let aborted = tokio::spawn(hang(slot));
    tokio::time::sleep(PATIENCE * 2).await;
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    assert_eq!(slots.busy(), 0);
}
