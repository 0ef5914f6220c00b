//! A client that stood in the Secret and was never recorded.

use super::step::{Conclusion, Record, Step};
use crate::api::Reason;
use crate::decide::client::observed::{Observed, Remote};
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;

/// A client of ours that stood in the Secret and was never recorded retires before another takes its place there: pods
/// may have read its credential.
pub(super) fn retire_published(observed: &Observed) -> Option<Step> {
    let recorded = &observed.object.recorded;
    recorded.client_id.as_ref()?;
    let stored = observed.secret.stored()?;
    let unnamed = |client_id: &&ClientId| !recorded.names(client_id);
    let annotated = stored.client_id.as_ref().filter(unnamed);
    if let Some(client_id) = annotated {
        match observed.remote.get(client_id) {
            None => return Some(Step::Get { client_id: client_id.clone() }),
            Some(Remote::Missing) => return Some(Step::List),
            Some(_) => {}
        }
    }
    // The annotation may have been altered; the token tells as well.
    let published = observed.of_this_uid().find(|(client_id, _, marker)| {
        unnamed(client_id) && (annotated == Some(client_id) || stored.token.as_ref() == Some(&marker.token))
    });
    let (client_id, ..) = published?;
    if observed.live.is_none() {
        // A cache may show a Secret of long ago, whose client has retired and gone since.
        return Some(Step::ReadLive);
    }
    let message = "the client in the Secret was never recorded; it retires, and another takes its place";
    let former = recorded.retiring.iter().map(|retiring| retiring.client_id.clone());
    Some(Step::Record(Box::new(Record {
        version: observed.object.version.clone(),
        conclusion: Conclusion::Blocked(Failure::retry(Reason::Rotating, message)),
        published: None,
        retiring: former.chain([client_id.clone()]).collect(),
    })))
}
