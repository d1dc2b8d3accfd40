use super::count::{Buckets, Counting, Sampling};
use super::learn::learn;
use super::sample::{Sample, Sampled};
use super::templates::Templates;
use super::tokens::Tokens;
use crate::read::State;
use proptest::prelude::*;
use skald_logql::ast::Expr;
use skald_logql::exec::{Batch, LinePattern, Selection};
use skald_model::{Labels, Level, Rows, RowsBuilder, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

type Counts = BTreeMap<(Level, String), usize>;

fn sampled<'a>(lines: impl IntoIterator<Item = &'a (Level, Vec<u8>)>) -> Vec<Sampled> {
    let mut sample = Sample::new(super::SAMPLE_LINES, super::SAMPLE_MEMORY);
    lines.into_iter().enumerate().for_each(|(n, (level, line))| sample.offer([0, 0, 0, n as u64], *level, line));
    sample.into_lines()
}

/// Lines by level and pattern, and the number of those without one.
fn counts(lines: &[(Level, Vec<u8>)]) -> (Counts, usize) {
    let templates = Templates::new(&[learn(&sampled(lines))]);
    let (mut counts, mut missed, mut tokens) = (Counts::new(), 0, Tokens::default());
    for (level, line) in lines {
        tokens.read(line);
        let Some(pattern) = templates.classify(*level, line, &tokens) else {
            missed += 1;
            continue;
        };
        let (of_level, text) = templates.pattern(pattern);
        assert!(of_level == *level && LinePattern::parse(text).is_ok_and(|pattern| pattern.matches(line)), "{line:?} under {text}");
        *counts.entry((of_level, text.to_owned())).or_default() += 1;
    }
    (counts, missed)
}

/// Twelve lines for each text, in which `#` is another number each time and `@` another word; and the patterns that come of them.
#[track_caller]
fn check(texts: &[&str], want: &[&str]) {
    let words: Vec<String> = ('a'..='l').map(|c| format!("{c}{c}o")).collect();
    let line = |text: &&str, n: usize| (Level::Info, text.replace('#', &(n * 37 + 5).to_string()).replace('@', &words[n]).into_bytes());
    let lines: Vec<_> = texts.iter().flat_map(|text| (0..12).map(move |n| (text, n))).map(|(text, n)| line(text, n)).collect();
    let (counts, missed) = counts(&lines);
    let found: Vec<&str> = counts.keys().map(|(_, text)| text.as_str()).collect();
    let mut want = want.to_vec();
    want.sort_unstable();
    assert_eq!((found, missed), (want, 0));
}

