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
    let config = cluster(Some(file.path())).await.unwrap();
    assert_eq!(config.cluster_url, "http://127.0.0.1:1");
    assert_eq!(config.default_namespace, "mine");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_flag() {
    let error = cluster(Some(Path::new("/nowhere/config"))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kubeconfig /nowhere/config cannot be used; set --kubeconfig to another file, or leave it out"
    );
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
    let error = requests(&config, &Leadership::always()).unwrap().apiserver_version().await.unwrap_err();
    server.abort();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 503));
    asked.try_recv().unwrap();
    asked.try_recv().unwrap_err();
}
