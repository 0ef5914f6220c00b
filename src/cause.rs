//! What an error comes of in the end: kube's and reqwest's own texts for a broken connection say no more than that there
//! was none.

use std::{error, iter};

/// The innermost source of an error, or the error itself.
#[must_use]
pub fn root_cause<'a>(error: &'a (dyn error::Error + 'static)) -> &'a (dyn error::Error + 'static) {
    iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}
