use super::batch::text;
use super::ip::IpPattern;
use super::line_filter::folded_pattern;
use super::pattern;
use super::probe::Probe;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED, RowLabels, names_error};
use crate::ast::{CompareOp, LabelFilter, MatchOp, Matcher};
use crate::regex::{Piece, Simple, simplify};
use crate::units;
use memchr::memmem;
use regex::bytes::Regex;

/// What a typed filter reports when a value does not convert.
const FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled condition on labels.
#[derive(Debug)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    One { name: String, test: Test },
}

/// A compiled condition on one value.
#[derive(Debug)]
pub(crate) enum Test {
    Text { negated: bool, text: TextTest },
    Number { op: CompareOp, value: f64 },
    Duration { op: CompareOp, nanos: i64 },
    Bytes { op: CompareOp, bytes: u64 },
    Ip { negated: bool, pattern: IpPattern },
}

#[derive(Debug)]
pub(crate) enum TextTest {
    Anything,
    Equal(String),
    Any(Vec<PieceTest>),
    Regex(Regex),
}

#[derive(Debug)]
pub(crate) enum PieceTest {
    NonEmpty,
    Equal(String),
    Holds(Box<memmem::Finder<'static>>),
    Folded(Regex),
}

/// What a test says of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// The value does not convert; the entry stays and carries the error.
    Error(String),
}

/// Why a label filter does not compile.
pub(crate) enum ConditionError {
    Regex(String),
    /// Found when the stage is compiled, not when the query is parsed.
    Ip {
        filter: String,
        cause: String,
    },
}

impl Condition {
    /// Compiles `filter`.
    pub(crate) fn compile(filter: &LabelFilter) -> Result<Self, ConditionError> {
        let pair = |a: &LabelFilter, b: &LabelFilter| Ok((Box::new(Self::compile(a)?), Box::new(Self::compile(b)?)));
        let one = |name: &String, test| Ok(Condition::One { name: name.clone(), test });
        match filter {
            LabelFilter::And(a, b) => pair(a, b).map(|(a, b)| Condition::And(a, b)),
            LabelFilter::Or(a, b) => pair(a, b).map(|(a, b)| Condition::Or(a, b)),
            LabelFilter::Text(matcher) => one(&matcher.name, Test::text(matcher).map_err(ConditionError::Regex)?),
            LabelFilter::Number { name, op, value } => one(name, Test::Number { op: *op, value: *value }),
            LabelFilter::Duration { name, op, nanos } => one(name, Test::Duration { op: *op, nanos: *nanos }),
            LabelFilter::Bytes { name, op, bytes } => one(name, Test::Bytes { op: *op, bytes: *bytes }),
            LabelFilter::Ip { name, negated, pattern } => {
                let pattern = IpPattern::parse(pattern).map_err(|cause| ConditionError::Ip { filter: format!("| {filter}"), cause })?;
                one(name, Test::Ip { negated: *negated, pattern })
            }
        }
    }

    /// Whether the entry stays. A value that does not convert leaves its mark on the entry.
    pub(crate) fn eval(&self, row: &mut RowLabels) -> bool {
        match self {
            // Both sides are looked at: the right one may mark the entry.
            Condition::And(a, b) => a.eval(row) & b.eval(row),
            Condition::Or(a, b) => a.eval(row) || b.eval(row),
            Condition::One { name, test } => match test.eval(row, name) {
                Verdict::Pass => true,
                Verdict::Fail => false,
                Verdict::Error(details) => {
                    if row.error().is_none() {
                        row.set_error(FILTER_ERROR, Some(&details));
                    }
                    true
                }
            },
        }
    }

