use std::convert::identity;

use proptest::prelude::*;

use super::*;

fn numbered(numbers: impl IntoIterator<Item = usize>) -> Vec<Client> {
    numbers.into_iter().map(|n| Client { client_id: n.to_string(), ..Client::default() }).collect()
}

/// Reads all that `server` gives by offset. Returns the number of pages and the clients, or how it ended otherwise.
fn read(mut server: impl FnMut(usize) -> Page) -> Result<(usize, Vec<Client>), Next> {
    let (mut listing, mut offset) = (Listing::default(), 0);
    for pages in 1.. {
        match listing.absorb(server(offset), 1_000, identity) {
            Next::Ask(next) => offset = next.offset,
            Next::Done => return Ok((pages, listing.into_clients())),
            end @ (Next::TooManyPages(_) | Next::TooManyBytes | Next::TooLargeAlone(_)) => return Err(end),
        }
    }
    unreachable!("the range has no end")
}

/// A server of `count` clients that gives `size` at a time and claims `total`.
fn server(count: usize, size: usize, total: Option<u64>) -> impl FnMut(usize) -> Page {
    move |offset| Page { clients: numbered(offset.min(count)..(offset + size).min(count)), total }
}

#[test]
fn a_thousand_clients_are_ten_pages_when_total_is_honest() {
    assert_eq!(read(server(1_000, PAGE_SIZE, Some(1_000))), Ok((10, numbered(0..1_000))));
}

#[test]
fn an_honest_total_never_costs_an_extra_page() {
    for (count, pages) in [(0, 1), (1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3)] {
        assert_eq!(read(server(count, PAGE_SIZE, Some(count as u64))), Ok((pages, numbered(0..count))));
    }
}

#[test]
fn without_total_an_empty_page_ends_it() {
    for (count, pages) in [(0, 1), (99, 2), (100, 2), (101, 3)] {
        assert_eq!(read(server(count, PAGE_SIZE, None)), Ok((pages, numbered(0..count))));
    }
}

#[test]
fn a_capped_count_only_means_more_pages() {
    assert_eq!(read(server(95, 10, Some(95))), Ok((10, numbered(0..95))));
    assert_eq!(read(server(95, 10, None)), Ok((11, numbered(0..95))));
}

#[test]
fn a_total_that_lies_hides_nothing_and_ends() {
    for total in [0, 1, 99, 150, 251, 100_000, u64::MAX] {
        let (_, clients) = read(server(250, PAGE_SIZE, Some(total))).unwrap();
        assert_eq!(clients, numbered(0..250), "{total}");
    }
}

#[test]
fn a_server_that_ignores_the_offset_ends() {
    for total in [None, Some(5_000)] {
        assert_eq!(read(|_| Page { clients: numbered(0..100), total }), Ok((3, numbered(0..100))));
    }
}

#[test]
fn a_page_that_repeats_once_hides_nothing_behind_it() {
    let mut calls = 0;
    let repeating = |_| {
        calls += 1;
        let clients = [numbered(0..100), numbered(0..100), numbered(100..150), vec![]][calls - 1].clone();
        Page { clients, total: None }
    };
    assert_eq!(read(repeating), Ok((4, numbered(0..150))));
}

#[test]
fn a_client_that_shows_twice_is_kept_as_last_shown() {
    let mut listing = Listing::default();
    listing.absorb(Page { clients: numbered([1, 2]), total: None }, 0, identity);
    let newer = Client { client_id: "1".into(), scope: "newer".into(), ..Client::default() };
    listing.absorb(Page { clients: vec![newer.clone()], total: None }, 0, identity);
    assert_eq!(listing.into_clients(), [newer, numbered([2]).remove(0)]);
}

#[test]
fn a_listing_that_grows_for_ever_is_an_error() {
    let endless = |offset| Page { clients: numbered(offset..offset + 1), total: None };
    assert_eq!(read(endless), Err(Next::TooManyPages(1_000)));
}

#[test]
fn a_listing_of_too_many_bytes_is_an_error() {
    let mut listing = Listing::default();
    assert_eq!(listing.absorb(Page { clients: numbered([1]), total: None }, MOST_BYTES, identity), Next::TooManyBytes);
}

