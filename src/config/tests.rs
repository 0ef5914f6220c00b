use clap::{Args as _, Command, FromArgMatches as _};

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::webhook::{WebhookConfig, WebhookFlags};
use super::*;
use crate::decide::inject::{Defaults, Form};

fn flags(arguments: &[&str]) -> Flags {
    let command = Flags::augment_args(Command::new("run").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
}

fn read(arguments: &[&str]) -> Result<Config, ConfigError> {
    Config::read(&flags(arguments))
}

fn defaults() -> Config {
    Config {
        resync_interval: Duration::from_secs(600),
        cluster_id: None,
        default_deletion_policy: Policy::Delete,
        watch_namespaces: vec![],
        default_project_secret: None,
        webhook: None,
        allowed_api_hosts: "api.meshagent.com".parse().unwrap(),
        max_concurrent: 32,
        namespace: None,
        leader_elect: true,
        lease_duration: Duration::from_secs(15),
        kubeconfig: None,
        process: ProcessConfig {
            http_address: SocketAddr::from(([0, 0, 0, 0], 8080)),
            log_format: LogFormat::Text,
            log_level: Targets::new().with_default(LevelFilter::INFO),
        },
    }
}

#[test]
fn without_flags_all_is_at_its_default() {
    assert_eq!(read(&[]), Ok(defaults()));
}

#[test]
fn each_flag_is_read() {
    let read = read(&[
        "--resync-interval=90s",
        "--cluster-id=arn:aws:eks:eu-1:1:cluster/a",
        "--default-deletion-policy=Retain",
        "--watch-namespaces=shop, billing,shop",
        "--default-project-secret=meshagent-api-key/apiKey",
        "--webhook=meshagent-operator/certificate",
        "--allowed-api-hosts=api.example.com:8443, http://127.0.0.1:8080",
        "--max-concurrent=1",
        "--namespace=meshagent",
        "--leader-elect=false",
        "--lease-duration=1m",
        "--http-address=[::1]:0",
        "--kubeconfig=/etc/kubeconfig",
        "--log-format=json",
        "--log-level=warn,kube_runtime=debug",
    ]);
    let wanted = Config {
        resync_interval: Duration::from_secs(90),
        cluster_id: Some(ClusterId::new("arn:aws:eks:eu-1:1:cluster/a")),
        default_deletion_policy: Policy::Retain,
        watch_namespaces: vec!["billing".to_owned(), "shop".to_owned()],
        default_project_secret: Some(KeySecret { name: "meshagent-api-key".to_owned(), key: "apiKey".to_owned() }),
        webhook: Some(WebhookNames {
            configuration: "meshagent-operator".to_owned(),
            secret: "certificate".to_owned(),
        }),
        allowed_api_hosts: "http://127.0.0.1:8080,https://api.example.com:8443".parse().unwrap(),
        max_concurrent: 1,
        namespace: Some("meshagent".to_owned()),
        leader_elect: false,
        lease_duration: Duration::from_secs(60),
        kubeconfig: Some(PathBuf::from("/etc/kubeconfig")),
        process: ProcessConfig {
            http_address: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0)),
            log_format: LogFormat::Json,
            log_level: Targets::new().with_default(LevelFilter::WARN).with_target("kube_runtime", LevelFilter::DEBUG),
        },
    };
    assert_eq!(read, Ok(wanted));
}

#[test]
fn an_optional_flag_that_is_empty_counts_as_absent() {
    let read = read(&[
        "--cluster-id=",
        "--watch-namespaces= ",
        "--default-project-secret=",
        "--webhook=",
        "--allowed-api-hosts=",
        "--namespace=",
        "--kubeconfig=",
    ]);
    assert_eq!(read, Ok(defaults()));
}

#[test]
fn a_module_alone_keeps_the_rest_at_info() {
    let level = read(&["--log-level=kube_runtime=debug"]).unwrap().process.log_level;
    assert_eq!(level.default_level(), Some(LevelFilter::INFO));
}

