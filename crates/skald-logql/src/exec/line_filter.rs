use super::batch::{Lines, Selection};
use super::ip::IpPattern;
use super::pattern;
use super::pattern_filter::LinePattern;
use super::probe::{self, Probe};
use crate::ast::{LineFilter, LineOp, LineOperand};
use crate::regex::{Piece, Simple, simplify};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem;
use regex::bytes::Regex;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use std::ops::Range;

/// Prefilters shorter than this hit nearly every line and cost more than they save.
const PREFILTER_LEN_MIN: usize = 2;

/// Steps that making a literal search faster may take.
const DFA_STEPS_MAX: usize = 1 << 20;

/// A compiled line filter.
///
/// It searches the joined bytes of many lines at once and maps hits to rows; single lines are looked at only where a hit makes
/// them candidates of a regular expression, or where no literal is required.
#[derive(Debug)]
pub(crate) struct LineMatcher {
    negated: bool,
    /// Any of them may match. Empty matches every line.
    tests: Vec<LineTest>,
    probe: Probe,
}

#[derive(Debug)]
enum LineTest {
    Literals(Searcher),
    /// Looks at single lines: those that the prefilter finds, or all.
    Each {
        prefilter: Option<Searcher>,
        test: EachTest,
    },
}

/// A test of one line.
#[derive(Debug)]
enum EachTest {
    NonEmpty,
    Regex(Regex),
    Pattern(LinePattern),
    Ip(IpPattern),
}

impl EachTest {
    fn matches(&self, line: &[u8]) -> bool {
        match self {
            EachTest::NonEmpty => !line.is_empty(),
            EachTest::Regex(regex) => regex.is_match(line),
            EachTest::Pattern(pattern) => pattern.matches(line),
            EachTest::Ip(pattern) => pattern.found_in(line),
        }
    }
}

/// Finds literals in bytes that hold many lines.
#[derive(Debug)]
enum Searcher {
    One(Box<memmem::Finder<'static>>),
    Many(AhoCorasick),
    Folded(Regex),
}

impl LineMatcher {
    /// Compiles `filter`. The error is its cause, for the user.
    pub(crate) fn compile(filter: &LineFilter) -> Result<Self, String> {
        let negated = matches!(filter.op, LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern);
        let mut parts = Parts::default();
        for operand in &filter.operands {
            match (operand, filter.op) {
                (LineOperand::Ip(text), LineOp::Contains | LineOp::NotContains) => parts.add_ip(text)?,
                (LineOperand::Ip(_), _) => return Err("ip: invalid operation".to_owned()),
                (LineOperand::Text(text), LineOp::Contains | LineOp::NotContains) => parts.add_literal(text.clone(), false),
                (LineOperand::Text(text), LineOp::Regex | LineOp::NotRegex) => parts.add_regex(text)?,
                (LineOperand::Text(text), LineOp::Pattern | LineOp::NotPattern) => parts.add_pattern(text)?,
            }
        }
        let probe = if negated || parts.is_empty() { Probe::ANYTHING } else { Probe::any(parts.probes.clone()) };
        Ok(LineMatcher { negated, tests: parts.into_tests()?, probe })
    }

    /// What a matching line must hold.
    pub(crate) fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Whether every line passes.
    pub(crate) fn is_always_true(&self) -> bool {
        self.tests.is_empty() && !self.negated
    }

    /// The selected rows whose lines pass.
    pub(crate) fn filter(&self, lines: &Lines<'_>, selection: &Selection) -> Selection {
        let len = lines.ends.len();
        if self.tests.is_empty() {
            return if self.negated { Selection::Rows(Vec::new()) } else { selection.clone() };
        }
        let mut matched = self.tests[0].matching(lines, selection);
        for test in &self.tests[1..] {
            let rest = without(selection, len, &matched);
            matched.extend(test.matching(lines, &rest));
            matched.sort_unstable();
        }
        if self.negated { without(selection, len, &matched) } else { Selection::Rows(matched) }
    }

