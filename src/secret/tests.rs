use proptest::prelude::*;

use super::*;

const PROJECT: &str = "6f1c9be5-0f6e-4f9f-bfbe-fb00112233ff";

fn compact(id: &str) -> String {
    let bytes = uuid::Uuid::parse_str(id).unwrap();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes.as_bytes()).replace('-', ".")
}

fn key(secret: &str) -> ApiKey {
    let id = compact("00000000-0000-4000-8000-000000000001");
    ApiKey::new(format!("ma-{id}-{}-{secret}", compact(PROJECT))).unwrap()
}

#[test]
fn the_project_id_is_read_off_a_key() {
    assert_eq!(key("abc").project_id().as_deref(), Some(PROJECT));
}

#[test]
fn the_secret_of_a_key_may_hold_hyphens() {
    assert_eq!(key("a-b--c-").project_id().as_deref(), Some(PROJECT));
}

#[test]
fn a_known_key_gives_a_known_project() {
    // All bits set: `_` and `-` (written `.`) are the characters that other alphabets spell differently.
    let key = ApiKey::new("ma-AAAAAAAAAAAAAAAAAAAAAA-..........___________w-s").unwrap();
    assert_eq!(key.project_id().as_deref(), Some("fbefbefb-efbe-fbef-ffff-ffffffffffff"));
}

#[test]
fn spare_bits_are_ignored_as_other_decoders_do() {
    let key = ApiKey::new("ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAB-s").unwrap();
    assert_eq!(key.project_id().as_deref(), Some("00000000-0000-0000-0000-000000000000"));
}

#[test]
fn keys_of_another_form_name_no_project() {
    let id = compact(PROJECT);
    for text in [
        "eyJhbGciOi.J9.e30".to_owned(),
        "ma-".to_owned(),
        format!("ma-{id}-{id}"),
        format!("ma-{id}-{id}-"),
        format!("mb-{id}-{id}-secret"),
        format!("ma-short-{id}-secret"),
        format!("ma-{id}-{id}=-secret"),
        format!("ma-{id}-{id}AAAA-secret"),
        format!("ma-{id}-{PROJECT}-secret"),
    ] {
        assert_eq!(ApiKey::new(&text).unwrap().project_id(), None, "{text}");
    }
}

#[test]
fn trailing_white_space_is_trimmed() {
    assert_eq!(ApiKey::new("key \r\n\n").unwrap().expose(), "key");
    assert_eq!(ClientSecret::new(b"secret\t\n").unwrap().expose(), "secret");
}

#[test]
fn values_that_cannot_be_sent_are_refused() {
    for (value, error) in [
        (&b""[..], SecretValueError::Empty),
        (b" \n", SecretValueError::Empty),
        (b"a\nb", SecretValueError::ControlCharacter),
        (b"a\0b", SecretValueError::ControlCharacter),
        (b"a\x7fb", SecretValueError::ControlCharacter),
        ("schlüssel".as_bytes(), SecretValueError::NotAscii),
        (b"\xff\xfe", SecretValueError::Utf16),
        (b"\xff\xfd", SecretValueError::NotAscii),
    ] {
        assert_eq!(ApiKey::new(value).unwrap_err(), error);
        assert_eq!(ClientSecret::new(value).unwrap_err(), error);
    }
}

#[test]
fn debug_and_errors_do_not_show_the_value() {
    assert_eq!(format!("{:?}", ApiKey::new("hunter2").unwrap()), "ApiKey([redacted])");
    assert_eq!(format!("{:?}", ClientSecret::new("hunter2").unwrap()), "ClientSecret([redacted])");
    let error = serde_json::from_str::<ClientSecret>("\"hunter2\\nhunter3\"").unwrap_err();
    assert!(!error.to_string().contains("hunter"), "a deserialisation error shows the value");
}

#[test]
fn values_are_compared_whole() {
    assert_eq!(ApiKey::new("a\n").unwrap(), ApiKey::new("a").unwrap());
    assert_ne!(ApiKey::new("a").unwrap(), ApiKey::new("ab").unwrap());
    assert_ne!(ClientSecret::new("a").unwrap(), ClientSecret::new("ab").unwrap());
}

#[test]
fn the_digest_is_the_documented_one() {
    // printf '\0\0\0\0\0\0\0\1u\0\0\0\0\0\0\0\1c\0\0\0\0\0\0\0\1s' | sha256sum
    let expected = "db02b6f1445458dcc592e28e72344f923993a0658d60b5ab0cc5fa5c5b5def99";
    assert_eq!(digest("u", "c", &ClientSecret::new("s").unwrap()), expected);
}

