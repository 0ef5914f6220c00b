use std::collections::{HashSet, VecDeque};

use super::*;

/// An authority, by the number of its issue.
type Authority = u8;

/// The most certificates that are issued in an exploration.
const MOST_ISSUED: Authority = 4;

/// The most versions of either object in an exploration: they are written, deleted and wiped as often as that allows.
const MOST_VERSIONS: u8 = 5;

/// The world: what is stored and trusted, what two replicas serve, and how far two leaders have come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    trusted: Vec<Authority>,
    /// The version of what is trusted, which a write must name.
    trust_version: u8,
    /// The stored certificate, the authorities beside it, and whether it is due; `None` if the Secret was deleted.
    secret: Option<(Authority, Vec<Authority>, bool)>,
    /// The Secret's version, which a write must name.
    version: u8,
    replicas: [Authority; 2],
    leaders: [Leader; 2],
    issued: Authority,
    /// How often somebody wiped what is trusted: the one act that nothing can be prepared for.
    wiped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Leader {
    Idle,
    /// Has looked, and will trust a new authority.
    Looked {
        seen: SeenState,
        trust_version: u8,
        version: u8,
    },
    /// The new authority is trusted; its certificate is not stored yet.
    Trusted {
        new: Authority,
        bundle: Vec<Authority>,
        version: u8,
    },
}

type SeenState = (Stored, Vec<Authority>, Vec<Authority>);

fn look(world: &World) -> Seen<Authority> {
    let (stored, bundle) = match &world.secret {
        None => (Stored::Unusable, vec![]),
        Some((_, bundle, true)) => (Stored::Due, bundle.clone()),
        Some((_, bundle, false)) => (Stored::Good, bundle.clone()),
    };
    Seen { stored, bundle, trusted: world.trusted.clone() }
}

impl World {
    fn new() -> Self {
        let leaders = [Leader::Idle, Leader::Idle];
        let secret = Some((1, vec![1], false));
        Self {
            trusted: vec![1],
            trust_version: 1,
            secret,
            version: 1,
            replicas: [1, 1],
            leaders,
            issued: 1,
            wiped: false,
        }
    }

    /// Everything that may happen next.
    fn successors(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut happens = |change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            next.wiped &= !next.trusts_all();
            if next != *self {
                all.push(next);
            }
        };
        // By the time that a certificate is due, weeks later, every replica has long served it.
        let served = |leaf: &Authority| self.replicas.iter().all(|served| served == leaf);
        happens(&|world| match &mut world.secret {
            Some((leaf, _, due)) if served(leaf) => *due = true,
            Some(_) | None => {}
        });
        happens(&|world| (world.secret, world.version) = (None, world.version + 1));
        happens(&|world| {
            world.trust(vec![]);
            world.wiped = true;
        });
        for replica in 0..2 {
            happens(&|world| {
                if let Some((leaf, ..)) = &world.secret {
                    world.replicas[replica] = *leaf;
                }
            });
        }
        for leader in 0..2 {
            happens(&|world| world.leaders[leader] = Leader::Idle);
            happens(&|world| world.act(leader));
        }
        all
    }

    fn act(&mut self, leader: usize) {
        self.leaders[leader] = match self.leaders[leader].clone() {
            Leader::Idle => {
                let seen = look(self);
                match seen.next() {
                    Step::Rest => Leader::Idle,
                    Step::Trust(bundle) => {
                        self.trust(bundle);
                        Leader::Idle
                    }
                    Step::Issue if self.issued == MOST_ISSUED => Leader::Idle,
                    Step::Issue => Leader::Looked {
                        seen: (seen.stored, seen.bundle, seen.trusted),
                        trust_version: self.trust_version,
                        version: self.version,
                    },
                }
            }
            Leader::Looked { seen: (stored, bundle, trusted), trust_version, version } => {
                if trust_version != self.trust_version {
                    Leader::Idle
                } else {
                    self.issued += 1;
                    let new = self.issued;
                    self.trust(Seen { stored, bundle, trusted }.trusting(new));
                    Leader::Trusted { new, bundle: self.trusted.clone(), version }
                }
            }
            Leader::Trusted { new, bundle, version } => {
                // Read back, and written under the version that was read.
                if version == self.version && self.trusted.contains(&new) {
                    (self.secret, self.version) = (Some((new, bundle, false)), self.version + 1);
                }
                Leader::Idle
            }
        };
    }

    fn trust(&mut self, authorities: Vec<Authority>) {
        (self.trusted, self.trust_version) = (authorities, self.trust_version + 1);
    }

    fn trusts_all(&self) -> bool {
        self.replicas.iter().all(|leaf| self.trusted.contains(leaf))
    }
}

/// Two leaders, each of which may die or freeze between any two writes, replicas that learn of a Secret late, people who
/// delete the Secret: what a replica serves is trusted, but between a wipe of what is trusted and its repair.
#[test]
fn whatever_happens_between_two_writes_every_replica_is_trusted() {
    let (mut known, mut open) = (HashSet::from([World::new()]), VecDeque::from([World::new()]));
    while let Some(world) = open.pop_front() {
        assert!(world.wiped || world.trusts_all(), "{world:?}");
        let is_within = |next: &World| next.version < MOST_VERSIONS && next.trust_version < MOST_VERSIONS;
        let next = world.successors().into_iter().filter(is_within);
        open.extend(next.filter(|next| known.insert(next.clone())));
    }
    println!("{} states", known.len());
    assert!(known.len() > 10_000, "{} states", known.len());
}

#[test]
fn a_good_certificate_rests_and_a_wiped_bundle_is_put_back() {
    let seen = |trusted: &[Authority]| Seen { stored: Stored::Good, bundle: vec![2, 1], trusted: trusted.to_vec() };
    assert_eq!(seen(&[2, 1]).next(), Step::Rest);
    assert_eq!(seen(&[9, 1, 2]).next(), Step::Rest);
    assert_eq!(seen(&[]).next(), Step::Trust(vec![2, 1]));
    assert_eq!(seen(&[9]).next(), Step::Trust(vec![2, 1, 9]));
}

#[test]
fn a_renewal_forgets_authorities_that_are_long_out_of_use() {
    let seen = Seen { stored: Stored::Due, bundle: vec![5, 4, 3, 2], trusted: vec![5, 4, 3, 2] };
    assert_eq!(seen.next(), Step::Issue);
    assert_eq!(seen.trusting(7), [7, 5, 4]);
    // The sixth was trusted by a leader that may be about to store its certificate.
    assert_eq!(Seen { trusted: vec![6, 5, 4, 3, 2], ..seen }.trusting(7), [7, 5, 4, 6]);
}

#[test]
fn a_certificate_that_was_lost_forgets_none_and_the_bundle_stays_bounded() {
    let trusted: Vec<Authority> = (1..=40).rev().collect();
    let seen = Seen { stored: Stored::Unusable, bundle: vec![], trusted };
    assert_eq!(seen.next(), Step::Issue);
    let trusting = seen.trusting(41);
    assert_eq!((trusting.len(), trusting[0], trusting[1], trusting.last()), (MOST, 41, 31, Some(&1)));
}
