//! A label filter behind a parser asks for lines that hold its value.
//!
//! In `{…} | json | trace="4bf92f35"` a line from which the parser takes this value holds `4bf92f35`, or says it with escapes. So lines are
//! searched before they are parsed, and blocks that cannot hold it are skipped.
//!
//! What makes it exact:
//! - `regexp` and `pattern` take values from the line as they stand. `json` and `logfmt` resolve escapes: there text is cut into pieces at every character that can be written
//!   shorter than by `\uXXXX` (as `\/`, `\"`, `\n`), at blanks, which may stand for bytes that are no text, and at what is not ASCII.
//!   A character of a piece stands in the line itself, or as `\u00XX`: the line holds the piece, or what stands before its first escaped
//!   character, and the escape.
//! - Metadata and stream labels come before parsed labels of the same name. Rows of a stream with such a label, and rows beside a metadata column of
//!   that name, are not searched; blocks with such rows are not skipped.
//! - An entry that the filter drops shows no error, so it may be dropped before a parser could mark it.

use crate::ast::{LineFilter, LineOp, LineOperand};
use crate::exec::{Batch, Condition, LineMatcher, Probe, Step, is_plain_name};
use std::collections::HashSet;

/// Begins every escape of an ASCII character that has no shorter one.
const ASCII_ESCAPE: &str = "\\u00";
/// Shorter pieces stand in nearly every line.
const PIECE_LEN_MIN: usize = 2;
/// How much of a piece is looked for in blocks. Each character of it is looked for as an escape, too.
const PIECE_LEN_MAX: usize = 32;

/// Lines that a label filter lets pass, where it is a parser that sets its labels.
#[derive(Debug)]
pub(crate) struct ImpliedFilter {
    /// Labels that the filter looks at.
    names: Vec<String>,
    matcher: LineMatcher,
    text: String,
}

impl ImpliedFilter {
    /// The line filter, where nothing but parsers can set the labels.
    pub(crate) fn for_batch(&self, batch: &Batch<'_>) -> Option<&LineMatcher> {
        let is_set = |name: &String| batch.labels.get(name).is_some() || batch.columns.iter().any(|column| **column.name() == **name);
        (!self.names.iter().any(is_set)).then_some(&self.matcher)
    }

    /// What it looks for, for people.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// How values stand in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    /// Whether a parser that resolves escapes may have read them.
    escapes: bool,
    /// Whether a value with escapes stands behind a quote.
    quoted: bool,
}

/// The line filters, and the questions to blocks, that label filters behind parsers imply.
pub(super) fn implied(steps: &[Step]) -> (Vec<ImpliedFilter>, Vec<Probe>) {
    let (mut filters, mut probes) = (Vec::new(), Vec::new());
    let (mut source, mut written) = (None::<Source>, HashSet::<String>::new());
    for step in steps {
        match step {
            Step::Filter(condition) => {
                let Some(source) = source else { continue };
                let mut touched = false;
                condition.each_name(&mut |name| touched |= written.contains(name));
                if touched {
                    continue;
                }
                probes.push(probe(condition, source));
                filters.extend(filter(condition, source));
            }
            Step::Json | Step::Logfmt(_) | Step::LogfmtKeys { .. } => {
                source = Some(Source { escapes: true, quoted: source.is_none_or(|source| source.quoted) });
            }
            // A path can lead to an array, which is one value with its brackets.
            Step::JsonPaths(_) => source = Some(Source { escapes: true, quoted: false }),
            Step::Regexp(_) | Step::Pattern(_) => source = source.or(Some(Source { escapes: false, quoted: true })),
            Step::LabelFormat(format) => format.each_name(&mut |name| {
                written.insert(name.to_owned());
            }),
            // A label that is gone has no value, so a filter that wants one drops the entry.
            Step::Drop(_) | Step::Keep(_) | Step::Line(_) => {}
            // Later parsers read another line.
            Step::Unpack | Step::Decolorize | Step::LineFormat(_) => break,
        }
    }
    probes.retain(|probe| !probe.is_anything());
    (filters, probes)
}

