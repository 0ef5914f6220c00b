//! The comparison of what a document shows with what a command printed.

use std::collections::BTreeMap;

/// The ids that a document shows, each with the printed id that it stands for, the same throughout.
pub type Known = BTreeMap<String, String>;

/// The length of a UUID as text.
const UUID: usize = 36;

/// Whether `printed` is what the document shows; then `known` holds its ids too.
///
/// `…` is any text within a line, a line of `...` alone is any lines, a UUID is the UUID that it was when the document
/// first showed it, and any white space is as good as any other.
#[must_use]
pub fn compare(shown: &[String], printed: &str, known: &mut Known) -> bool {
    let shown: Vec<String> = shown.iter().map(|line| even(line)).collect();
    let printed: Vec<String> = printed.trim_end().lines().map(even).collect();
    match lines(&shown, &printed, known) {
        Some(found) => {
            *known = found;
            true
        }
        None => false,
    }
}

/// The line with one space for each run of white space: columns are as wide as what is in them.
fn even(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lines(shown: &[String], printed: &[String], known: &Known) -> Option<Known> {
    match shown.split_first() {
        None => printed.is_empty().then(|| known.clone()),
        Some((any, rest)) if any == "..." => {
            (0..=printed.len()).find_map(|skipped| lines(rest, &printed[skipped..], known))
        }
        Some((first, rest)) => {
            let (line_printed, printed) = printed.split_first()?;
            let known = line(first, line_printed, known)?;
            lines(rest, printed, &known)
        }
    }
}

fn line(shown: &str, printed: &str, known: &Known) -> Option<Known> {
    if let Some(rest) = shown.strip_prefix('…') {
        let ends = printed.char_indices().map(|(end, _)| end).chain([printed.len()]);
        return ends.map(|end| &printed[end..]).find_map(|printed| line(rest, printed, known));
    }
    if let Some((id, rest)) = leading_uuid(shown) {
        let (meant, printed) = leading_uuid(printed)?;
        return line(rest, printed, &also(known, id, meant)?);
    }
    let Some(first) = shown.chars().next() else {
        return printed.is_empty().then(|| known.clone());
    };
    line(&shown[first.len_utf8()..], printed.strip_prefix(first)?, known)
}

/// `known` with one id more, unless that contradicts it.
fn also(known: &Known, id: &str, meant: &str) -> Option<Known> {
    let taken = known.iter().any(|(other, of_other)| (other == id) != (of_other == meant));
    (!taken).then(|| known.iter().map(|(a, b)| (a.as_str(), b.as_str())).chain([(id, meant)]).map(owned).collect())
}

fn owned((id, meant): (&str, &str)) -> (String, String) {
    (id.to_owned(), meant.to_owned())
}

fn leading_uuid(text: &str) -> Option<(&str, &str)> {
    let (id, rest) = text.split_at_checked(UUID)?;
    let fits = |(index, character): (usize, char)| match index {
        8 | 13 | 18 | 23 => character == '-',
        _ => character.is_ascii_hexdigit(),
    };
    id.char_indices().all(fits).then_some((id, rest))
}
