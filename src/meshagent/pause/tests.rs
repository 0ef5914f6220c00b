use proptest::prelude::*;

use super::*;

/// 2026-11-25 12:00:00 UTC.
fn noon() -> SystemTime {
    httpdate::parse_http_date("Wed, 25 Nov 2026 12:00:00 GMT").unwrap()
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    for (header, seconds) in [
        (None, 10),
        (Some(""), 10),
        (Some("0"), 1),
        (Some("5"), 5),
        (Some(" 5 "), 5),
        (Some("3600"), 600),
        (Some("18446744073709551615"), 600),
        (Some("18446744073709551616"), 600),
        (Some("-1"), 10),
        (Some("1.5"), 10),
        (Some("soon"), 10),
        (Some("Wed, 25 Nov 2026 12:00:30 GMT"), 30),
        (Some("Wednesday, 25-Nov-26 12:00:30 GMT"), 30),
        (Some("Wed Nov 25 12:00:30 2026"), 30),
        (Some("Wed, 25 Nov 2026 11:00:00 GMT"), 1),
        (Some("Thu, 01 Jan 1970 00:00:00 GMT"), 1),
        (Some("Fri, 31 Dec 9999 23:59:59 GMT"), 600),
        (Some("Wed, 99 Nov 2026 12:00:30 GMT"), 10),
    ] {
        assert_eq!(pause_for(header.map(str::as_bytes), noon()), Duration::from_secs(seconds), "{header:?}");
    }
    assert_eq!(pause_for(Some(b"\xff\xfe"), noon()), Duration::from_secs(10));
}

#[test]
fn a_pause_ends_by_itself() {
    let (pause, start) = (Pause::default(), Instant::now());
    assert_eq!(pause.until(start), None);
    pause.extend(start, Duration::from_secs(5));
    let end = start + Duration::from_secs(5);
    assert_eq!(pause.until(start), Some(end));
    assert_eq!(pause.until(end - Duration::from_millis(1)), Some(end));
    assert_eq!(pause.until(end), None);
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let (pause, now) = (Pause::default(), Instant::now());
    pause.extend(now, Duration::from_secs(60));
    pause.extend(now, Duration::from_secs(1));
    assert_eq!(pause.until(now), Some(now + Duration::from_secs(60)));
}

proptest! {
    #[test]
    fn any_header_gives_a_bounded_pause(header in proptest::collection::vec(any::<u8>(), 0..40)) {
        let pause = pause_for(Some(&header), noon());
        prop_assert!((1..=600).contains(&pause.as_secs()));
    }
}