/// What the line or the metadata of an entry that passes holds.
fn probe(condition: &Condition, source: Source) -> Probe {
    match condition {
        Condition::And(a, b) => Probe::all([probe(a, source), probe(b, source)]),
        Condition::Or(a, b) => Probe::any([probe(a, source), probe(b, source)]),
        Condition::One { name, test } => {
            let Some(texts) = test.needed_texts().filter(|_| is_plain_name(name)) else { return Probe::ANYTHING };
            let whole = test.only_values().is_some();
            let in_line = |text: &str| {
                let begins_value = |piece: &str| whole && source.quoted && piece.as_ptr() == text.as_ptr();
                Probe::all(pieces(text, source).map(|piece| {
                    let piece_at_start = begins_value(piece);
                    let piece = &piece[..if source.escapes { piece.len().min(PIECE_LEN_MAX) } else { piece.len() }];
                    let escaped = if source.escapes { escaped(piece, piece_at_start) } else { Vec::new() };
                    Probe::any(std::iter::once(contains(piece)).chain(escaped))
                }))
            };
            let are_values = test.only_values().is_some();
            let in_metadata = |text: &str| match are_values {
                true => Probe::MetadataEquals { name: name.clone(), value: text.to_owned() },
                false => Probe::HasMetadata { name: name.clone() },
            };
            Probe::any(texts.iter().flat_map(|text| [in_metadata(text), in_line(text)]))
        }
    }
}

fn contains(text: &str) -> Probe {
    Probe::Contains { literal: text.as_bytes().to_vec(), ignore_case: false }
}

/// How a line can hold an ASCII text, some characters of which are escaped: by the first of these.
fn escaped(text: &str, behind_quote: bool) -> Vec<Probe> {
    let quote = if behind_quote { "\"" } else { "" };
    let by_first = |(at, c): (usize, char)| {
        let literal = format!("{quote}{}{ASCII_ESCAPE}{:02x}", &text[..at], u32::from(c));
        // The digits of the escape may be of either case.
        let ignore_case = u32::from(c) % 16 > 9;
        Probe::Contains { literal: literal.into_bytes(), ignore_case }
    };
    text.char_indices().map(by_first).collect()
}

/// The line filter of a condition, if some text of useful length must be there.
fn filter(condition: &Condition, source: Source) -> Option<ImpliedFilter> {
    let mut texts = alternatives(condition, source)?;
    if source.escapes {
        texts.push(ASCII_ESCAPE.to_owned());
    }
    texts.sort();
    texts.dedup();
    let mut names = Vec::new();
    condition.each_name(&mut |name| names.push(name.to_owned()));
    let filter = LineFilter { op: LineOp::Contains, operands: texts.into_iter().map(LineOperand::Text).collect() };
    LineMatcher::compile(&filter).ok().map(|matcher| ImpliedFilter { names, matcher, text: filter.to_string() })
}

/// Texts one of which each line holds whose labels pass, but for escapes.
fn alternatives(condition: &Condition, source: Source) -> Option<Vec<String>> {
    match condition {
        Condition::And(a, b) => {
            let shortest = |texts: &Vec<String>| texts.iter().map(String::len).min();
            [alternatives(a, source), alternatives(b, source)].into_iter().flatten().max_by_key(shortest)
        }
        Condition::Or(a, b) => Some([alternatives(a, source)?, alternatives(b, source)?].concat()),
        Condition::One { name, test } => {
            let texts = test.needed_texts().filter(|_| is_plain_name(name))?;
            let longest = |text: &String| {
                let piece = pieces(text, source).max_by_key(|piece| piece.len())?;
                (piece.len() >= PIECE_LEN_MIN).then(|| piece.to_owned())
            };
            texts.iter().map(longest).collect()
        }
    }
}

