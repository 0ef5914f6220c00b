//! Which MeshAgent project a project object stands for: the same one as long as anybody uses it.

use crate::api::Reason;
use crate::decide::failure::Failure;

/// Why a project that key or spec name now cannot take the place of the one that the status recorded.
///
/// The clients of OAuthClients that use the project live in the recorded one: with the key of another, the operator
/// would make new clients there, and sweep there. `in_use`: whether there are such OAuthClients; `None`: not known yet.
///
/// # Errors
/// Returns `ProjectMismatch`.
pub fn check_pin(pinned: Option<&str>, named: &str, in_use: Option<bool>) -> Result<(), Failure> {
    let Some(pinned) = pinned.filter(|pinned| !pinned.is_empty() && !pinned.eq_ignore_ascii_case(named)) else {
        return Ok(());
    };
    if in_use == Some(false) {
        return Ok(());
    }
    Err(Failure::stalled(
        Reason::ProjectMismatch,
        format!(
            "the OAuthClients of this project have their clients in project {pinned}, but the key or spec.projectId now names \
             project {named}; neither is touched. Put the former key or projectId back. To use the other project, declare it \
             under a name of its own; this one moves once no OAuthClient uses it"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(pinned: Option<&str>, named: &str, in_use: Option<bool>) -> Option<Reason> {
        check_pin(pinned, named, in_use).err().map(|failure| failure.reason)
    }

    /// F31.
    #[test]
    fn a_project_in_use_stays_the_one_that_its_status_names() {
        assert_eq!(reason(Some("p1"), "p2", Some(true)), Some(Reason::ProjectMismatch));
        assert_eq!(reason(Some("p1"), "p2", None), Some(Reason::ProjectMismatch), "it may be in use");
        assert_eq!(reason(Some("p1"), "p2", Some(false)), None, "nobody is in the former one");
        assert_eq!(reason(Some("p1"), "P1", Some(true)), None, "another spelling is the same project");
        assert_eq!([reason(None, "p2", Some(true)), reason(Some(""), "p2", Some(true))], [None; 2], "never recorded");
    }

    /// F31.
    #[test]
    fn a_mismatch_names_both_projects_and_the_ways_out() {
        let said = check_pin(Some("p1"), "p2", Some(true)).unwrap_err().message;
        for part in ["project p1", "project p2", "Put the former key", "moves once no OAuthClient uses it"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
