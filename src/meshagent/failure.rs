//! What a failed call of MeshAgent means for whoever made it.

use super::error::{CallError, Kind, NotSent};
use crate::api::Reason;
use crate::decide::failure::{Disposition, Failure};

/// What a failed call of MeshAgent means.
#[must_use]
pub fn call_failure(error: &CallError) -> Failure {
    let message = error.to_string();
    match &error.kind {
        Kind::Rejected { .. } => Failure {
            reason: Reason::RejectedByAPI,
            message: format!("MeshAgent refuses the request: {message}; change the spec, or ask again in an hour"),
            disposition: Disposition::StalledHourly,
        },
        Kind::AuthenticationFailed => Failure::stalled(Reason::AuthenticationFailed, message),
        Kind::PermissionDenied => Failure::stalled(Reason::PermissionDenied, message),
        Kind::Disabled => Failure::wait(Reason::ProjectDisabled, format!("{message}; enable it in MeshAgent Studio")),
        Kind::NotSent(NotSent::Paused { until }) => Failure {
            reason: Reason::RateLimited,
            disposition: Disposition::Retry(Some(until.saturating_duration_since(tokio::time::Instant::now()))),
            message,
        },
        Kind::RateLimited { retry_after } => {
            Failure { reason: Reason::RateLimited, disposition: Disposition::Retry(Some(*retry_after)), message }
        }
        Kind::NotFound
        | Kind::Unavailable(_)
        | Kind::NotSent(
            NotSent::NotLeader
            | NotSent::NameNotResolved
            | NotSent::NoConnection
            | NotSent::Tls
            | NotSent::UnusableRequest,
        ) => Failure::retry(Reason::APIUnavailable, message),
    }
}

/// What a refused POST means. Nothing of a client is unique but its id, which the server draws: a conflict that speaks
/// of a limit, or a quota, is one on the number of clients.
#[must_use]
pub fn post_failure(error: &CallError) -> Failure {
    let failure = call_failure(error);
    let refused = match error.kind {
        Kind::Rejected { status } => matches!(status, 400 | 402 | 409 | 422),
        Kind::NotSent(_)
        | Kind::AuthenticationFailed
        | Kind::PermissionDenied
        | Kind::NotFound
        | Kind::Disabled
        | Kind::RateLimited { .. }
        | Kind::Unavailable(_) => false,
    };
    let said = error.detail.to_lowercase();
    let limited = ["limit", "quota", "maximum", "too many"].iter().any(|word| said.contains(word));
    if !refused || !limited {
        return failure;
    }
    Failure {
        reason: Reason::LimitReached,
        message: format!(
            "the project holds as many clients as it may ({}); delete clients that nobody needs, or have the limit raised. It is \
             tried again every hour, and on kubectl annotate --overwrite maoc <name> \
             meshagent.com/reconcile-requested-at=\"$(date -Is)\"",
            error.detail
        ),
        disposition: Disposition::StalledHourly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meshagent::Route;

    #[test]
    fn a_refused_post_that_speaks_of_a_limit_is_one() {
        let reason = |status, detail: &str| {
            let kind = Kind::Rejected { status };
            post_failure(&CallError { route: Route::CreateClient, kind, detail: detail.to_owned() }).reason
        };
        assert_eq!(reason(409, "the project holds 3 OAuth clients, which is its limit"), Reason::LimitReached);
        assert_eq!(reason(422, "Quota exceeded"), Reason::LimitReached);
        assert_eq!(reason(409, "conflict"), Reason::RejectedByAPI);
        assert_eq!(reason(404, "limit"), Reason::RejectedByAPI);
    }
}