/// The parts of a value that stand in the line as they are, but for escapes of single characters.
fn pieces(text: &str, source: Source) -> impl Iterator<Item = &str> {
    let breaks = move |c: char| source.escapes && (!c.is_ascii() || c.is_control() || matches!(c, ' ' | '"' | '\\' | '/' | '\''));
    text.split(breaks).filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lines_of, plan_of};
    use crate::plan::{Plan, Rewrites};

    super::super::tests::same_answers_without!(LiteralsFromFilters);

    #[track_caller]
    fn check(stages: &str, lines: &str, blocks: &str) {
        let Plan::Log(plan) = plan_of(&format!("{{app=\"a\"}} {stages}"), Rewrites::ALL).expect("plans") else { panic!("a log query") };
        let filters: Vec<String> = plan.pipeline().implied_filters().map(str::to_owned).collect();
        assert_eq!(filters.join(" "), lines, "{stages}");
        assert_eq!(plan.pipeline().block_probe().to_string(), blocks, "{stages}");
    }

    #[test]
    fn a_value_behind_a_parser_is_looked_for_in_lines() {
        let xx = r#"xx | "\u0078 | "x\u0078"#;
        check(r#"| json | id="4z""#, r#"|= "4z" or "\\u00""#, r#"(id=4z | 4z | "\u0034 | "4\u007a/i)"#);
        check(r#"| pattern "<m> <p>" | m="GET""#, r#"|= "GET""#, "(m=GET | GET)");
        check(
            r#"| logfmt | p="/ab x" | line_format "a""#,
            r#"|= "\\u00" or "ab""#,
            r"(p=/ab x | ((ab | \u0061 | a\u0062) & (x | \u0078)))",
        );
        check(r#"| json | a=~"xx|yy""#, r#"|= "\\u00" or "xx" or "yy""#, &format!(r#"(a=xx | {xx} | a=yy | yy | "\u0079 | "y\u0079)"#));
        check(r#"| json | m=~".*xx.*""#, r#"|= "\\u00" or "xx""#, r"(m=? | xx | \u0078 | x\u0078)");
        check(r#"| json a="b" | a="xx""#, r#"|= "\\u00" or "xx""#, r"(a=xx | xx | \u0078 | x\u0078)");
        check(
            r#"| json | a="xx" or b="yy""#,
            r#"|= "\\u00" or "xx" or "yy""#,
            &format!(r#"(a=xx | {xx} | b=yy | yy | "\u0079 | "y\u0079)"#),
        );
        check(r#"| json | a="xx", b>5"#, r#"|= "\\u00" or "xx""#, &format!("(a=xx | {xx})"));
    }

    #[test]
    fn values_in_escapes_are_found() {
        let lines = [r#"{"a":"x1"}"#, r#"{"a":"\u00781"}"#, r#"{"a":"x2"}"#, r#"a=x1"#, r#"a="x\u0031""#, r#"{"a":"x1","b":"y\/z"}"#];
        let found = |stages: &str| lines_of(stages, &lines);
        assert_eq!(found(r#"| json | a="x1""#), [lines[0], lines[1], lines[5]]);
        assert_eq!(found(r#"| logfmt | a="x1""#), [lines[3], lines[4]]);
        assert_eq!(found(r#"| json | b="y/z""#), [lines[5]]);
        assert_eq!(found(r#"| json c="a" | c=~"x1|x2""#), [lines[0], lines[1], lines[2], lines[5]]);
    }

    #[test]
    fn nothing_is_looked_for_where_a_value_could_come_from_elsewhere() {
        for stages in [
            r#"| json | a="""#,
            r#"| json | a!="xx""#,
            r#"| json | a=~"(?i)xx""#,
            r#"| json | a="xx" or b>5"#,
            r#"| json | a_extracted="xx""#,
            r#"| json | __error__="JSONParserErr""#,
            r#"| json | line_format "{{.a}}" | logfmt | a="xx""#,
            r#"| json | label_format a="xx" | a="xx""#,
            r#"| unpack | a="xx""#,
            r#"| json | a="é""#,
        ] {
            check(stages, "", "()");
        }
    }
}
