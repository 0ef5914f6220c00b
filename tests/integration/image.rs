//! The content of the image, tried without a container tool: `make image` lays it out and sets IMAGE_ROOT.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use harness::{Process, Program, Workdir, free_port};
use serde_json::{Value, json};

use crate::fixture::{Fixture, LONG, OPERATOR, SYSTEM};
use crate::tls::Terminator;

/// The operator as the image's pod would run it: in the image's files, read-only, as the image's user, with the two
/// files that a kubelet adds.
fn in_chroot(root: &Path, args: &[String], log: PathBuf) -> Program {
    let root = root.display().to_string();
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec chroot --userspec=65532:65532 \"$0\" \
                  /meshagent-operator \"$@\"";
    let before = ["--mount", "sh", "-c", script, &root].map(str::to_owned);
    Program {
        name: "meshagent-operator".to_owned(),
        path: "/usr/bin/unshare".into(),
        args: before.into_iter().chain(args.iter().cloned()).collect(),
        env: Vec::new(),
        log,
        stdout: None,
    }
}

/// Clusters 7: names resolve, TLS is verified, and it does its work.
#[tokio::test]
#[ignore = "needs the image's files and root: make image"]
async fn the_image_serves_from_a_read_only_root_that_holds_nothing_else() {
    let image = PathBuf::from(env::var_os("IMAGE_ROOT").unwrap());
    let mut fixture = Fixture::own("image", &[]).await;
    fixture.stop_operator().await;
    let workdir = Workdir::create("image").unwrap();
    let root = workdir.path().join("root");
    let copied = std::process::Command::new("cp").arg("-r").arg(&image).arg(&root).status().unwrap();
    assert!(copied.success());
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost meshagent.test\n").unwrap();
    fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    let groups = ["system:serviceaccounts", "system:serviceaccounts:meshagent-system"];
    let kubeconfig =
        fs::read_to_string(fixture.control_plane.get().kubeconfig_for(OPERATOR, &groups).unwrap()).unwrap();
    // The certificate is also for this name.
    fs::write(root.join("kubeconfig"), kubeconfig.replace("https://127.0.0.1:", "https://localhost:")).unwrap();
    let port = free_port().unwrap();
    let args = [
        "run",
        "--kubeconfig=/kubeconfig",
        &format!("--http-address=127.0.0.1:{port}"),
        &format!("--namespace={SYSTEM}"),
    ];
    let args = args.map(str::to_owned);
    let process = Process::start(in_chroot(&root, &args, workdir.path().join("operator.log"))).unwrap();
    let ready = format!("http://127.0.0.1:{port}/readyz");
    process
        .eventually(LONG, "the operator is ready", async || {
            reqwest::get(&ready).await.and_then(reqwest::Response::error_for_status)
        })
        .await
        .unwrap();
    let terminator = Terminator::before(&fixture.api_url);
    let bundle: Value = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca", "namespace": SYSTEM },
        "data": { "ca.crt": terminator.ca },
    });
    fixture.apply(&bundle).await;
    let over_tls = json!({ "apiUrl": terminator.url, "caBundleRef": { "kind": "ConfigMap", "name": "ca" } });
    fixture.apply(&fixture.project_manifest(&over_tls)).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    process.terminate(LONG).await.unwrap();
}

/// Clusters 7: whoever scans an image finds in the binary what it was built from.
#[test]
#[ignore = "needs the image's files: make image"]
fn the_binary_lists_the_packages_that_it_was_built_from() {
    let binary = PathBuf::from(env::var_os("IMAGE_ROOT").unwrap()).join("meshagent-operator");
    let listed = auditable_info::audit_info_from_file(&binary, auditable_info::Limits::default()).unwrap();
    let listed: BTreeSet<(String, String)> =
        listed.packages.into_iter().map(|package| (package.name, package.version.to_string())).collect();
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let value = |line: &str, field: &str| Some(line.strip_prefix(field)?.trim_matches('"').to_owned());
    let named = |block: &str| {
        let names = block.lines().find_map(|line| value(line, "name = "));
        Some((names?, block.lines().find_map(|line| value(line, "version = "))?))
    };
    let locked: BTreeSet<_> = lock.split("[[package]]").filter_map(named).collect();
    assert!(listed.len() > 100 && listed.is_subset(&locked), "{:?}", listed.difference(&locked));
    for name in ["kube-client", "reqwest", "rustls", "tokio"] {
        assert!(listed.iter().any(|(listed, _)| listed == name), "{name} is not listed");
    }
}

#[test]
fn the_image_is_built_by_the_version_that_the_tests_were_run_with() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap();
    assert!(read("Dockerfile").contains(&format!("RUST_IMAGE=rust:{version}-bookworm")), "{version}");
    let chart: Value = serde_saphyr::from_str(&read("charts/meshagent-operator/Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"), "the chart installs another version");
}
