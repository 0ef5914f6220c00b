//! Free ports.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use crate::{Error, Result};

// The range is below the one from which systems take the ports of outgoing connections (Linux from 32768, others from
// 49152): such a connection could take the port of a server that is being restarted.
const RANGE: RangeInclusive<u16> = 20_000..=32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Finds a port of the loopback interface that nobody listens on, and that this process was not given before. Another
/// process can still take it first: a caller must be ready to try again with another port.
///
/// # Errors
/// All ports tried are taken.
pub fn free_port() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, last) = (*RANGE.start(), *RANGE.end());
    for attempt in 0..1_000_u16 {
        // Ports are drawn at random, so that processes that run at the same time seldom try the same.
        let random = RandomState::new().hash_one(attempt) % u64::from(last - first);
        let port = first + u16::try_from(random).unwrap_or_default();
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(Error::NoPort { first, last })
}