    /// Whether one line passes.
    pub(crate) fn matches(&self, line: &[u8]) -> bool {
        (self.tests.is_empty() || self.tests.iter().any(|test| test.matches(line))) != self.negated
    }
}

/// The selected rows that are not in `gone` (ascending).
fn without(selection: &Selection, len: usize, gone: &[u32]) -> Selection {
    let mut gone = gone.iter().peekable();
    selection.filter(len, |row| {
        let is_gone = gone.peek().is_some_and(|next| **next as usize == row);
        if is_gone {
            gone.next();
        }
        !is_gone
    })
}

/// Operands of one filter, sorted by how they are searched. What matches everything is discarded.
#[derive(Default)]
struct Parts {
    literals: Vec<String>,
    folded: Vec<String>,
    regexes: Vec<(Regex, Probe)>,
    patterns: Vec<(LinePattern, Probe)>,
    addresses: Vec<IpPattern>,
    non_empty: bool,
    probes: Vec<Probe>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    fn add_literal(&mut self, text: String, fold: bool) {
        if text.is_empty() {
            return;
        }
        self.probes.push(Probe::Contains { literal: text.clone().into_bytes(), ignore_case: fold });
        if fold { self.folded.push(text) } else { self.literals.push(text) }
    }

    fn add_regex(&mut self, pattern: &str) -> Result<(), String> {
        let regex = pattern::compile(pattern)?;
        match simplify(pattern) {
            Some(Simple::Anything) => {}
            Some(Simple::Any(pieces)) => pieces.into_iter().for_each(|piece| match piece {
                Piece::NonEmpty => {
                    self.non_empty = true;
                    self.probes.push(Probe::ANYTHING);
                }
                Piece::Literal { text, fold, .. } => self.add_literal(text, fold),
            }),
            None => {
                let probe = probe::required(pattern);
                self.probes.push(probe.clone());
                self.regexes.push((regex, probe));
            }
        }
        Ok(())
    }

    fn add_pattern(&mut self, text: &str) -> Result<(), String> {
        let pattern = LinePattern::parse(text)?;
        let probe = Probe::all(pattern.literals().map(|literal| Probe::Contains { literal: literal.to_vec(), ignore_case: false }));
        self.probes.push(probe.clone());
        self.patterns.push((pattern, probe));
        Ok(())
    }

    fn add_ip(&mut self, text: &str) -> Result<(), String> {
        self.addresses.push(IpPattern::parse(text)?);
        self.probes.push(Probe::ANYTHING);
        Ok(())
    }

    fn into_tests(self) -> Result<Vec<LineTest>, String> {
        let mut tests = Vec::new();
        if self.non_empty {
            tests.push(LineTest::Each { prefilter: None, test: EachTest::NonEmpty });
        }
        if !self.literals.is_empty() {
            tests.push(LineTest::Literals(Searcher::literals(self.literals.iter().map(String::as_bytes))));
        }
        if !self.folded.is_empty() {
            tests.push(LineTest::Literals(Searcher::Folded(folded_regex(&self.folded)?)));
        }
        let each = |prefilter, test| LineTest::Each { prefilter, test };
        tests.extend(self.regexes.into_iter().map(|(regex, probe)| each(prefilter(&probe), EachTest::Regex(regex))));
        tests.extend(self.patterns.into_iter().map(|(pattern, probe)| each(prefilter(&probe), EachTest::Pattern(pattern))));
        tests.extend(self.addresses.into_iter().map(|address| each(None, EachTest::Ip(address))));
        Ok(tests)
    }
}

fn prefilter(probe: &Probe) -> Option<Searcher> {
    let literals = probe.best_literals();
    if literals.is_empty() || literals.iter().any(|(literal, _)| literal.len() < PREFILTER_LEN_MIN) {
        return None;
    }
    if literals.iter().all(|(_, fold)| !fold) {
        return Some(Searcher::literals(literals.into_iter().map(|(literal, _)| literal)));
    }
    let branch = |(literal, fold): &(&[u8], bool)| {
        let text = regex::escape(std::str::from_utf8(literal).ok()?);
        Some(if *fold { format!("(?i:{text})") } else { text })
    };
    let branches: Option<Vec<String>> = literals.iter().map(branch).collect();
    pattern::compile(&branches?.join("|")).ok().map(Searcher::Folded)
}

/// Matches any of `texts` in any case: a character matches when its lower case is the text's lower case.
fn folded_regex(texts: &[String]) -> Result<Regex, String> {
    let mut texts: Vec<&String> = texts.iter().collect();
    texts.sort_by_key(|text| text.len());
    let branches: Vec<String> = texts.iter().map(|text| folded_pattern(text)).collect();
    pattern::compile(&branches.join("|"))
}

/// The pattern of one text in any case.
pub(crate) fn folded_pattern(text: &str) -> String {
    text.chars().map(folded_class).collect()
}

fn folded_class(c: char) -> String {
    let lower = lower(c);
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(lower, lower)]);
    if class.try_case_fold_simple().is_err() {
        return regex::escape(&lower.to_string());
    }
    let members: Vec<char> =
        class.iter().flat_map(|range| range.start()..=range.end()).filter(|member| self::lower(*member) == lower).collect();
    match members.as_slice() {
        [] | [_] => regex::escape(&lower.to_string()),
        members => format!("[{}]", members.iter().collect::<String>()),
    }
}

