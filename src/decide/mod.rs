//! What to do next, decided without IO, clock, randomness or environment.
//!
//! A reader who knows only this folder knows what the operator does. One folder for each subject: [`client`] for one
//! OAuthClient, [`project`] for a MeshAgent project, [`orphan`] for clients that nobody declares any more, [`inject`] for
//! the pods that get a credential, [`restart`] for the workloads whose pods hold a former one, [`trust`] for the webhook's
//! certificate.

pub mod client;
pub mod failure;
pub mod id;
pub mod inject;
pub mod marker;
pub mod orphan;
pub mod problem;
pub mod project;
pub mod published;
pub mod restart;
pub mod settings;
pub mod syntax;
pub mod time;
pub mod trust;
pub mod words;
