//! The flags of `run` as they were typed, each also an environment variable.

use std::ffi::OsString;

use super::ProcessFlags;

/// Raw flags; [`super::Config::read`] makes sense of them. The comments are what `--help` prints.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// How often each project is compared whole with what is declared, like 30s, 10m or 1h
    #[arg(
        long,
        value_name = "DURATION",
        env = "MESHAGENT_OPERATOR_RESYNC_INTERVAL",
        hide_env_values = true,
        default_value = "10m"
    )]
    pub resync_interval: String,

    /// Names this cluster in the marker of each client; must differ between clusters and never change [default: the uid
    /// of the namespace kube-system]
    #[arg(long, value_name = "ID", env = "MESHAGENT_OPERATOR_CLUSTER_ID", hide_env_values = true)]
    pub cluster_id: Option<String>,

    /// What becomes of a client whose OAuthClient is deleted and does not say: Delete or Retain
    #[arg(
        long,
        value_name = "POLICY",
        env = "MESHAGENT_OPERATOR_DEFAULT_DELETION_POLICY",
        hide_env_values = true,
        default_value = "Delete"
    )]
    pub default_deletion_policy: String,

    /// Look at these namespaces only, separated by commas [default: all]
    #[arg(long, value_name = "NAMESPACES", env = "MESHAGENT_OPERATOR_WATCH_NAMESPACES", hide_env_values = true)]
    pub watch_namespaces: Option<String>,

    /// Apply, whenever a replica begins to lead, a ClusterMeshAgentProject called default, for all namespaces, whose API key
    /// is in this Secret of the operator's own namespace: its name and the data key, like meshagent-api-key/apiKey; never
    /// over fields that somebody else has set [default: none]
    #[arg(long, value_name = "NAME/KEY", env = "MESHAGENT_OPERATOR_DEFAULT_PROJECT_SECRET", hide_env_values = true)]
    pub default_project_secret: Option<String>,

    /// Keep the certificate of this webhook: the MutatingWebhookConfiguration that is to trust it, and the Secret of the
    /// operator's own namespace that the webhook's replicas mount, like
    /// meshagent-operator/meshagent-operator-webhook-certificate [default: none]
    #[arg(long, value_name = "CONFIGURATION/SECRET", env = "MESHAGENT_OPERATOR_WEBHOOK", hide_env_values = true)]
    pub webhook: Option<String>,

    /// Servers that a MeshAgentProject may name in apiUrl, separated by commas: host or host:port for https,
    /// http://host:port for a simulator; a ClusterMeshAgentProject may name any
    #[arg(
        long,
        value_name = "HOSTS",
        env = "MESHAGENT_OPERATOR_ALLOWED_API_HOSTS",
        hide_env_values = true,
        default_value = Self::DEFAULT_API_HOST
    )]
    pub allowed_api_hosts: String,

    /// How many OAuthClients are worked on at a time; those of one project have three quarters of it at most
    #[arg(
        long,
        value_name = "NUMBER",
        env = "MESHAGENT_OPERATOR_MAX_CONCURRENT",
        hide_env_values = true,
        default_value = "32"
    )]
    pub max_concurrent: String,

    /// The operator's own namespace, where the key Secrets of ClusterMeshAgentProjects are [default: the pod's, or that
    /// of the kubeconfig's context]
    #[arg(long, value_name = "NAMESPACE", env = "MESHAGENT_OPERATOR_NAMESPACE", hide_env_values = true)]
    pub namespace: Option<String>,

    /// Whether replicas elect one of them to work, by a Lease in the operator's own namespace: true or false
    #[arg(
        long,
        value_name = "BOOLEAN",
        env = "MESHAGENT_OPERATOR_LEADER_ELECT",
        hide_env_values = true,
        default_value = "true"
    )]
    pub leader_elect: String,

    /// How long a leader that has vanished is waited for; one that cannot renew its Lease stops after two thirds of it
    #[arg(
        long,
        value_name = "DURATION",
        env = "MESHAGENT_OPERATOR_LEASE_DURATION",
        hide_env_values = true,
        default_value = "15s"
    )]
    pub lease_duration: String,

    /// A kubeconfig file [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE", env = "MESHAGENT_OPERATOR_KUBECONFIG", hide_env_values = true)]
    pub kubeconfig: Option<OsString>,

    #[command(flatten)]
    pub process: ProcessFlags,
}

impl Flags {
    /// The server that MeshAgentProjects may name unless the flag says otherwise.
    pub(super) const DEFAULT_API_HOST: &str = "api.meshagent.com";
}