/// Lower case, of characters that stay one character.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

impl LineTest {
    fn matches(&self, line: &[u8]) -> bool {
        match self {
            LineTest::Literals(searcher) => searcher.find(line, 0).is_some(),
            LineTest::Each { test, .. } => test.matches(line),
        }
    }

    /// The selected rows that match, ascending.
    fn matching(&self, lines: &Lines<'_>, selection: &Selection) -> Vec<u32> {
        let mut matched = Vec::new();
        for run in selection.runs(lines.ends.len()) {
            match self {
                LineTest::Literals(searcher) => searcher.each_row(lines, run, |row| matched.push(row as u32)),
                LineTest::Each { prefilter: Some(searcher), test } => searcher.each_row(lines, run, |row| {
                    if test.matches(lines.line(row)) {
                        matched.push(row as u32);
                    }
                }),
                LineTest::Each { prefilter: None, test } => {
                    matched.extend(run.filter(|row| test.matches(lines.line(*row))).map(|row| row as u32));
                }
            }
        }
        matched
    }
}

impl Searcher {
    /// Any of `literals`, none of which is empty.
    fn literals<'a>(literals: impl Iterator<Item = &'a [u8]>) -> Searcher {
        // A shorter literal must win over a longer one at the same place: the longer may cross the end of a line.
        let mut literals: Vec<&[u8]> = literals.collect();
        literals.sort_by_key(|literal| literal.len());
        literals.dedup();
        if let [literal] = literals.as_slice() {
            return Searcher::One(Box::new(memmem::Finder::new(literal).into_owned()));
        }
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).kind(Some(automaton_kind(&literals))).build(&literals);
        Searcher::Many(built.expect("the literals of a query of bounded length fit an automaton"))
    }

    fn find(&self, bytes: &[u8], at: usize) -> Option<Range<usize>> {
        match self {
            Searcher::One(finder) => finder.find(&bytes[at..]).map(|start| at + start..at + start + finder.needle().len()),
            Searcher::Many(automaton) => automaton.find(aho_corasick::Input::new(bytes).span(at..bytes.len())).map(|hit| hit.range()),
            Searcher::Folded(regex) => regex.find_at(bytes, at).map(|hit| hit.range()),
        }
    }

    /// Calls `on_row` for each row of `run` whose line holds a literal, ascending.
    fn each_row(&self, lines: &Lines<'_>, run: Range<usize>, mut on_row: impl FnMut(usize)) {
        let bytes = &lines.bytes[..lines.ends[run.end - 1] as usize];
        let (mut row, mut at) = (run.start, lines.start_of(run.start));
        while row < run.end {
            let Some(hit) = self.find(bytes, at) else { return };
            row = row_of(lines.ends, row, hit.start);
            let line_end = lines.ends[row] as usize;
            if hit.end <= line_end {
                on_row(row);
                at = line_end;
                row += 1;
            } else {
                at = hit.start + 1;
            }
        }
    }
}

/// The fastest automaton that is made quickly: that of a DFA follows, for each state and each byte that occurs, as many states as the longest
/// literal has.
fn automaton_kind(literals: &[&[u8]]) -> AhoCorasickKind {
    let states: usize = literals.iter().map(|literal| literal.len()).sum();
    let longest = literals.iter().map(|literal| literal.len()).max().unwrap_or(0);
    let mut occurs = [false; 256];
    literals.iter().flat_map(|literal| literal.iter()).for_each(|byte| occurs[usize::from(*byte)] = true);
    let bytes = occurs.iter().filter(|occurs| **occurs).count();
    let steps = states.saturating_mul(longest).saturating_mul(bytes);
    if steps <= DFA_STEPS_MAX { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA }
}

/// The row, not before `row`, whose line holds the byte at `at`.
fn row_of(ends: &[u32], mut row: usize, at: usize) -> usize {
    let mut step = 1;
    while row + step < ends.len() && ends[row + step - 1] as usize <= at {
        row += step;
        step *= 2;
    }
    let window = &ends[row..(row + step).min(ends.len())];
    row + window.partition_point(|end| *end as usize <= at)
}

#[cfg(test)]
mod tests;
