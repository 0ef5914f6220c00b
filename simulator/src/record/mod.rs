//! The record of calls, without keys, secrets, codes and tokens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

mod redact;

pub use redact::{body, headers, key_id, path, query};

use crate::api::route::Route;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The number of the call: counted up from 1 and never used again, not even after the record is cleared.
    pub sequence: u64,
    /// The time when the head had been read.
    pub time: Timestamp,
    /// The route; `null`: no route of the API.
    pub route: Option<Route>,
    /// The project in the path.
    pub project: Option<Uuid>,
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query, as sent but for what is secret.
    pub query: Option<String>,
    /// The headers by name; those that carry credentials say `[redacted]`.
    pub headers: BTreeMap<String, String>,
    /// The id of the API key, if one of the documented form was sent.
    pub key_id: Option<Uuid>,
    /// The body: JSON as it is, a form as an object, nothing of any other; secrets in it say `[redacted]`.
    pub body: Option<Value>,
    /// The status that was answered; `null` while there is none: it waits, hangs, was reset, or the caller went away.
    pub status: Option<u16>,
    /// The client that the call was about, where that is known.
    pub client_id: Option<String>,
    /// The number of the rule whose fault struck the call.
    pub fault: Option<u64>,
}

/// The calls so far.
#[derive(Debug, Default)]
pub struct Record {
    calls: Vec<Call>,
    last: u64,
}

impl Record {
    /// Adds a call under the next number, and returns that.
    pub fn add(&mut self, mut call: Call) -> u64 {
        self.last += 1;
        call.sequence = self.last;
        self.calls.push(call);
        self.last
    }

    /// Changes a call, unless it was cleared meanwhile.
    pub fn amend(&mut self, sequence: u64, change: impl FnOnce(&mut Call)) {
        // Numbers only grow, so the calls are sorted.
        if let Ok(place) = self.calls.binary_search_by_key(&sequence, |call| call.sequence) {
            change(&mut self.calls[place]);
        }
    }

    /// The calls since the record was last cleared.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Forgets all calls.
    pub fn clear(&mut self) {
        self.calls.clear();
    }
}

#[cfg(test)]
mod tests;
