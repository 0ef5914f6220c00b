use std::io::Write as _;

use super::*;

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: mine}}]
clusters: [{name: here, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: me, user: {}}]
";

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn the_file_that_is_given_says_where_the_cluster_is() {
    let file = file(KUBECONFIG);
    let config = cluster(Some(file.path()), &Environment::default()).await.unwrap();
    assert_eq!(config.cluster_url, "http://127.0.0.1:1");
    assert_eq!(config.default_namespace, "mine");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_flag() {
    let error = cluster(Some(Path::new("/nowhere/config")), &Environment::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kubeconfig /nowhere/config cannot be used; set --kubeconfig to another file, or leave it out"
    );
}

fn environment(https_proxy: &str, no_proxy: &str) -> Environment {
    Environment::read(|name| match name {
        "HTTPS_PROXY" => Some(https_proxy.to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    })
}

/// F7.
#[tokio::test]
async fn the_proxy_is_the_kubeconfigs_or_else_the_one_that_the_environment_has_for_the_cluster() {
    let remote = KUBECONFIG.replace("http://127.0.0.1:1", "https://cluster.example:6443");
    let declared = remote.replace("server:", "proxy-url: 'http://u:p@own.example:3128', server:");
    let (socks, empty) =
        (declared.replace("http://u:p@", "socks5://"), remote.replace("server:", "proxy-url: '', server:"));
    let from = |https_proxy, no_proxy| environment(https_proxy, no_proxy);
    for (kubeconfig, environment, expected) in [
        (KUBECONFIG, from("http://proxy.example:3128", ""), None),
        (&remote, from("", ""), None),
        (&remote, from("proxy.example:3128", ""), Some("http://proxy.example:3128/")),
        (&remote, from("http://proxy.example:3128", "proxy.example"), Some("http://proxy.example:3128/")),
        (&remote, from("http://proxy.example:3128", "cluster.example"), None),
        (&empty, from("http://proxy.example:3128", ".example,"), None),
        (&declared, from("http://proxy.example:3128", "*"), Some("http://u:p@own.example:3128/")),
        (&socks, from("", ""), Some("socks5://own.example:3128/")),
    ] {
        let file = file(kubeconfig);
        let config = cluster(Some(file.path()), &environment).await.unwrap();
        assert_eq!(config.proxy_url.map(|url| url.to_string()).as_deref(), expected, "{kubeconfig}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named_by_where_it_stands() {
    let declared = KUBECONFIG.replace("server:", "proxy-url: 'ftp://hunter2', server:");
    let remote = KUBECONFIG.replace("http://127.0.0.1:1", "https://cluster.example:6443");
    for (kubeconfig, place) in [(declared, "proxy-url in the kubeconfig"), (remote, "HTTPS_PROXY")] {
        let file = file(&kubeconfig);
        let error = cluster(Some(file.path()), &environment("ftp://hunter2", "")).await.unwrap_err();
        let Error::Proxy(cause) = error else { panic!("{error}") };
        assert!(cause.to_string().starts_with(&format!("{place} is not the address of a proxy")), "{cause}");
    }
}

#[test]
fn every_call_has_a_deadline() {
    let config = within(&Config::new("http://127.0.0.1:1".parse().unwrap()), REQUEST_SILENCE);
    assert_eq!(
        (config.connect_timeout, config.read_timeout, config.write_timeout),
        (Some(CONNECT), Some(REQUEST_SILENCE), Some(WRITE))
    );
}

/// kube repeats 503 and 504 up to 15 times, a create included, unless it is told not to.
#[tokio::test]
async fn a_request_is_sent_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (counted, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let unavailable = move || {
        counted.send(()).unwrap();
        async { axum::http::StatusCode::SERVICE_UNAVAILABLE }
    };
    let server = tokio::spawn(async move {
        let routes = axum::Router::new().fallback(unavailable);
        axum::serve(listener, routes).await
    });
    let config = Config::new(format!("http://{address}").parse().unwrap());
    // Another test of this process may have come first.
    drop(crate::cli::install_crypto_provider());
    let error =
        requests(&config, &Leadership::always(), &Clock::new(drop)).unwrap().apiserver_version().await.unwrap_err();
    server.abort();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 503));
    asked.try_recv().unwrap();
    asked.try_recv().unwrap_err();
}
