use super::*;
use proptest::prelude::*;

/// What a search did with a server that takes a request only if it holds no bad entry.
#[derive(Debug, Default, PartialEq)]
struct Found {
    taken: Vec<usize>,
    given_up: Vec<usize>,
    requests: usize,
}

fn run(streams: &[u32], bad: impl Fn(usize) -> bool) -> Found {
    let (mut search, mut found) = (Search::new(streams.to_vec()), Found::default());
    while let Some(sent) = search.next() {
        found.requests += 1;
        if sent.clone().any(&bad) {
            found.given_up.extend(search.refused().into_iter().flatten());
        } else {
            found.taken.extend(sent);
            search.accepted();
        }
    }
    assert_eq!(search.rest().count(), 0);
    found
}

/// The entries of `lens.len()` streams of so many entries.
fn streams(lens: &[usize]) -> Vec<u32> {
    lens.iter().enumerate().flat_map(|(stream, len)| std::iter::repeat_n(stream as u32, *len)).collect()
}

#[track_caller]
fn check(lens: &[usize], bad: &[usize], requests_max: usize) {
    let mut found = run(&streams(lens), |at| bad.contains(&at));
    found.given_up.sort_unstable();
    assert_eq!(found.given_up, bad, "{lens:?}");
    found.taken.sort_unstable();
    let good: Vec<usize> = (0..lens.iter().sum()).filter(|at| !bad.contains(at)).collect();
    assert_eq!(found.taken, good, "{lens:?}");
    assert!(found.requests <= requests_max, "{} requests for {lens:?} with {bad:?}", found.requests);
}

#[test]
fn only_what_is_refused_is_given_up() {
    check(&[1], &[], 1);
    check(&[1], &[0], 1);
    check(&[5], &[3], 7);
    check(&[5000], &[0], 60);
    check(&[5000], &[2345], 60);
    check(&[5000], &[4999], 60);
    check(&[5000], &[0, 1666, 3332], 110);
    check(&[40; 50], &[777], 30);
    check(&[1; 64], &[0, 63], 25);
}

#[test]
fn parts_of_several_streams_are_divided_between_streams_near_the_middle() {
    for (lens, want) in [(&[1, 6, 3][..], 0..7), (&[3, 6, 1], 0..3), (&[5, 5], 0..5), (&[9, 1], 0..9), (&[1, 9], 0..1)] {
        let mut search = Search::new(streams(lens));
        assert!(search.refused().is_empty());
        assert_eq!(search.next(), Some(want), "{lens:?}");
    }
}

#[test]
fn a_stream_that_is_refused_as_a_whole_costs_few_requests() {
    let whole: Vec<usize> = (0..5000).collect();
    check(&[5000], &whole, 5);
    check(&[100, 5000, 100], &(100..5100).collect::<Vec<_>>(), 10);
}

#[test]
fn refusals_are_bounded_whatever_is_refused() {
    let all = run(&streams(&[10; 100]), |_| true);
    assert_eq!(all.given_up.len(), 1000);
    assert!(all.requests <= 256 + 20, "{}", all.requests);
    let every_third = run(&streams(&[6000]), |at| at % 3 == 1);
    assert_eq!(every_third.taken.len() + every_third.given_up.len(), 6000);
    assert!(every_third.requests <= 2 * 256 + 20, "{}", every_third.requests);
}

fn run_with_limit(entries: usize, limit: usize) -> Found {
    let (mut search, mut found) = (Search::new(vec![0; entries]), Found::default());
    while let Some(sent) = search.next() {
        found.requests += 1;
        if sent.len() > limit {
            found.given_up.extend(search.too_large().into_iter().flatten());
        } else {
            found.taken.extend(sent);
            search.accepted();
        }
    }
    found
}

#[test]
fn what_is_too_large_is_halved_until_it_fits() {
    let found = run_with_limit(5000, 3);
    assert_eq!(found.taken, (0..5000).collect::<Vec<_>>());
    let nothing_fits = run_with_limit(5000, 0);
    assert_eq!(nothing_fits.given_up.len(), 5000);
    assert!(nothing_fits.requests <= 64 + 20, "{}", nothing_fits.requests);
}

#[test]
fn a_sample_that_is_too_large_is_left_out_alone() {
    let mut search = Search::new(vec![0; 10]);
    assert!(search.refused().is_empty());
    assert_eq!(search.next(), Some(0..1));
    assert_eq!(search.refused(), vec![0..1]);
    assert_eq!(search.next(), Some(3..4));
    assert_eq!(search.rest().collect::<Vec<_>>(), vec![1..10]);
    assert_eq!(search.too_large(), vec![3..4]);
    assert_eq!(search.next(), Some(1..3));
    assert_eq!(search.rest().collect::<Vec<_>>(), vec![4..10, 1..3]);
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn every_entry_is_settled_once_and_none_that_is_bad_is_taken(
        lens in prop::collection::vec(1usize..40, 1..8),
        bad in prop::collection::btree_set(0usize..200, 0..6),
    ) {
        let streams = streams(&lens);
        let found = run(&streams, |at| bad.contains(&at));
        let mut settled: Vec<usize> = found.taken.iter().chain(&found.given_up).copied().collect();
        settled.sort_unstable();
        prop_assert_eq!(settled, (0..streams.len()).collect::<Vec<_>>());
        prop_assert!(found.taken.iter().all(|at| !bad.contains(at)));
        // Four bad samples may give up the good entries of a short stream between them; fewer never do.
        if bad.len() < SAMPLES {
            prop_assert!(found.given_up.iter().all(|at| bad.contains(at)));
        }
    }
}
