use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use skald_model::ColumnBuilder;
use std::collections::BTreeMap;

/// Filters of blocks, each given as lines.
fn build(blocks: &[Vec<Vec<u8>>]) -> (FilterIndex, Bytes) {
    let mut builder = FilterBuilder::default();
    for lines in blocks {
        let ends: Vec<u32> = lines
            .iter()
            .scan(0, |end, line| {
                *end += line.len() as u32;
                Some(*end)
            })
            .collect();
        builder.add_lines(&lines.concat(), &ends);
        let mut column = ColumnBuilder::default();
        lines.iter().enumerate().for_each(|(row, line)| column.set(row, line));
        builder.add_column(&column.finish("copy".into(), false, lines.len()));
        builder.close_block();
    }
    let mut out = Vec::new();
    let shape = builder.finish(&mut out);
    assert_eq!(shape.end(), out.len() as u64);
    (FilterIndex::new(shape), out.into())
}

fn probe(index: &FilterIndex, bytes: &Bytes, query: &FilterQuery) -> Vec<u32> {
    let pages: BTreeMap<u32, FilterPage> = index
        .pages_needed(query)
        .into_iter()
        .map(|page| {
            let range = index.page_range(page);
            (page, index.parse_page(page, &bytes.slice(range.start as usize..range.end as usize)).expect("just written"))
        })
        .collect();
    index.matching_blocks(query, &|page| pages.get(&page)).iter().collect()
}

fn contains(literal: &str, ignore_case: bool) -> FilterQuery {
    FilterQuery::Contains { literal: literal.as_bytes().to_vec(), ignore_case }
}

fn blocks(texts: &[&str]) -> Vec<Vec<Vec<u8>>> {
    texts.iter().map(|text| text.lines().map(|line| line.as_bytes().to_vec()).collect()).collect()
}

#[track_caller]
fn check(texts: &[&str], query: FilterQuery, want: &[u32]) {
    let (index, bytes) = build(&blocks(texts));
    assert_eq!(probe(&index, &bytes, &query), want, "{query:?}");
}

#[test]
fn blocks_without_the_text_are_left_out() {
    let texts = ["connection refused\nok", "Connection reset by peer", "trace 10.0.3.17:8080"];
    check(&texts, contains("connection", false), &[0, 1]);
    check(&texts, contains("refused", false), &[0]);
    check(&texts, contains("10.0.3.18", false), &[]);
    check(&texts, contains("REFUSED", true), &[0]);
    check(&texts, contains("reset by", true), &[1]);
}

#[test]
fn texts_too_short_for_a_gram_pass_everything() {
    check(&["abc", "xyz"], contains("abc", false), &[0, 1]);
    check(&["abc", "xyz"], contains("", true), &[0, 1]);
}

#[test]
fn letters_with_other_cases_beyond_ascii_are_not_asked_for() {
    // U+017F and U+212A are other cases of s and k.
    check(&["te\u{17f}t to\u{212a}en", "nothing"], contains("test", true), &[0, 1]);
    check(&["te\u{17f}t to\u{212a}en", "nothing"], contains("token", true), &[0, 1]);
    check(&["É élan", "nothing"], contains("éÉlan", true), &[0, 1]);
}

#[test]
fn grams_with_a_dot_or_colon_are_never_left_out() {
    let hex = |gram: &[u8; 6]| long_gram_hash(*gram).is_some();
    for gram in [b"10.0.3", b"12:34:", b"aaaaa.", b":fffff", b"999999", b"0a1b2c"] {
        let expected = gram.iter().any(|byte| b".:".contains(byte));
        assert!(hex(gram) || !expected, "{gram:?}");
    }
    let kept = (0..100_000u32).filter(|i| hex(format!("{i:06x}").as_bytes().try_into().expect("six digits"))).count();
    assert!((45_000..55_000).contains(&kept), "half of the grams of hex digits alone stay: {kept}");
}

#[test]
fn queries_combine() {
    let texts = ["alpha beta", "alpha", "beta"];
    check(&texts, FilterQuery::And(vec![contains("alpha", false), contains("beta", false)]), &[0]);
    check(&texts, FilterQuery::Or(vec![contains("alpha", false), contains("beta", false)]), &[0, 1, 2]);
    check(&texts, FilterQuery::And(vec![]), &[0, 1, 2]);
    check(&texts, FilterQuery::Or(vec![]), &[]);
    check(&texts, FilterQuery::MetadataEquals { name: "copy".into(), value: b"beta".to_vec() }, &[2]);
    check(&texts, FilterQuery::MetadataEquals { name: "copy".into(), value: b"bet".to_vec() }, &[]);
    check(&texts, FilterQuery::MetadataEquals { name: "copy".into(), value: vec![] }, &[0, 1, 2]);
}

#[test]
fn a_page_that_is_missing_or_damaged_rules_nothing_out() {
    let (index, bytes) = build(&blocks(&["one two three", "four"]));
    let query = contains("absent text", false);
    assert_eq!(index.matching_blocks(&query, &|_| None).len(), 2);
    let page = index.pages_needed(&query)[0];
    let range = index.page_range(page);
    let mut stored = bytes[range.start as usize..range.end as usize].to_vec();
    stored[3] ^= 1;
    let error = index.parse_page(page, &stored.into()).expect_err("a bit was flipped");
    assert!(matches!(error, crate::FormatError::Checksum { offset, .. } if offset == range.start));
    assert!(index.parse_page(page, &Bytes::new()).is_err());
}

proptest! {
    #![proptest_config(skald_testkit::property(48))]
    #[test]
    fn a_block_that_holds_the_text_always_passes(
        blocks in proptest::collection::vec(proptest::collection::vec("[a-fkKsSx0-9.: é]{0,40}", 1..5), 1..20),
        pick: (proptest::sample::Index, proptest::sample::Index, proptest::sample::Index, proptest::sample::Index),
        ignore_case: bool,
        flip: bool,
    ) {
        let blocks: Vec<Vec<Vec<u8>>> = blocks.into_iter().map(|lines| lines.into_iter().map(String::into_bytes).collect()).collect();
        let block = pick.0.index(blocks.len());
        let line = &blocks[block][pick.1.index(blocks[block].len())];
        let (one, two) = (pick.2.index(line.len() + 1), pick.3.index(line.len() + 1));
        let mut literal = line[one.min(two)..one.max(two)].to_vec();
        if ignore_case && flip {
            literal.make_ascii_uppercase();
        }
        let (index, bytes) = build(&blocks);
        let text = FilterQuery::Contains { literal, ignore_case };
        prop_assert!(probe(&index, &bytes, &text).contains(&(block as u32)));
        let pair = FilterQuery::MetadataEquals { name: "copy".into(), value: line.clone() };
        prop_assert!(probe(&index, &bytes, &pair).contains(&(block as u32)));
    }
}
