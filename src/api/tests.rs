#[test]
fn dump() {
    let mut out = Vec::new();
    crate::cli::crds::run(&mut out).unwrap();
    std::fs::write("crds/meshagent.com.yaml", out).unwrap();
}