#[test]
fn patterns_are_what_a_reader_would_write() {
    check(&["level=info request # took #ms"], &["level=info request <_> took <_>"]);
    check(&["Received block blk_-# of size # from /10.0.0.#"], &["Received block blk_<_> of size <_> from /<_>"]);
    check(
        &[r#"{"ts":"2026-01-15T00:00:#Z","level":"info","msg":"order placed","user":{"name":"@","id":#},"ok":true}"#],
        &[r#"{"ts":"<_>","level":"info","msg":"order placed","user":{"name":"<_>","id":<_>},"ok":true}"#],
    );
    check(
        &[r#"10.0.0.# - @ [15/Jan/2026:00:00:# +0000] "GET /search?q=#&p=@ HTTP/1.1" 200 # "-" "curl/8.#""#],
        &[r#"<_> - <_> [<_>] "GET /search?q=<_> HTTP/1.1" <_> <_> "-" "curl/<_>""#],
    );
    check(&["Jun 14 15:16:# combo sshd[#]: session opened"], &["<_> combo sshd[<_>]: session opened"]);
    check(&["panic: @ failed\n at line #\n at line #"], &["panic: <_> failed<_>"]);
}

#[test]
fn few_words_are_messages_of_their_own_and_many_vary() {
    check(
        &["Accepted password for @ port #", "Failed password for @ port #"],
        &["Accepted password for <_> port <_>", "Failed password for <_> port <_>"],
    );
    check(&["user @ logged in"], &["user <_> logged in"]);
    check(&["started", "stopped"], &["started", "stopped"]);
    check(&["msg=started job=@", "msg=stopped job=@"], &["msg=started job=<_>", "msg=stopped job=<_>"]);
}

#[test]
fn a_pattern_survives_what_the_filter_cannot_tell_apart() {
    // Were the date one variable part, the blank behind it would be found inside.
    check(&["from # at Fri Jun # 2005 "], &["from <_> at <_>"]);
    check(&["# # # end # # # end"], &["<_> end <_> end"]);
    check(&["a <x> b <_> c #"], &["a <<_>> b <<_>> c <_>"]);
}

#[test]
fn lines_of_different_levels_never_share_a_pattern() {
    let lines: Vec<_> =
        [Level::Info, Level::Error].into_iter().flat_map(|level| (0..9).map(move |n| (level, format!("took {n}").into_bytes()))).collect();
    let (counts, _) = counts(&lines);
    assert_eq!(counts, Counts::from([((Level::Info, "took <_>".to_owned()), 9), ((Level::Error, "took <_>".to_owned()), 9)]));
}

#[test]
fn an_empty_line_has_no_pattern() {
    assert_eq!(counts(&[(Level::Info, Vec::new())]), (Counts::new(), 1));
}

/// Lines made of what gives trouble: blanks, quotes, captures, numbers, bytes that are no text.
fn lines() -> impl Strategy<Value = Vec<(Level, Vec<u8>)>> {
    let piece = prop::sample::select(vec![
        &b" "[..],
        b"  ",
        b"a",
        b"b",
        b"error",
        b"12",
        b"7ms",
        b"x9",
        b"<",
        ">".as_bytes(),
        b"_",
        b"<_>",
        b"=",
        b"\"",
        b"k=",
        b"{\"",
        b"\":",
        b",",
        b":",
        b".",
        b"/p/",
        b"\n",
        b"\xff",
        "é".as_bytes(),
        b"(",
        b")",
        b"-",
        b"Jun 4",
        b"msg=",
    ]);
    let line = prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat());
    let level = prop::sample::select(vec![Level::Info, Level::Error]);
    prop::collection::vec((level, line), 1..60)
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn every_line_counted_matches_its_pattern(lines in lines()) {
        let (counts, missed) = counts(&lines);
        prop_assert_eq!(counts.values().sum::<usize>() + missed, lines.len());
    }

    #[test]
    fn what_is_learned_does_not_depend_on_the_order(lines in lines()) {
        let texts = |lines: Vec<Sampled>| learn(&lines).into_iter().map(|template| (template.level, template.text)).collect::<Vec<_>>();
        prop_assert_eq!(texts(sampled(&lines)), texts(sampled(lines.iter().rev())));
    }
}

fn plan() -> Arc<skald_logql::plan::LogPlan> {
    let Expr::Log(log) = skald_logql::parse(r#"{app="x"} != "drop""#).expect("LogQL") else { unreachable!("it has no function") };
    Arc::new(super::plan(&log, Timestamp::from_secs(100), Timestamp::from_secs(200), Timestamp(0)).expect("it compiles"))
}

fn rows(range: std::ops::Range<i64>) -> Rows {
    let mut rows = RowsBuilder::default();
    for n in range {
        let line = if n % 10 == 3 { format!("drop {n}") } else { format!("request {n} took {}ms", n * 7) };
        rows.push(Timestamp(n * 500_000_000), line.as_bytes());
        rows.set_metadata(Level::METADATA_NAME, if n % 2 == 0 { b"info" } else { b"odd" }, true);
    }
    rows.finish()
}

#[test]
fn counts_are_the_same_however_the_lines_are_split() {
    let labels = Labels::from_pairs([("app", "x")]).expect("one label");
    let take = |width: i64| {
        let (plan, batches): (_, Vec<Rows>) = (plan(), (0..600 / width).map(|part| rows(part * width..(part + 1) * width)).collect());
        let mut sampling = Sampling::new(plan.clone(), Sample::new(64, 1 << 20));
        let mut first = 0;
        for rows in &batches {
            sampling.add(&Batch::new(&labels, rows), &Selection::All, (1, first)).expect("nothing fails");
            first += rows.len() as u64;
        }
        let templates = Arc::new(Templates::new(&[learn(&sampling.sample.into_lines())]));
        let new = || {
            Counting::new(plan.clone(), templates.clone(), Buckets::new(Timestamp::from_secs(100), 10_000_000_000), Sample::new(8, 1 << 20))
        };
        let mut all = new();
        for rows in &batches {
            let mut part = new();
            part.add(&Batch::new(&labels, rows), &Selection::All, (1, 0)).expect("nothing fails");
            all.merge(part);
        }
        super::finish(&templates, all, Buckets::new(Timestamp::from_secs(100), 10_000_000_000))
    };
    let (whole, parts) = (take(600), take(25));
    assert_eq!((&whole.patterns, whole.rest), (&parts.patterns, parts.rest));
    let shown: Vec<_> = whole.patterns.iter().map(|pattern| (pattern.text.as_str(), pattern.level, pattern.lines)).collect();
    // Of 200 lines from 100 to 200 s, a fifth of the odd ones is filtered out.
    assert_eq!(shown, [("request <_> took <_>", Level::Info, 100), ("request <_> took <_>", Level::Unknown, 80)]);
    assert_eq!(whole.patterns[0].samples, (10..20).map(|ten| (ten * 10, 10)).collect::<Vec<_>>());
    assert_eq!(whole.rest, 0);
}
