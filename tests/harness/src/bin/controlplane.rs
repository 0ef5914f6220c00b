//! Prints the directory that holds etcd, Kubernetes' control plane, kwok, kubectl, kstatus and signin, which it builds first
//! if this machine never did; then the path of each tool that the arguments name.

use std::env;

fn main() -> harness::Result<()> {
    println!("{}", harness::built_directory()?.display());
    for name in env::args().skip(1) {
        println!("{}", harness::tool(&name)?.display());
    }
    Ok(())
}
