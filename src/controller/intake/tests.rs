use std::collections::{BTreeMap, BTreeSet};
use std::task::Context;

use futures::task::noop_waker_ref;
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;

/// An intake with a test in the place of the controller.
struct Fixture {
    intake: Intake,
    enqueue: UnboundedSender<Object>,
    admitted: std::pin::Pin<Box<dyn Stream<Item = Object>>>,
    /// The objects that were let in and whose passes have not begun.
    inside: BTreeSet<usize>,
    running: BTreeMap<usize, Running>,
    /// The objects that were asked for since their last pass began.
    due: BTreeSet<usize>,
}

fn object(number: usize) -> Object {
    ObjectRef::new(&number.to_string()).within("shop")
}

impl Fixture {
    fn new() -> Self {
        let (enqueue, mut asked) = unbounded_channel();
        let intake = Intake::default();
        let admitted = Box::pin(intake.admit(poll_fn(move |context| asked.poll_recv(context))));
        Self { intake, enqueue, admitted, inside: BTreeSet::new(), running: BTreeMap::new(), due: BTreeSet::new() }
    }

    fn ask(&mut self, number: usize) {
        self.enqueue.send(object(number)).unwrap();
        self.due.insert(number);
    }

    /// Lets in as many as there is room for.
    fn admit(&mut self) {
        while let Poll::Ready(Some(admitted)) =
            self.admitted.as_mut().poll_next(&mut Context::from_waker(noop_waker_ref()))
        {
            let number = admitted.name.parse().unwrap();
            assert!(!self.running.contains_key(&number), "its pass is under way");
            assert!(self.inside.insert(number), "it is inside already");
        }
        assert!(self.inside.len() <= MOST_INSIDE, "{} are inside", self.inside.len());
    }

    fn begin(&mut self, number: usize) {
        if !self.running.contains_key(&number) {
            self.inside.remove(&number);
            self.due.remove(&number);
            self.running.insert(number, self.intake.begin(&object(number)));
        }
    }

    fn is_gone(&mut self, number: usize) {
        if self.inside.remove(&number) {
            self.due.remove(&number);
            self.intake.leave(&object(number));
        }
    }

    /// Goes on until nothing is let in any more.
    fn finish(&mut self) {
        loop {
            self.admit();
            let inside: Vec<usize> = self.inside.iter().copied().collect();
            if inside.is_empty() && self.running.is_empty() {
                break;
            }
            inside.into_iter().for_each(|number| self.begin(number));
            self.running.clear();
        }
        assert!(self.due.is_empty(), "forgotten: {:?}", self.due);
        let state = self.intake.open();
        assert!(state.places.is_empty() && state.inside == 0, "{state:?}");
    }
}

proptest! {
    /// kube begins some passes by itself, when they asked to be tried again.
    #[test]
    fn whatever_is_asked_for_has_a_pass_that_begins_afterwards(acts in prop::collection::vec((0..5_u8, 0..400_usize), 0..2000)) {
        let mut fixture = Fixture::new();
        for (act, number) in acts {
            match act {
                0 | 1 => fixture.ask(number),
                2 => fixture.admit(),
                3 if fixture.running.contains_key(&number) => drop(fixture.running.remove(&number)),
                3 => fixture.is_gone(number),
                _ => fixture.begin(number),
            }
        }
        fixture.finish();
    }
}

#[test]
fn of_thousands_few_are_inside_and_no_room_is_kept_for_them() {
    let mut fixture = Fixture::new();
    (0..5000).for_each(|number| fixture.ask(number));
    fixture.admit();
    assert_eq!(fixture.inside.len(), MOST_INSIDE);
    fixture.finish();
    let state = fixture.intake.open();
    assert!(state.places.capacity() <= 2 * KEPT && state.waiting.capacity() <= 2 * KEPT);
}

/// The waiting stream is woken when there is room, and by an object that was asked for during its pass.
#[tokio::test]
async fn the_stream_goes_on_by_itself_when_a_pass_begins_or_ends() {
    let (enqueue, mut asked) = unbounded_channel();
    let intake = Intake::default();
    let mut admitted = Box::pin(intake.admit(poll_fn(move |context| asked.poll_recv(context))));
    (0..=MOST_INSIDE).for_each(|number| enqueue.send(object(number)).unwrap());
    for number in 0..MOST_INSIDE {
        assert_eq!(admitted.next().await, Some(object(number)));
    }
    let last = tokio::spawn(async move { (admitted.next().await, admitted) });
    tokio::task::yield_now().await;
    let running = intake.begin(&object(7));
    let (last, mut admitted) = last.await.unwrap();
    assert_eq!(last, Some(object(MOST_INSIDE)));

    enqueue.send(object(7)).unwrap();
    drop(intake.begin(&object(8)));
    let again = tokio::spawn(async move { admitted.next().await });
    tokio::task::yield_now().await;
    assert!(!again.is_finished(), "its pass is under way");
    drop(running);
    assert_eq!(again.await.unwrap(), Some(object(7)));
}
