//! Whatever streams an index has, its answers are those of a plain evaluator.

mod common;

use common::{Plain, build, labels, matchers, names_of, object_names, open, ranges, rows, streams, values_of};
use proptest::prelude::*;
use skald_index::{Index, IndexedStream, LabelValues, Matcher, Reference, Test};
use skald_model::{TimeRange, Timestamp};

proptest! {
    #![proptest_config(skald_testkit::property(64))]

    #[test]
    fn selections_and_their_labels_are_those_of_a_plain_evaluator(
        streams in streams(),
        questions in proptest::collection::vec((matchers(), ranges()), 4),
    ) {
        let file = build(object_names(), &streams);
        let index = open(&file).expect("just built");
        prop_assert_eq!(index.len(), streams.len());
        for (matchers, range) in &questions {
            let selection = index.select(matchers, *range).expect("sound");
            let plain = Plain::new(matchers, *range);
            let want: Vec<&IndexedStream> = streams.iter().filter(|stream| plain.passes(stream)).collect();
            let found = rows(&index, &file, &selection).expect("sound");
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), want.clone(), "{:?} {:?}", matchers, range);
            prop_assert_eq!(index.label_names(Some(&selection)).expect("sound"), names_of(want.iter().copied()));
            for name in names_of(streams.iter()) {
                match index.label_values(&name, Some(&selection)).expect("sound") {
                    LabelValues::Known(values) => prop_assert_eq!(values, values_of(want.iter().copied(), &name)),
                    LabelValues::InRows => prop_assert!(want.len() < values_of(streams.iter(), &name).len()),
                }
            }
        }
    }

    #[test]
    fn all_labels_and_times_are_those_of_the_streams(streams in streams()) {
        let file = build(object_names(), &streams);
        let index = open(&file).expect("just built");
        let names = names_of(streams.iter());
        prop_assert_eq!(&index.label_names(None).expect("sound"), &names);
        for name in names.iter().map(String::as_str).chain(["nowhere"]) {
            prop_assert_eq!(index.label_values(name, None).expect("sound"), LabelValues::Known(values_of(streams.iter(), name)));
        }
        let references = || streams.iter().flat_map(|stream| &stream.references);
        let span = references().map(|reference| reference.min_time).min().zip(references().map(|reference| reference.max_time).max());
        prop_assert_eq!(index.time_span(), span);
        prop_assert_eq!(index.objects(), object_names());
    }

    #[test]
    fn equal_input_gives_equal_bytes(mut streams in streams()) {
        let file = build(object_names(), &streams);
        streams.iter_mut().for_each(|stream| stream.references.reverse());
        prop_assert!(file == build(object_names(), &streams), "in any order of references");
    }
}

fn many() -> (Vec<IndexedStream>, Index) {
    let stream = |i: i64| {
        let (pod, node) = (format!("pod-{i:06}"), format!("node-{:03}", i * 7 % 997));
        let pairs = [("app", ["api", "web"][(i % 10 == 0) as usize]), ("node", node.as_str()), ("pod", pod.as_str())];
        let (min_time, max_time) = (Timestamp(i), Timestamp(i + 10));
        let reference = Reference { object: 0, stream: i as u32, min_time, max_time, rows: 1, line_bytes: 1, metadata_bytes: 0 };
        IndexedStream { labels: labels(&pairs), references: vec![reference] }
    };
    let mut streams: Vec<IndexedStream> = (0..5000).map(stream).collect();
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    let index = open(&build(vec!["o".into()], &streams)).expect("just built");
    (streams, index)
}

fn matcher(name: &str, negated: bool, test: Test) -> Matcher {
    Matcher { name: name.into(), negated, test }
}

#[test]
fn long_postings_are_intersected_and_excluded_right() {
    let (streams, index) = many();
    let equals = |text: &str| Test::Equals(text.into());
    let pattern = |text: &str| Test::Pattern(text.into());
    let questions = [
        vec![matcher("app", false, equals("web"))],
        vec![matcher("app", false, equals("web")), matcher("node", false, equals("node-007"))],
        vec![matcher("app", true, equals("web")), matcher("node", false, equals("node-007"))],
        vec![matcher("app", true, equals("api")), matcher("node", true, pattern(".*7"))],
        vec![matcher("pod", false, pattern("pod-0012.*")), matcher("app", false, pattern("w.*"))],
        vec![matcher("pod", true, pattern("pod-.*[1-9]")), matcher("node", false, pattern(".+"))],
        vec![matcher("pod", false, pattern(".*b.{12}|.*77"))],
        vec![matcher("pod", false, equals("pod-004999")), matcher("app", true, equals("")), matcher("zone", false, equals(""))],
        vec![matcher("app", false, Test::OneOf(vec!["web".into(), "none".into()])), matcher("app", false, pattern("w.*|a"))],
        vec![],
    ];
    for matchers in &questions {
        for range in [TimeRange::ALL, TimeRange::new(Timestamp(100), Timestamp(150)), TimeRange::new(Timestamp(6000), Timestamp(7000))] {
            let found: Vec<u32> = index.select(matchers, range).expect("sound").iter().collect();
            let plain = Plain::new(matchers, range);
            let want = streams.iter().enumerate().filter(|(_, stream)| plain.passes(stream)).map(|(i, _)| i as u32);
            assert_eq!(found, want.collect::<Vec<_>>(), "{matchers:?} {range:?}");
        }
    }
}

#[test]
fn few_streams_with_a_name_of_many_values_are_read_from_rows() {
    let (_, index) = many();
    let few = index.select(&[matcher("node", false, Test::Equals("node-007".into()))], TimeRange::ALL).expect("sound");
    assert_eq!(index.label_values("pod", Some(&few)), Ok(LabelValues::InRows));
    assert_eq!(index.label_values("app", Some(&few)), Ok(LabelValues::Known(vec!["api".into()])));
    let none = index.select(&[matcher("app", false, Test::Equals("x".into()))], TimeRange::ALL).expect("sound");
    assert_eq!(index.label_values("pod", Some(&none)), Ok(LabelValues::Known(vec![])));
    assert_eq!(index.label_names(Some(&none)), Ok(vec![]));
}

#[test]
fn row_blocks_touch_and_only_wanted_ones_are_named() {
    let (_, index) = many();
    let all = index.row_blocks(&index.select_all());
    assert_eq!(all.len(), 5000usize.div_ceil(32));
    assert!(all[0].range.start == 0 && all.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
    let one = index.select(&[matcher("pod", false, Test::Equals("pod-000010".into()))], TimeRange::ALL).expect("sound");
    assert_eq!((one.len(), index.row_blocks(&one).len()), (1, 1));
}

#[test]
fn an_index_of_nothing_answers() {
    let file = build(vec![], &[]);
    let index = open(&file).expect("just built");
    assert!(index.is_empty() && index.time_span().is_none());
    assert!(index.select(&[], TimeRange::ALL).expect("sound").is_empty());
    assert_eq!(index.label_names(None), Ok(vec![]));
    assert_eq!(index.label_values("a", None), Ok(LabelValues::Known(vec![])));
}
