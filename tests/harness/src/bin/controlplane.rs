//! Prints the directory that holds etcd, kube-apiserver, kube-controller-manager, kubectl, kstatus and signin, and builds
//! them first if this machine never did.

fn main() -> harness::Result<()> {
    println!("{}", harness::built_directory()?.display());
    Ok(())
}
