use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

impl Typical for BTreeMap<String, String> {
    const TYPICAL: &'static str = r#"{"meshagent.com/client-id":"","meshagent.com/create-token":"."}"#;
}

type Texts = BTreeMap<String, String>;

fn texts() -> impl Strategy<Value = Texts> {
    prop::collection::btree_map("\\PC{0,12}", "(meshagent\\.com/|\\PC|\u{0}){0,40}", 0..8)
}

proptest! {
    #[test]
    fn a_value_is_unpacked_as_it_was_packed(value in texts()) {
        prop_assert_eq!(Packed::new(&value).unwrap().unpack().unwrap(), value);
    }
}

/// lz4 takes larger texts in another way, and reaches back no further than 64 KiB.
#[test]
fn the_largest_annotations_are_unpacked_as_they_were_packed() {
    let random =
        |seed: u64| (0..seed).fold(seed, |random, _| random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let noise: String = (0..4000).map(|seed| format!("{:016x}", random(seed))).collect();
    let long = format!("{noise}{}{noise}", "meshagent.com/".repeat(9000));
    assert!(long.len() > 250_000);
    let value = Texts::from([("notes".to_owned(), long)]);
    assert_eq!(Packed::new(&value).unwrap().unpack().unwrap(), value);
}

#[test]
fn what_is_damaged_is_an_error() {
    let mut packed = Packed::new(&Texts::from([("name".to_owned(), "a".to_owned())])).unwrap();
    packed.bytes = packed.bytes.iter().copied().take(packed.bytes.len() / 2).collect();
    assert!(packed.unpack().is_err());
    packed.bytes = Box::default();
    assert!(matches!(packed.unpack(), Err(PackError::Decompress(_))));
}
