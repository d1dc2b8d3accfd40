//! A plain evaluator over lists of streams, and ways to make and read index files.
#![allow(dead_code, reason = "each test takes its part")]

use bytes::Bytes;
use proptest::prelude::*;
use skald_index::{FormatError, Index, IndexWriter, IndexedStream, Layout, Matcher, Reference, Selection, Test};
use skald_model::{Labels, TimeRange, Timestamp};
use std::collections::BTreeSet;

pub const OBJECTS: u32 = 5;

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("names differ")
}

pub fn object_names() -> Vec<String> {
    (0..OBJECTS).map(|number| format!("t/2026-01-15/incoming/{number}")).collect()
}

pub fn build(objects: Vec<String>, streams: &[IndexedStream]) -> Bytes {
    let mut writer = IndexWriter::new(objects).expect("names differ");
    streams.iter().for_each(|stream| writer.add(&stream.labels, &stream.references).expect("in order"));
    writer.finish().expect("small")
}

pub fn open(file: &Bytes) -> Result<Index, FormatError> {
    let layout = Layout::parse(&file[file.len().saturating_sub(Layout::TAIL_LEN)..], file.len() as u64)?;
    let core = layout.core();
    Index::open(&layout, file.slice(core.start as usize..core.end as usize))
}

pub fn rows(index: &Index, file: &Bytes, selection: &Selection) -> Result<Vec<IndexedStream>, FormatError> {
    let mut streams = Vec::new();
    for block in index.row_blocks(selection) {
        streams.extend(index.streams(&block, &file[block.range.start as usize..block.range.end as usize], selection)?);
    }
    Ok(streams)
}

/// Matchers and a range, asked of streams without any index.
pub struct Plain<'a> {
    matchers: Vec<(&'a Matcher, Option<regex::Regex>)>,
    range: TimeRange,
}

impl<'a> Plain<'a> {
    pub fn new(matchers: &'a [Matcher], range: TimeRange) -> Self {
        let regex = |matcher: &Matcher| match &matcher.test {
            Test::Pattern(pattern) => Some(regex::Regex::new(&format!("\\A(?s:{pattern})\\z")).expect("a pattern")),
            Test::Equals(_) | Test::OneOf(_) => None,
        };
        Plain { matchers: matchers.iter().map(|matcher| (matcher, regex(matcher))).collect(), range }
    }

    pub fn passes(&self, stream: &IndexedStream) -> bool {
        let min = stream.references.iter().map(|reference| reference.min_time).min().expect("has references");
        let max = stream.references.iter().map(|reference| reference.max_time).max().expect("has references");
        let holds = |(matcher, regex): &(&Matcher, Option<regex::Regex>)| {
            let value = stream.labels.get(&matcher.name).unwrap_or_default();
            let holds = match (&matcher.test, regex) {
                (Test::Equals(text), _) => value == text,
                (Test::OneOf(texts), _) => texts.iter().any(|text| text == value),
                (Test::Pattern(_), regex) => regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            };
            holds != matcher.negated
        };
        self.matchers.iter().all(holds) && !self.range.is_empty() && self.range.overlaps(min, max)
    }
}

fn reference() -> impl Strategy<Value = Reference> {
    (0..OBJECTS, 0u32..100, -50i64..50, 0i64..40, 1u64..1000, any::<u64>(), 0u64..9).prop_map(
        |(object, stream, min, len, rows, line_bytes, metadata_bytes)| {
            let (min_time, max_time) = (Timestamp(min), Timestamp(min + len));
            Reference { object, stream, min_time, max_time, rows, line_bytes, metadata_bytes }
        },
    )
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[abc]", 1 => Just("a=".to_owned()), 1 => Just("é".to_owned()), 1 => Just(String::new()), 1 => Just("n".repeat(40_000))]
}

fn value() -> impl Strategy<Value = String> {
    let long = "[xy]{0,1}".prop_map(|end| "x".repeat(40_000) + &end);
    prop_oneof![12 => "[xyz]{1,2}", 1 => "[xé\\x00\n=]{0,3}", 1 => long]
}

/// Any streams, in order, each with references.
pub fn streams() -> impl Strategy<Value = Vec<IndexedStream>> {
    let labels =
        proptest::collection::btree_map(name(), value(), 0..4).prop_map(|pairs| Labels::from_pairs(pairs).expect("each name once"));
    let references = proptest::collection::btree_map(0..OBJECTS, reference(), 1..4)
        .prop_map(|references| references.into_iter().map(|(object, reference)| Reference { object, ..reference }).collect());
    proptest::collection::btree_map(labels, references, 0..140)
        .prop_map(|streams| streams.into_iter().map(|(labels, references)| IndexedStream { labels, references }).collect())
}

pub const PATTERNS: &[&str] = &[
    "", ".*", ".+", "x", "x|y", "x|", "[xy]", "x.*", ".*y", ".*x.*", "(?i)X.", "x?", "[^x]*", ".", "..", "(x|y)+", "^x$", "x$|^y", "x+y?",
    "(?s).", "\\bx\\b", "\\PL*",
];

pub fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let test = prop_oneof![
        value().prop_map(Test::Equals),
        Just(Test::Equals(String::new())),
        proptest::collection::vec(prop_oneof![4 => value(), 1 => Just(String::new())], 0..4).prop_map(Test::OneOf),
        proptest::sample::select(PATTERNS).prop_map(|pattern| Test::Pattern(pattern.to_owned())),
    ];
    let matcher = (name(), any::<bool>(), test).prop_map(|(name, negated, test)| Matcher { name, negated, test });
    proptest::collection::vec(matcher, 0..4)
}

pub fn ranges() -> impl Strategy<Value = TimeRange> {
    let some = (-60i64..100, 0i64..60).prop_map(|(start, len)| TimeRange::new(Timestamp(start), Timestamp(start + len)));
    prop_oneof![2 => Just(TimeRange::ALL), 3 => some]
}

/// What the labels of some streams are, seen without any index.
pub fn names_of<'a>(streams: impl Iterator<Item = &'a IndexedStream>) -> Vec<String> {
    let names: BTreeSet<&str> = streams.flat_map(|stream| stream.labels.iter()).map(|(name, _)| name).collect();
    names.into_iter().map(str::to_owned).collect()
}

pub fn values_of<'a>(streams: impl Iterator<Item = &'a IndexedStream>, name: &str) -> Vec<String> {
    let values: BTreeSet<&str> = streams.filter_map(|stream| stream.labels.get(name)).collect();
    values.into_iter().map(str::to_owned).collect()
}