proptest! {
    #[test]
    fn moving_a_character_between_parts_changes_the_digest(a in "[a-z]{1,8}", b in "[a-z]{1,8}", s in "[a-z]{1,8}") {
        let secret = ClientSecret::new(&s).unwrap();
        let (head, tail) = a.split_at(a.len() - 1);
        prop_assert_ne!(digest(&a, &b, &secret), digest(head, &format!("{tail}{b}"), &secret));
    }

    #[test]
    fn any_project_is_read_back(id in any::<u128>(), secret in "[A-Za-z0-9_-]{1,40}") {
        let id = uuid::Uuid::from_u128(id).hyphenated().to_string();
        let key = ApiKey::new(format!("ma-{}-{}-{secret}", compact(&id), compact(&id))).unwrap();
        prop_assert_eq!(key.project_id(), Some(id));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(key) = ApiKey::new(&bytes) {
            key.project_id();
        }
    }
}

/// F19.
#[test]
fn a_key_that_was_stored_wrongly_is_refused_with_what_is_wrong() {
    use SecretValueError as E;
    let key = key("hunter2-hunter2");
    let key = key.expose();
    let encoded = base64::engine::general_purpose::STANDARD.encode(key);
    let with_line_end = base64::engine::general_purpose::STANDARD.encode(format!("{key}\n"));
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(key.bytes().flat_map(|byte| [byte, 0])).collect();
    assert_eq!(ApiKey::new(&utf16), Err(E::Utf16));
    for (value, error) in [
        (format!(" {key}"), E::LeadingSpace),
        (format!("\n{key}\n"), E::LeadingSpace),
        (format!("\"{key}\""), E::Quoted),
        (format!("'{key}'\n"), E::Quoted),
        (format!("\"{key}"), E::NoKey),
        (format!("Bearer {key}"), E::Scheme),
        (format!("bearer  {key}"), E::Scheme),
        (format!("{key} {key}"), E::NoKey),
        (format!("<{key}>"), E::NoKey),
        ("${MESHAGENT_API_KEY}".to_owned(), E::NoKey),
        (format!("{{\"apiKey\": \"{key}\"}}"), E::Json),
        (format!("{{\n  \"apiKey\": \"{key}\"\n}}\n"), E::Json),
        (format!("MESHAGENT_API_KEY={key}"), E::Assignment),
        (format!("export MESHAGENT_API_KEY=\"{key}\""), E::Assignment),
        (format!("MESHAGENT_API_KEY={key}\nOTHER=1\n"), E::Assignment),
        (format!("apiKey: {key}"), E::Assignment),
        (format!("\u{feff}{key}"), E::NotAscii),
        (encoded.clone(), E::EncodedTwice),
        (encoded.trim_end_matches('=').to_owned(), E::EncodedTwice),
        (with_line_end, E::EncodedTwice),
    ] {
        let refused = ApiKey::new(&value).unwrap_err();
        assert_eq!(refused, error, "{value}");
        assert!(!refused.to_string().contains("hunter2") && !refused.to_string().contains("ma-"), "{refused}");
    }
}

#[test]
fn keys_of_every_form_that_a_server_may_give_out_are_taken() {
    for value in
        ["ma-x", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "dG9rZW4=", "a+b/c==", "token=", "key", "a~b.c_d-e", "user:pass"]
    {
        assert_eq!(ApiKey::new(format!("{value}\n")).unwrap().expose(), value);
    }
}

#[test]
fn a_client_secret_stored_by_hand_is_checked_for_slips_but_may_hold_any_characters() {
    use SecretValueError as E;
    for (value, error) in [
        (" s3", E::LeadingSpace),
        ("\"s3\"", E::Quoted),
        ("MESHAGENT_OAUTH_CLIENT_SECRET=s3", E::Assignment),
        ("client_secret: s3", E::Assignment),
        ("{\"client_secret\": \"s3\"}", E::Json),
        ("a\nb", E::ControlCharacter),
    ] {
        assert_eq!(ClientSecret::stored_by_hand(value), Err(error), "{value}");
    }
    for value in ["s3", "a=b", "a b", "\"ab", "{ab", "secret==", "x<y>$z", "Bearer"] {
        assert_eq!(ClientSecret::stored_by_hand(value).unwrap().expose(), value);
    }
    assert_eq!(ClientSecret::new("\"as MeshAgent answered it\"").unwrap().expose(), "\"as MeshAgent answered it\"");
}
