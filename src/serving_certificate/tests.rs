use std::time::{Duration, SystemTime};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn name(text: &str) -> ServerName<'_> {
    ServerName::try_from(text).unwrap()
}

fn names() -> Vec<String> {
    vec!["webhook.system.svc".to_owned(), "127.0.0.1".to_owned()]
}

fn pair(issued: &Issued) -> Pair {
    Pair::parse(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap()
}

#[test]
fn an_issued_certificate_verifies_from_an_hour_before_for_thirty_days_under_its_names_alone() {
    let now = SystemTime::now();
    let issued = issue(&names(), now).unwrap();
    let (pair, bundle) = (pair(&issued), Bundle::from_iter([issued.authority]));
    let verify = |names: &[&str], time| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        pair.verify(&bundle, &names, at(time))
    };
    for time in [now - Duration::from_secs(3000), now, now + 29 * DAY] {
        assert_eq!(verify(&["webhook.system.svc", "127.0.0.1"], time), Ok(()));
    }
    for time in [now - DAY, now + 31 * DAY] {
        assert!(matches!(verify(&[], time), Err(Unusable::Unverified(_))));
    }
    assert!(matches!(verify(&["other.system.svc"], now), Err(Unusable::Unverified(_))));
}

#[test]
fn no_two_authorities_are_the_same_and_neither_verifies_the_others_certificate() {
    let now = SystemTime::now();
    let (one, other) = (issue(&names(), now).unwrap(), issue(&names(), now).unwrap());
    assert_ne!(one.authority, other.authority);
    let both = Bundle::from_iter([other.authority.clone(), one.authority.clone(), other.authority.clone()]);
    assert_eq!(both.certificates().len(), 2);
    assert_eq!(pair(&one).verify(&both, &[], at(now)), Ok(()));
    let others = Bundle::from_iter([other.authority]);
    assert!(matches!(pair(&one).verify(&others, &[], at(now)), Err(Unusable::Unverified(_))));
    assert!(matches!(pair(&one).verify(&Bundle::default(), &[], at(now)), Err(Unusable::Unverified(_))));
}

#[test]
fn a_bundle_survives_pem_and_passes_over_what_is_no_certificate() {
    let now = SystemTime::now();
    let bundle = Bundle::from_iter([issue(&names(), now).unwrap().authority, issue(&names(), now).unwrap().authority]);
    let text = format!("a comment\n{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", bundle.pem());
    assert_eq!(Bundle::parse(text.as_bytes()), bundle);
    assert_eq!(Bundle::parse(b"nothing").certificates(), []);
}

#[test]
fn what_cannot_be_served_with_is_said_without_the_key() {
    let now = SystemTime::now();
    let (one, other) = (issue(&names(), now).unwrap(), issue(&names(), now).unwrap());
    let failed = |certificate: &str, key: &str| Pair::parse(certificate.as_bytes(), key.as_bytes()).unwrap_err();
    assert_eq!(failed("", &one.key), Unusable::NoCertificate);
    assert_eq!(failed(&one.certificate, "-----BEGIN PRIVATE KEY-----"), Unusable::NoKey);
    assert_eq!(failed(&one.certificate, &other.key), Unusable::OtherKey);
    let shown = format!("{:?}", pair(&one));
    let body: String = one.key.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(!shown.contains(&body[..20]), "{shown}");
}
