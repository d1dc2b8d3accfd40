use super::*;
use proptest::prelude::*;

struct Joined {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Joined {
    fn new(lines: &[String]) -> Self {
        let mut joined = Joined { bytes: b"before".to_vec(), ends: Vec::new() };
        for line in lines {
            joined.bytes.extend_from_slice(line.as_bytes());
            joined.ends.push(joined.bytes.len() as u32);
        }
        joined.bytes.extend_from_slice(b"after");
        joined
    }

    fn lines(&self) -> Lines<'_> {
        Lines { bytes: &self.bytes, start: 6, ends: &self.ends }
    }
}

fn matcher(op: LineOp, operands: &[&str]) -> LineMatcher {
    let operands = operands.iter().map(|text| LineOperand::Text((*text).to_owned())).collect();
    LineMatcher::compile(&LineFilter { op, operands }).expect("compiles")
}

#[track_caller]
fn check(op: LineOp, operands: &[&str], lines: &[&str], want: &[u32]) {
    let joined = Joined::new(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    let matcher = matcher(op, operands);
    let got: Vec<u32> = matcher.filter(&joined.lines(), &Selection::All).iter(lines.len()).map(|row| row as u32).collect();
    assert_eq!(got, want, "{op:?} {operands:?}");
    let one_by_one: Vec<u32> = (0..lines.len() as u32).filter(|row| matcher.matches(lines[*row as usize].as_bytes())).collect();
    assert_eq!(one_by_one, want, "line by line, {op:?} {operands:?}");
}

#[test]
fn hits_across_line_bounds_do_not_count() {
    check(LineOp::Contains, &["ab"], &["a", "b", "", "xab", "a", "", "b"], &[3]);
    check(LineOp::NotContains, &["ab"], &["a", "b", "", "xab"], &[0, 1, 2]);
    check(LineOp::Contains, &["ab", "abcd"], &["zab", "cd", "a", "b"], &[0]);
    check(LineOp::Contains, &["before", "rea"], &["a", "re"], &[]);
    check(LineOp::Regex, &["a.b"], &["a", "xb", "a-b", "a\nb"], &[2]);
}

#[test]
fn operands_that_match_everything_are_discarded() {
    check(LineOp::Contains, &["foo", ""], &["foo 1", "bar 2", ""], &[0]);
    check(LineOp::Regex, &["foo|.*"], &["foo 1", "bar 2"], &[0]);
    check(LineOp::Contains, &[""], &["a", ""], &[0, 1]);
    check(LineOp::NotContains, &[""], &["a", ""], &[]);
    check(LineOp::Regex, &[".*"], &["a\nb", ""], &[0, 1]);
    check(LineOp::NotRegex, &[".*"], &["a\nb", ""], &[]);
    check(LineOp::Regex, &[".+"], &["\n", ""], &[0]);
}

#[test]
fn case_is_folded_by_lower_case() {
    check(LineOp::Regex, &["(?i)kelvin"], &["KELVIN", "\u{212a}elvin", "elvin"], &[0, 1]);
    check(LineOp::Regex, &["(?i)ünï"], &["ÜNÏ", "üni"], &[0]);
    check(LineOp::Regex, &["(?i)error|warn"], &["an ERRor", "Warn", "eror"], &[0, 1]);
    check(LineOp::Regex, &["foo", "^bar$"], &["xfoo", "bar", "bars"], &[0, 1]);
}

#[test]
fn patterns_and_addresses_are_found() {
    check(LineOp::Pattern, &["foo<_>"], &["xx foo bar", "foofoo", "", "bar"], &[0, 1]);
    check(LineOp::NotPattern, &["<_>"], &["a", ""], &[1]);
    check(LineOp::Pattern, &["<_>foo", "bar"], &["a foo", "xbar", "foo", "ba", "r"], &[0, 1]);
    let matcher =
        |op| LineMatcher::compile(&LineFilter { op, operands: vec![LineOperand::Ip("10.0.0.0/8".into()), LineOperand::Text("b".into())] });
    let passes = |op, line: &[u8]| matcher(op).expect("compiles").matches(line);
    assert!(passes(LineOp::Contains, b"src=10.1.2.3 x") && passes(LineOp::Contains, b"b") && !passes(LineOp::Contains, b"110.1.2.3"));
    assert!(passes(LineOp::NotContains, b"110.1.2.3") && !passes(LineOp::NotContains, b"10.1.2.3"));
}

#[test]
fn errors_name_the_cause() {
    let compile = |op, operand| LineMatcher::compile(&LineFilter { op, operands: vec![operand] }).err();
    let cause = |error: Option<String>| error.unwrap_or_default();
    assert_eq!(cause(compile(LineOp::Regex, LineOperand::Text("(".into()))), "error parsing regexp: missing closing ): `(`");
    assert_eq!(cause(compile(LineOp::Regex, LineOperand::Ip("::1".into()))), "ip: invalid operation");
    assert_eq!(cause(compile(LineOp::Pattern, LineOperand::Text("<a>".into()))), "named captures are not allowed: found '<a>'");
}

proptest! {
    #![proptest_config(skald_testkit::property(300))]

    #[test]
    fn searching_all_lines_at_once_equals_testing_each(
        lines in proptest::collection::vec("[abAB\n]{0,5}", 1..20),
        operands in proptest::collection::vec(
            prop_oneof!["[abAB]{0,3}", "(\\(\\?i\\))?[ab]{1,2}(\\.\\*|\\.|\\|)?[ab]{0,2}", "\\^?[ab]?b\\+?\\$?"], 1..4),
        op in prop_oneof![Just(LineOp::Contains), Just(LineOp::NotContains), Just(LineOp::Regex), Just(LineOp::NotRegex)],
        keep in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let joined = Joined::new(&lines);
        let filter = LineFilter { op, operands: operands.iter().cloned().map(LineOperand::Text).collect() };
        let Ok(matcher) = LineMatcher::compile(&filter) else { return Ok(()) };
        for selection in [Selection::All, Selection::All.filter(lines.len(), |row| keep[row])] {
            let got: Vec<usize> = matcher.filter(&joined.lines(), &selection).iter(lines.len()).collect();
            let want: Vec<usize> = selection.iter(lines.len()).filter(|row| naive(op, &operands, &lines[*row])).collect();
            prop_assert_eq!(&got, &want, "{:?} {:?} on {:?}", op, operands, lines);
            let probe = |row: &usize| matcher.probe().may_match(&mut |literal, fold| holds(&lines[*row], literal, fold), &mut |_, _| true);
            prop_assert!(got.iter().all(probe), "{:?} {:?}", op, operands);
        }
    }
}

fn holds(line: &str, literal: &[u8], fold: bool) -> bool {
    let literal = String::from_utf8_lossy(literal).into_owned();
    if fold { line.to_lowercase().contains(&literal.to_lowercase()) } else { line.contains(&literal) }
}

/// The filter as its definition reads, one line and operand at a time.
fn naive(op: LineOp, operands: &[String], line: &str) -> bool {
    let is_regex = matches!(op, LineOp::Regex | LineOp::NotRegex);
    let matches_all = |operand: &&String| operand.is_empty() || (is_regex && simplify(operand) == Some(Simple::Anything));
    let kept: Vec<_> = operands.iter().filter(|operand| !matches_all(operand)).collect();
    // Branches that match everything are lost, inside an operand too.
    let drop_empty =
        |operand: &str| operand.split('|').filter(|branch| !branch.trim_start_matches("(?i)").is_empty()).collect::<Vec<_>>().join("|");
    let one = |operand: &&String| {
        if is_regex { regex::Regex::new(&drop_empty(operand)).expect("compiles").is_match(line) } else { line.contains(*operand) }
    };
    let matched = kept.is_empty() || kept.iter().any(one);
    matched != matches!(op, LineOp::NotContains | LineOp::NotRegex)
}

#[test]
fn literals_become_a_dfa_only_where_that_is_quickly_made() {
    let kind = |literals: &[&str]| match Searcher::literals(literals.iter().map(|literal| literal.as_bytes())) {
        Searcher::Many(automaton) => automaton.kind(),
        other => panic!("several literals: {other:?}"),
    };
    assert_eq!(kind(&["error", "warn"]), AhoCorasickKind::DFA);
    let long = "y".repeat(60_000);
    assert_eq!(kind(&["x", &long]), AhoCorasickKind::ContiguousNFA);
    let words: Vec<String> = (0..20_000).map(|at| format!("word{at}")).collect();
    assert_eq!(kind(&words.iter().map(String::as_str).collect::<Vec<_>>()), AhoCorasickKind::ContiguousNFA);
}