/// Reads a server whose clients have these sizes, with no answer above `most`. Returns the page sizes asked for.
fn read_within(most: usize, sizes: &[usize]) -> Result<Vec<usize>, Next> {
    let mut listing = Listing::default();
    let (mut request, mut asked) = (listing.first(), vec![]);
    loop {
        asked.push(request.count);
        let range = request.offset..(request.offset + request.count).min(sizes.len());
        let bytes = sizes[range.clone()].iter().sum();
        let page = Page { clients: numbered(range), total: Some(sizes.len() as u64) };
        match if bytes > most { listing.shrink() } else { listing.absorb(page, bytes, identity) } {
            Next::Ask(next) => request = next,
            Next::Done => {
                assert_eq!(listing.into_clients(), numbered(0..sizes.len()));
                return Ok(asked);
            }
            end @ (Next::TooManyPages(_) | Next::TooManyBytes | Next::TooLargeAlone(_)) => return Err(end),
        }
    }
}

/// F2.
#[test]
fn a_page_that_is_too_large_is_halved_until_it_fits_and_the_listing_goes_on() {
    assert_eq!(read_within(1_000, &[20; 45]), Ok(vec![100]));
    assert_eq!(read_within(500, &[20; 45]), Ok(vec![100, 50, 25, 25]));
    assert_eq!(read_within(30, &[20; 3]), Ok(vec![100, 50, 25, 12, 6, 3, 1, 1, 1]));
    let sizes = [[1; 100], [40; 100]].concat();
    assert_eq!(read_within(1_000, &sizes), Ok(vec![100, 100, 50, 25, 25, 25, 25]), "what was read is not read again");
    assert_eq!(read_within(1_000, &[1, 2_000, 1]), Err(Next::TooLargeAlone(1)));
}

/// F2. The largest client that the schema allows, in bytes of JSON.
#[test]
fn the_largest_clients_that_the_schema_allows_fit_into_the_bounds_of_answer_and_listing() {
    use crate::api::limits as most;
    use crate::meshagent::send::LARGEST_ANSWER;
    // A character outside the basic plane, where a server escapes all but ASCII. URIs and scopes are ASCII.
    const WIDEST: usize = 12;
    // Names of fields, braces, ids, the operator's marker, quotes and commas.
    const REST: usize = 8 << 10;
    let uris = most::REDIRECT_URIS * (most::URI + 3);
    let scopes = most::SCOPES * (most::SCOPE + 1);
    let branding = most::DISPLAY_NAME * WIDEST + most::URI * WIDEST;
    let metadata = most::METADATA_ENTRIES * (WIDEST * (most::METADATA_KEY + most::METADATA_VALUE) + 6);
    let client = uris + scopes + branding + metadata + REST;
    assert!(LARGEST_ANSWER / client >= 8, "a page holds {} of them", LARGEST_ANSWER / client);
    let sizes = vec![client; MOST_BYTES / client];
    assert!(sizes.len() >= 250, "a listing holds {} of them", sizes.len());
    let asked = read_within(LARGEST_ANSWER, &sizes).unwrap();
    assert!(asked.len() < MOST_PAGES / 10, "{} pages", asked.len());
}

proptest! {
    #[test]
    fn it_ends_and_keeps_all_it_saw(pages in proptest::collection::vec(
        (proptest::collection::vec(0usize..40, 0..8), proptest::option::of(0u64..50)), 1..40))
    {
        let (mut shown, mut at) = (std::collections::BTreeSet::new(), 0);
        let (_, clients) = read(|_| {
            let (numbers, total) = &pages[at % pages.len()];
            at += 1;
            shown.extend(numbers.iter().map(usize::to_string));
            Page { clients: numbered(numbers.iter().copied()), total: *total }
        }).unwrap();
        prop_assert_eq!(clients.len(), shown.len());
        prop_assert_eq!(clients.into_iter().map(|c| c.client_id).collect::<std::collections::BTreeSet<_>>(), shown);
    }
}
