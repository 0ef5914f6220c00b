//! When two texts say the same: servers put ids, numbers and times into their words, new ones each time.

/// Whether two texts differ in ids, numbers and times at most.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one == other || essence(one) == essence(other)
}

/// The text without what changes from one answer to the next: each word that holds a digit, and each that is an id by
/// its looks, becomes the same sign.
#[must_use]
pub fn essence(text: &str) -> String {
    let mut essence = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | ',' | ';')) {
        let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
        if is_passing(word) {
            // Two in a row are one: a time is written in one word or in several.
            if !essence.ends_with('#') {
                essence.push('#');
            }
        } else {
            essence.push_str(piece);
        }
    }
    essence
}

/// The shortest hexadecimal word that is an id; shorter ones are words: `added`, `facade`.
const SHORTEST_HEX: usize = 8;
/// The shortest word of both cases that is an id; no word of a sentence is so long.
const SHORTEST_ID: usize = 24;

fn is_passing(word: &str) -> bool {
    let hex = word.len() >= SHORTEST_HEX && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let id = |part: &str| {
        let mixed = part.bytes().any(|byte| byte.is_ascii_lowercase()) && part.bytes().any(|b| b.is_ascii_uppercase());
        part.len() >= SHORTEST_ID && mixed
    };
    let ids = || word.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').any(id);
    let digits = word.chars().any(char::is_numeric);
    digits || hex || is_of_a_date(word) || ids()
}

/// The names of days and months that stand in HTTP dates.
fn is_of_a_date(word: &str) -> bool {
    const NAMES: [&str; 22] = [
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
        "Oct", "Nov", "Dec", "GMT", "UTC", "PM",
    ];
    NAMES.contains(&word) || word == "AM"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_numbers_and_times_are_no_news() {
        let same_words = [
            ("request id 1c9a7a5e-1bd5-4fd0-8d3e-0c5a9f6fd7b4", "request id e3b0c442-98fc-4c14-9afb-f4c8996fb924"),
            (r#"{"message": "no", "trace":"4bf92f3577b34da6"}"#, r#"{"message": "no", "trace":"00f067aa0ba902b7"}"#),
            ("denied at 2026-11-26T11:26:23Z (audit-id=aa)", "denied at 2026-11-26T11:36:24.5Z (audit-id=aa)"),
            ("Date: Thu, 26 Nov 2026 11:26:23 GMT", "Date: Wed, 2 Dec 2026 9:26:23 GMT"),
            ("at 9:26 AM", "at 10:05 PM"),
            ("retry in 5 seconds, please", "retry in 12 seconds, please"),
            ("ref QmFzZVNpeHR5Rm91cktleUlkWQ now", "ref TXVsdGlwbGVXb3Jkc0hlcmVBYg now"),
            ("span deadbeefcafe", "span 0123456789ab"),
            ("要求 ID 12 は拒否", "要求 ID 907 は拒否"),
        ];
        for (one, other) in same_words {
            assert!(same(one, other), "{one} / {other}: {} / {}", essence(one), essence(other));
        }
    }

    #[test]
    fn other_words_are_news() {
        let other_words = [
            ("permission denied", "permission granted"),
            ("quota exceeded in shop", "quota exceeded in shed"),
            ("the field scopes is not known", "the field redirectUris is not known"),
            ("added", "facade"),
            ("このネームスペース", "このプロジェクト"),
        ];
        for (one, other) in other_words {
            assert!(!same(one, other), "{one} / {other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_id_a_server_puts_into_its_words_they_are_the_same(
            words in "[a-z ]{0,40}", ids in "[0-9a-f]{32}|[A-Za-z0-9]{12}[0-9]|[0-9]{1,20}", other in "[0-9a-f]{32}|[0-9]{1,20}",
        ) {
            let (one, other) = (format!("{words} {ids}: no"), format!("{words} {other}: no"));
            prop_assert!(same(&one, &other), "{one} / {other}");
        }
    }
}