#[test]
fn each_value_that_cannot_be_used_is_refused_by_its_flag() {
    let too_long = "x".repeat(129);
    let long_name = "x".repeat(64);
    let refused: &[(&str, &[&str])] = &[
        ("resync-interval", &["", "0s", "10", "10 m", "1h30m", "4000d", "-1s"]),
        ("cluster-id", &["two words", "ümlaut", "a\nb", &too_long]),
        ("watch-namespaces", &["a,,b", ",", "Shop", "a;b", "shop,-b", &long_name]),
        ("webhook", &["name", "/name", "name/", "a/b/c", "Name/a", "a b/c"]),
        (
            "default-project-secret",
            &["key", "/key", "key/", "a/b/c", "Key/a", "a b/c", "a/b c", "a,b/c", "a./b", "-a/b", "a/..b"],
        ),
        ("allowed-api-hosts", &["a,,b", "*.meshagent.com", "a/b", "https://a/", "ftp://a", "u@a", "http://a:*"]),
        ("max-concurrent", &["", "0", "1001", "-1", "many", "99999"]),
        ("namespace", &["a,b", "UPPER", "-a", "a-", "a.b", &long_name]),
        ("leader-elect", &["", "yes", "TRUE", "1"]),
        ("lease-duration", &["", "0s", "500ms", "15", "2h", "-1s"]),
        ("http-address", &["", "8080", ":8080", "localhost:8080", "0.0.0.0", "0.0.0.0:99999"]),
        ("log-format", &["", "yaml", "JSON"]),
        ("log-level", &["", "inof", "info,", "info,kube", "kube=loud", "=debug", "a b=info", "3"]),
    ];
    for (flag, values) in refused {
        for value in *values {
            let error = read(&[&format!("--{flag}={value}")]).unwrap_err();
            assert_eq!(error.flag, *flag, "{value:?}");
        }
    }
}

#[test]
fn an_error_names_flag_and_variable_and_value_and_fix() {
    let error = read(&["--resync-interval=10 minutes"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--resync-interval (or MESHAGENT_OPERATOR_RESYNC_INTERVAL) is \"10 minutes\", which is not one whole number \
         with a unit; write it like 30s, 15m, 12h or 90d"
    );
}

#[test]
fn each_flag_is_also_the_environment_variable_of_its_name() {
    let (run, webhook) =
        (Flags::augment_args(Command::new("run")), WebhookFlags::augment_args(Command::new("webhook")));
    let pairs: Vec<_> = run
        .get_arguments()
        .chain(webhook.get_arguments())
        .map(|argument| {
            let flag = argument.get_long().unwrap();
            (variable(flag), argument.get_env().unwrap().to_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(pairs.len(), 15 + 7);
    for (wanted, is) in pairs {
        assert_eq!(is, wanted);
    }
}

fn read_webhook_flags(arguments: &[&str]) -> Result<WebhookConfig, ConfigError> {
    let command = WebhookFlags::augment_args(Command::new("webhook").no_binary_name(true));
    WebhookConfig::read(&WebhookFlags::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap())
}

#[test]
fn each_flag_of_the_webhook_is_read() {
    let read = read_webhook_flags(&[
        "--https-address=127.0.0.1:8443",
        "--http-address=[::1]:0",
        "--certificates=/etc/certificates",
        "--inject-as=file",
        "--skip-containers=istio-proxy, linkerd-proxy",
        "--log-format=json",
        "--log-level=debug",
    ]);
    let wanted = WebhookConfig {
        https_address: SocketAddr::from(([127, 0, 0, 1], 8443)),
        certificates: PathBuf::from("/etc/certificates"),
        injection: Defaults {
            form: Form::File,
            skip_containers: ["istio-proxy", "linkerd-proxy"].map(str::to_owned).into(),
        },
        process: ProcessConfig {
            http_address: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0)),
            log_format: LogFormat::Json,
            log_level: Targets::new().with_default(LevelFilter::DEBUG),
        },
    };
    assert_eq!(read, Ok(wanted));
    let defaults = read_webhook_flags(&["--skip-containers="]).unwrap();
    assert_eq!(defaults.injection, Defaults { form: Form::Env, skip_containers: BTreeSet::new() });
}

#[test]
fn each_flag_of_the_webhook_that_cannot_be_used_is_refused_by_its_name() {
    for (flag, value) in [
        ("https-address", "10250"),
        ("http-address", "localhost:80"),
        ("inject-as", "files"),
        ("skip-containers", "Istio"),
        ("log-format", "yaml"),
        ("log-level", "loud"),
    ] {
        assert_eq!(read_webhook_flags(&[&format!("--{flag}={value}")]).unwrap_err().flag, flag);
    }
}
