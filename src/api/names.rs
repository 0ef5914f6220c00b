//! Names that are frozen with the first release.

/// API group of every kind, and prefix of labels, annotations and marker keys.
pub const GROUP: &str = "meshagent.com";

/// API version of every kind.
pub const VERSION: &str = "v1alpha1";

/// What labels, annotations and metadata keys of the operator's own begin with.
pub const PREFIX: &str = "meshagent.com/";

/// Finalizer on an OAuthClient: its remote client is to be deleted, or released, first.
pub const FINALIZER: &str = "meshagent.com/oauth-client";

/// Finalizer on a project of either kind: it is not to vanish under the OAuthClients that use it.
pub const PROJECT_FINALIZER: &str = "meshagent.com/project";

/// Label on a Secret, and on pods that want its credential: the name of the OAuthClient.
pub const OAUTH_CLIENT_LABEL: &str = "meshagent.com/oauth-client";

/// Label on a Secret that says who writes it; its value is [`MANAGER`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`], and the field manager of every write.
pub const MANAGER: &str = "meshagent-operator";

/// On an OAuthClient: the token of the POST that may create, or has created, its client: `<uid>.<random>`. On a
/// Secret: the token of the POST that its credential came from.
pub const CREATE_TOKEN_ANNOTATION: &str = "meshagent.com/create-token";

/// On an OAuthClient: tokens of POSTs whose outcome is unknown and that are not cleaned up yet.
pub const UNKNOWN_TOKENS_ANNOTATION: &str = "meshagent.com/unknown-tokens";

/// On a Secret: the uid of the OAuthClient that it was written for.
pub const OWNER_UID_ANNOTATION: &str = "meshagent.com/owner-uid";

/// On a Secret: the client id that its data holds.
pub const CLIENT_ID_ANNOTATION: &str = "meshagent.com/client-id";

/// On a Secret: the names of the data keys as last written.
pub const KEYS_ANNOTATION: &str = "meshagent.com/keys";

/// On a Secret: SHA-256 over its public values, so that the metadata tells whether they are the wanted ones.
pub const VALUES_ANNOTATION: &str = "meshagent.com/values";

/// On a Secret: its OAuthClient was deleted and left it, and its client, behind; `true`.
pub const RETAINED_ANNOTATION: &str = "meshagent.com/retained";

/// On an OAuthClient, by a person: replace the client by a new one, once for each new value.
pub const ROTATE_REQUESTED_ANNOTATION: &str = "meshagent.com/rotate-requested-at";

/// On an OAuthClient that is being deleted, by a person: its own uid, to give up on a client that cannot be deleted.
pub const FORCE_RELEASE_ANNOTATION: &str = "meshagent.com/force-release";

/// On a project, by a person: replace the clients that are gone at once, up to this number, once for each new value.
pub const ACCEPT_LOSS_ANNOTATION: &str = "meshagent.com/accept-loss";

/// On a pod: whether the credential comes as variables, `env`, or as files, `file`.
pub const INJECT_AS_ANNOTATION: &str = "meshagent.com/inject-as";

/// On a pod: which values its containers get as variables, separated by commas.
pub const INJECT_KEYS_ANNOTATION: &str = "meshagent.com/inject-keys";

/// On a pod: the only containers that get the credential, separated by commas.
pub const CONTAINERS_ANNOTATION: &str = "meshagent.com/containers";

/// On a pod: the Secret with the credential, where the OAuthClient's `spec.secret.name` says so.
pub const SECRET_NAME_ANNOTATION: &str = "meshagent.com/secret-name";

/// On a pod: the data keys of that Secret, where the OAuthClient's `spec.secret.keys` says so: `clientId=ID,scopes=`.
pub const SECRET_KEYS_ANNOTATION: &str = "meshagent.com/secret-keys";

/// On a pod, by the webhook: what it was given, and which containers were: `env:app,worker`.
pub const INJECTED_ANNOTATION: &str = "meshagent.com/injected";

/// On a pod template, by the operator: the client id whose credential the pods are restarted for.
pub const CREDENTIAL_ANNOTATION: &str = "meshagent.com/credential";

/// On a pod: kept free for credentials of several OAuthClients.
pub const OAUTH_CLIENTS_ANNOTATION: &str = "meshagent.com/oauth-clients";

/// Label that Argo CD takes for a sign that an object is part of an application; refused on Secrets.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// On an OAuthClient, by a person: look at the remote client now, once for each new value.
pub const RECONCILE_REQUESTED_ANNOTATION: &str = "meshagent.com/reconcile-requested-at";

/// Flux's form of [`RECONCILE_REQUESTED_ANNOTATION`], written by `flux reconcile`.
pub const FLUX_RECONCILE_REQUESTED_ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";