    /// The answer where the stream's own labels decide it; `label` gives those that entries cannot change.
    pub(crate) fn eval_stream<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> Option<bool> {
        match self {
            Condition::And(a, b) => match (a.eval_stream(label), b.eval_stream(label)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(a, b) => match (a.eval_stream(label), b.eval_stream(label)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            // An address filter lets entries with an error pass whatever the label says.
            Condition::One { test: Test::Ip { .. }, .. } => None,
            Condition::One { name, test } => label(name).map(|value| test.check(value.as_bytes()) != Verdict::Fail),
        }
    }

    /// What metadata must hold for entries of streams that do not have the names.
    pub(crate) fn probe(&self) -> Probe {
        match self {
            Condition::And(a, b) => Probe::all([a.probe(), b.probe()]),
            Condition::Or(a, b) => Probe::any([a.probe(), b.probe()]),
            Condition::One { name, test } => match test.only_values() {
                Some(values) if is_plain_name(name) => {
                    Probe::any(values.into_iter().map(|value| Probe::MetadataEquals { name: name.clone(), value }))
                }
                _ => Probe::ANYTHING,
            },
        }
    }

    /// Whether it compares texts only, so that it cannot mark entries.
    pub(crate) fn is_text_only(&self) -> bool {
        match self {
            Condition::And(a, b) | Condition::Or(a, b) => a.is_text_only() && b.is_text_only(),
            Condition::One { test, .. } => matches!(test, Test::Text { .. }),
        }
    }

    /// Calls `visit` with each name looked at.
    pub(crate) fn each_name(&self, visit: &mut impl FnMut(&str)) {
        match self {
            Condition::And(a, b) | Condition::Or(a, b) => {
                a.each_name(visit);
                b.each_name(visit);
            }
            Condition::One { name, .. } => visit(name),
        }
    }
}

impl Test {
    fn text(matcher: &Matcher) -> Result<Self, String> {
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        let text = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => TextTest::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => TextTest::regex(&matcher.value)?,
        };
        Ok(Test::Text { negated, text })
    }

    fn eval(&self, row: &RowLabels, name: &str) -> Verdict {
        match (self, name) {
            // Only text filters see errors, and none sees their causes.
            (Test::Text { .. }, ERROR) => self.check(row.error().unwrap_or_default().as_bytes()),
            (Test::Text { .. }, ERROR_DETAILS) => self.check(b""),
            (Test::Text { .. }, _) => self.check(row.get(name).unwrap_or_default()),
            (Test::Ip { .. }, _) if row.error().is_some() => Verdict::Pass,
            (_, ERROR | ERROR_DETAILS) => Verdict::Fail,
            _ => row.get(name).map_or(Verdict::Fail, |value| self.check(value)),
        }
    }

    /// The verdict on a value; for text, a missing label is the empty one.
    pub(crate) fn check(&self, value: &[u8]) -> Verdict {
        let passed = match self {
            Test::Text { negated, text } => Ok(text.matches(value) != *negated),
            Test::Number { op, value: right } => {
                units::parse_float(&text(value)).map(|left| compare(*op, left, *right)).map_err(|e| e.to_string())
            }
            Test::Duration { op, nanos } => {
                units::parse_go_duration(&text(value)).map(|left| compare(*op, left, *nanos)).map_err(|e| e.to_string())
            }
            Test::Bytes { op, bytes } => units::parse_size(&text(value)).map(|left| compare(*op, left, *bytes)).map_err(|e| e.to_string()),
            Test::Ip { negated, pattern } => Ok(pattern.found_in(value) != *negated),
        };
        match passed {
            Ok(true) => Verdict::Pass,
            Ok(false) => Verdict::Fail,
            Err(details) => Verdict::Error(details),
        }
    }

    /// The values that pass, where they can be listed and none is empty.
    pub(crate) fn only_values(&self) -> Option<Vec<String>> {
        let Test::Text { negated: false, text } = self else { return None };
        text.each_piece(|piece| if let PieceTest::Equal(value) = piece { Some(value.clone()) } else { None })
    }

    /// Texts one of which every value that passes holds, where there are such; none is empty.
    pub(crate) fn needed_texts(&self) -> Option<Vec<String>> {
        let Test::Text { negated: false, text } = self else { return None };
        text.each_piece(|piece| match piece {
            PieceTest::Equal(value) => Some(value.clone()),
            PieceTest::Holds(finder) => String::from_utf8(finder.needle().to_vec()).ok(),
            PieceTest::NonEmpty | PieceTest::Folded(_) => None,
        })
    }
}

/// Whether a label of this name is what its name says: no error, and nothing that got a longer name because its own was taken.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.ends_with(EXTRACTED) && name != ERROR && name != ERROR_DETAILS
}

fn compare<T: PartialOrd>(op: CompareOp, left: T, right: T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterOrEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessOrEqual => left <= right,
    }
}

impl TextTest {
    fn regex(pattern: &str) -> Result<Self, String> {
        let regex = pattern::compile_anchored(pattern)?;
        let pieces = match simplify(pattern) {
            None => return Ok(TextTest::Regex(regex)),
            Some(Simple::Anything) => return Ok(TextTest::Anything),
            Some(Simple::Any(pieces)) => pieces,
        };
        pieces.into_iter().map(PieceTest::new).collect::<Result<_, _>>().map(TextTest::Any)
    }

    /// What `text` says of all pieces one of which a value must pass. `None` where it says nothing, or an empty text, of one.
    fn each_piece(&self, text: impl Fn(&PieceTest) -> Option<String>) -> Option<Vec<String>> {
        let texts = match self {
            TextTest::Equal(value) => vec![value.clone()],
            TextTest::Any(pieces) => pieces.iter().map(text).collect::<Option<Vec<String>>>()?,
            TextTest::Anything | TextTest::Regex(_) => return None,
        };
        texts.iter().all(|text| !text.is_empty()).then_some(texts)
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            TextTest::Anything => true,
            TextTest::Equal(wanted) => wanted.as_bytes() == value,
            TextTest::Any(pieces) => pieces.iter().any(|piece| piece.matches(value)),
            TextTest::Regex(regex) => regex.is_match(value),
        }
    }
}

