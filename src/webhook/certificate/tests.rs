use std::time::SystemTime;

use super::*;
use crate::serving_certificate::{Issued, issue};

fn issued() -> Issued {
    issue(&["webhook.system.svc".to_owned()], SystemTime::now()).unwrap()
}

fn mounted(folder: &tempfile::TempDir) -> Mounted {
    Mounted { folder: folder.path().to_owned(), served: Arc::default() }
}

fn write(folder: &tempfile::TempDir, files: &[(&str, &str)]) {
    for (file, text) in files {
        fs::write(folder.path().join(file), text).unwrap();
    }
}

fn bundle(of: &[&Issued]) -> String {
    of.iter().map(|issued| issued.authority.clone()).collect::<Bundle>().pem()
}

fn serves(mounted: &Mounted, issued: &Issued) -> bool {
    let wanted = Pair::parse(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
    mounted.served.get().is_some_and(|served| served.is(&wanted))
}

#[test]
fn a_certificate_is_swapped_and_a_broken_one_is_not_taken_up() {
    let (folder, one, other) = (tempfile::tempdir().unwrap(), issued(), issued());
    let mounted = mounted(&folder);
    let look = || mounted.look(UnixTime::now());
    assert!(look().unwrap_err().contains("ca.crt is not there yet"));
    write(&folder, &[("tls.crt", &one.certificate), ("tls.key", &one.key), ("ca.crt", &bundle(&[&one]))]);
    assert_eq!(look(), Ok(()));
    assert!(serves(&mounted, &one));
    // The kubelet is half way: key and certificate do not belong together, and the former pair still verifies.
    write(&folder, &[("ca.crt", &bundle(&[&other, &one])), ("tls.crt", &other.certificate)]);
    assert_eq!(look(), Ok(()));
    assert!(serves(&mounted, &one));
    write(&folder, &[("tls.key", &other.key)]);
    assert_eq!(look(), Ok(()));
    assert!(serves(&mounted, &other));
}

#[test]
fn a_certificate_that_the_bundle_beside_it_does_not_verify_is_not_ready() {
    let (folder, one, other) = (tempfile::tempdir().unwrap(), issued(), issued());
    let mounted = mounted(&folder);
    write(&folder, &[("tls.crt", &one.certificate), ("tls.key", &one.key), ("ca.crt", &bundle(&[&other]))]);
    assert!(mounted.look(UnixTime::now()).unwrap_err().starts_with("the certificate does not verify"));
    assert!(!serves(&mounted, &one));
    // And neither is one that was served, once its authority is gone from the bundle, or its time has passed.
    write(&folder, &[("ca.crt", &bundle(&[&one]))]);
    assert_eq!(mounted.look(UnixTime::now()), Ok(()));
    let in_a_year = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + 365 * 24 * 60 * 60));
    assert!(mounted.look(in_a_year).is_err());
    write(&folder, &[("ca.crt", &bundle(&[&other]))]);
    assert!(mounted.look(UnixTime::now()).is_err());
}
