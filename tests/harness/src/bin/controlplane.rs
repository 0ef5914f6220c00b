//! Prints the directory that holds etcd, kube-apiserver, kube-controller-manager, kubectl, kstatus and signin, and builds
//! them first if this machine never did; and where the tools are that are named.

use std::env;

fn main() -> harness::Result<()> {
    println!("{}", harness::built_directory()?.display());
    for name in env::args().skip(1) {
        println!("{}", harness::tool(&name)?.display());
    }
    Ok(())
}
