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
    /// The objects that were let in, and that kube has not looked up.
    inside: BTreeSet<usize>,
    /// The objects that kube has looked up and not found, without having said so yet.
    missed: BTreeSet<usize>,
    /// The objects that kube has looked up for a pass: those whose pass has begun as well.
    taken: BTreeMap<usize, Taken>,
    /// The objects that were asked for since they were looked up last.
    due: BTreeSet<usize>,
    /// The objects inside that the intake does not count.
    uncounted: BTreeSet<usize>,
}

fn object(number: usize) -> Object {
    ObjectRef::new(&number.to_string()).within("shop")
}

impl Fixture {
    fn new() -> Self {
        let (enqueue, mut asked) = unbounded_channel();
        let intake = Intake::default();
        let admitted = Box::pin(intake.admit(poll_fn(move |context| asked.poll_recv(context))));
        let (inside, missed, due) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { intake, enqueue, admitted, inside, missed, taken: BTreeMap::new(), due, uncounted: BTreeSet::new() }
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
            assert!(!self.taken.contains_key(&number), "its pass is under way");
            // kube merges requests for one object.
            self.inside.insert(number);
        }
        let most = MOST_INSIDE + self.uncounted.len();
        assert!(self.inside.len() <= most, "{} are inside", self.inside.len());
    }

    /// kube looks an object up and finds it. It does so by itself too, for a pass that asked to be tried again.
    fn take(&mut self, number: usize) {
        if !self.taken.contains_key(&number) && !self.missed.contains(&number) {
            self.inside.remove(&number);
            self.looked_up(number);
            self.taken.insert(number, self.intake.take(&object(number)));
        }
    }

    /// kube looks an object up that is gone.
    fn look_for_the_gone(&mut self, number: usize) {
        if !self.taken.contains_key(&number) && !self.missed.contains(&number) {
            self.inside.remove(&number);
            self.looked_up(number);
            self.missed.insert(number);
        }
    }

    /// What was asked for before is in the cache, and what the stream has not read yet will be asked for all the same.
    fn looked_up(&mut self, number: usize) {
        self.uncounted.remove(&number);
        self.due.remove(&number);
    }

    fn begin(&mut self, number: usize) {
        if let Some(taken) = self.taken.get(&number) {
            taken.begin();
        }
    }

    fn miss(&mut self, number: usize) {
        if self.missed.remove(&number) {
            // It was let in between kube's own look at what is gone and its word of it, and counts no more.
            if self.inside.contains(&number) {
                self.uncounted.insert(number);
            }
            self.intake.miss(&object(number));
        }
    }

    /// Goes on until nothing is let in any more.
    fn finish(&mut self) {
        loop {
            let missed: Vec<usize> = self.missed.iter().copied().collect();
            missed.into_iter().for_each(|number| self.miss(number));
            self.taken.clear();
            self.admit();
            let inside: Vec<usize> = self.inside.iter().copied().collect();
            if inside.is_empty() {
                break;
            }
            inside.into_iter().for_each(|number| self.take(number));
        }
        assert!(self.due.is_empty(), "forgotten: {:?}", self.due);
        let state = self.intake.open();
        assert!(state.places.is_empty() && state.inside == 0, "{state:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_for_has_a_pass_that_sees_it(acts in prop::collection::vec((0..8_u8, 0..200_usize), 0..3000)) {
        let mut fixture = Fixture::new();
        for (act, number) in acts {
            match act {
                0 | 1 => fixture.ask(number),
                2 => fixture.admit(),
                3 => fixture.take(number),
                4 => fixture.begin(number),
                5 => drop(fixture.taken.remove(&number)),
                6 => fixture.look_for_the_gone(number),
                _ => fixture.miss(number),
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
    (0..MOST_INSIDE).for_each(|number| fixture.take(number));
    fixture.admit();
    assert!(fixture.inside.is_empty(), "passes that have not begun count as well");
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
    let seventh = intake.take(&object(7));
    seventh.begin();
    let (last, mut admitted) = last.await.unwrap();
    assert_eq!(last, Some(object(MOST_INSIDE)));

    enqueue.send(object(7)).unwrap();
    drop(intake.take(&object(8)));
    let again = tokio::spawn(async move { admitted.next().await });
    tokio::task::yield_now().await;
    assert!(!again.is_finished(), "its pass is under way");
    drop(seventh);
    assert_eq!(again.await.unwrap(), Some(object(7)));
}