impl PieceTest {
    fn new(piece: Piece) -> Result<Self, String> {
        Ok(match piece {
            Piece::NonEmpty => PieceTest::NonEmpty,
            Piece::Literal { text, fold: false, exact: true } => PieceTest::Equal(text),
            Piece::Literal { text, fold: false, exact: false } => PieceTest::Holds(Box::new(memmem::Finder::new(&text).into_owned())),
            Piece::Literal { text, fold: true, exact: true } => PieceTest::Folded(pattern::compile_anchored(&folded_pattern(&text))?),
            Piece::Literal { text, fold: true, exact: false } => PieceTest::Folded(pattern::compile(&folded_pattern(&text))?),
        })
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            PieceTest::NonEmpty => !value.is_empty(),
            PieceTest::Equal(text) => text.as_bytes() == value,
            PieceTest::Holds(finder) => finder.find(value).is_some(),
            PieceTest::Folded(regex) => regex.is_match(value),
        }
    }
}

/// One item of `drop` and `keep`: a name, and what its value must be.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    matcher: Option<(bool, MatcherTest)>,
}

#[derive(Debug)]
enum MatcherTest {
    Equal(String),
    Regex(Regex),
}

impl Named {
    pub(crate) fn compile(item: &crate::ast::NamedOrMatcher) -> Result<Self, String> {
        let matcher = match item {
            crate::ast::NamedOrMatcher::Name(name) => return Ok(Named { name: name.clone(), matcher: None }),
            crate::ast::NamedOrMatcher::Matcher(matcher) => matcher,
        };
        let negated = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => MatcherTest::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => MatcherTest::Regex(pattern::compile_selector(&matcher.value)?),
        };
        Ok(Named { name: matcher.name.clone(), matcher: Some((negated, test)) })
    }

    /// Whether it names an error, or its cause.
    pub(crate) fn is_of_error(&self) -> bool {
        names_error(&self.name)
    }

    fn takes(&self, value: &[u8]) -> bool {
        match &self.matcher {
            None => true,
            Some((negated, MatcherTest::Equal(wanted))) => (wanted.as_bytes() == value) != *negated,
            Some((negated, MatcherTest::Regex(regex))) => regex.is_match(value) != *negated,
        }
    }

    /// Removes from `row` what the items name.
    pub(crate) fn drop_all(items: &[Named], row: &mut RowLabels) {
        for item in items {
            let value = match item.name.as_str() {
                ERROR => row.error().unwrap_or_default().as_bytes(),
                ERROR_DETAILS => row.details().unwrap_or_default().as_bytes(),
                name => row.get(name).unwrap_or_default(),
            };
            if item.takes(value) {
                row.remove(&item.name);
            }
        }
    }

    /// Removes from `row` what no item names.
    pub(crate) fn keep_only(items: &[Named], row: &mut RowLabels) {
        row.retain(|name, value| items.iter().any(|item| item.name == name && item.takes(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(op: MatchOp, pattern: &str, passes: &[&str], fails: &[&str]) {
        let matcher = Matcher { name: "a".to_owned(), op, value: pattern.to_owned() };
        let test = Test::text(&matcher).expect("compiles");
        passes.iter().for_each(|value| assert_eq!(test.check(value.as_bytes()), Verdict::Pass, "{pattern} on {value}"));
        fails.iter().for_each(|value| assert_eq!(test.check(value.as_bytes()), Verdict::Fail, "{pattern} on {value}"));
    }

    #[test]
    fn simple_regexes_lose_their_anchors_and_others_do_not() {
        check(MatchOp::Regex, "al.*", &["al", "xalpha"], &["a"]);
        check(MatchOp::Regex, "al.+", &["alpha"], &["al", "xalpha"]);
        check(MatchOp::Regex, "xx|yy", &["xx", "yy"], &["xxx", ""]);
        check(MatchOp::Regex, "foo|foobar", &["foo", "xfoo"], &["fo"]);
        check(MatchOp::Regex, "foobar|", &["foobar"], &["", "x"]);
        check(MatchOp::Regex, "", &["", "x"], &[]);
        check(MatchOp::NotRegex, "", &[], &["", "x"]);
        check(MatchOp::Regex, "(?i)ab", &["AB", "ab"], &["xab"]);
        check(MatchOp::NotEqual, "a", &["", "b"], &["a"]);
    }

    #[test]
    fn typed_tests_convert_or_say_why_not() {
        let number = Test::Number { op: CompareOp::Greater, value: 4.0 };
        assert_eq!((number.check(b"5"), number.check(b"NaN")), (Verdict::Pass, Verdict::Fail));
        assert_eq!(number.check(b"x"), Verdict::Error("strconv.ParseFloat: parsing \"x\": invalid syntax".to_owned()));
        let size = Test::Bytes { op: CompareOp::Equal, bytes: 5120 };
        assert_eq!((size.check(b"5 kib"), size.check(b"5KB")), (Verdict::Pass, Verdict::Fail));
    }
}
