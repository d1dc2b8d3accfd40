//! Writes a template as a pattern: what is fixed as it is, what varies as `<_>`.

use super::learn::{EVIDENCE, Line};
use super::tokens::Kind;

/// Stands for what varies.
const VARIABLE: &str = "<_>";

/// A part of a pattern under way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// Something that varies; whether it is a number, or a name with one.
    Variable {
        number: bool,
    },
    /// Blanks, not always equally many.
    Blanks,
}

/// How much of what varies is written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Numbers that belong together are one variable part.
    Joined,
    /// Each chunk is a variable part of its own.
    Apart,
    /// As `Apart`, and chunks vary as a whole, whatever they begin or end with.
    Plain,
}

/// The pattern of `lines`, which have one shape; `fixed` says of each chunk whether it is part of the message.
pub(super) fn render(lines: &[&Line<'_>], fixed: &[bool], style: Style) -> String {
    let first = lines[0];
    let mut parts = Vec::new();
    for at in 0..=fixed.len() {
        push_gap(&mut parts, lines, at);
        match fixed.get(at) {
            None => {}
            Some(true) => parts.push(Part::Text(first.text(at).to_vec())),
            Some(false) => {
                let (before, behind) = if style == Style::Plain { (&[][..], &[][..]) } else { shared_ends(lines, at) };
                parts.push(Part::Text(before.to_vec()));
                parts.push(Part::Variable {
                    number: lines.iter().all(|line| matches!(line.kind(at), Kind::Number | Kind::Mixed | Kind::Mark)),
                });
                parts.push(Part::Text(behind.to_vec()));
            }
        }
    }
    if first.tokens.tail.is_some() {
        parts.push(Part::Variable { number: false });
    }
    let mut parts = settle(parts);
    if let [.., Part::Variable { .. }, Part::Text(end)] = parts.as_slice()
        && end.trim_ascii().is_empty()
    {
        parts.pop();
    }
    to_text(if style == Style::Joined { join_numbers(parts) } else { parts })
}

/// What stands before chunk `at`: as it is where all lines agree, else its blanks vary.
fn push_gap(parts: &mut Vec<Part>, lines: &[&Line<'_>], at: usize) {
    let gap = lines[0].gap(at);
    if lines.iter().all(|line| line.gap(at) == gap) {
        parts.push(Part::Text(gap.to_vec()));
        return;
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    for run in gap.chunk_by(|a, b| is_blank(a) == is_blank(b)) {
        parts.push(if is_blank(&run[0]) { Part::Blanks } else { Part::Text(run.to_vec()) });
    }
}

/// Beginning and end that all values of chunk `at` share, up to punctuation: `blk_` of `blk_1`, `blk_23`.
fn shared_ends<'a>(lines: &[&'a Line<'a>], at: usize) -> (&'a [u8], &'a [u8]) {
    let first = lines[0].text(at);
    let (mut before, mut behind, mut shortest) = (first.len(), first.len(), first.len());
    for line in lines {
        let text = line.text(at);
        shortest = shortest.min(text.len());
        before = first[..before].iter().zip(text).take_while(|(a, b)| a == b).count();
        behind = first[first.len() - behind..].iter().rev().zip(text.iter().rev()).take_while(|(a, b)| a == b).count();
    }
    if lines.len() < EVIDENCE {
        return (&[], &[]);
    }
    let is_mark = |at: &usize| first[*at].is_ascii_punctuation();
    // One byte at least varies.
    let end = (0..before.min(shortest - 1)).rev().filter(is_mark).map(|at| at + 1).find(|end| is_nameable(&first[..*end])).unwrap_or(0);
    let start = (first.len() - behind..first.len()).filter(is_mark).find(|start| is_nameable(&first[*start..])).unwrap_or(first.len());
    let (mut before, mut behind) = (&first[..end], &first[start..]);
    // A sign belongs to its number.
    while let [rest @ .., b'-' | b'+'] = before
        && rest.last().is_none_or(u8::is_ascii_punctuation)
    {
        before = rest;
    }
    if before.len() + behind.len() >= shortest {
        behind = &[];
    }
    (before, behind)
}

/// Whether digits stand only behind letters, as in `v1`: other digits, and those of hexadecimal numbers, are part of what varies.
fn is_nameable(bytes: &[u8]) -> bool {
    let varies = |word: &[u8]| {
        let hexadecimal = word.iter().all(u8::is_ascii_hexdigit) && word.iter().any(u8::is_ascii_digit);
        hexadecimal || word.first().is_some_and(u8::is_ascii_digit)
    };
    bytes.is_ascii() && !bytes.split(|byte| !byte.is_ascii_alphanumeric()).any(varies)
}

/// Joins texts, and blanks that vary with their neighbours; no two variable parts stand side by side after it.
fn settle(parts: Vec<Part>) -> Vec<Part> {
    let mut settled: Vec<Part> = Vec::new();
    let mut parts = parts.into_iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty())).peekable();
    while let Some(part) = parts.next() {
        let part = match part {
            Part::Blanks => match (settled.last(), parts.peek()) {
                // One blank is always there, the rest goes to the variable part.
                (Some(Part::Text(_)) | None, Some(Part::Variable { .. })) | (Some(Part::Variable { .. }), Some(Part::Text(_)) | None) => {
                    Part::Text(vec![b' '])
                }
                _ => Part::Variable { number: true },
            },
            other => other,
        };
        match (settled.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.extend_from_slice(&text),
            (Some(Part::Variable { number: before }), Part::Variable { number }) => *before = *before && number,
            (_, part) => settled.push(part),
        }
    }
    settled
}

/// Makes one variable part of numbers that belong together: those with a single mark between, and dates: two or more at the start or in brackets, three or
/// more elsewhere, with blanks or commas between.
fn join_numbers(parts: Vec<Part>) -> Vec<Part> {
    let is_number = |part: &Part| *part == Part::Variable { number: true };
    let is_mark = |text: &[u8]| text.len() == 1 && b",:.-/".contains(&text[0]);
    let is_wide = |text: &[u8]| is_mark(text) || text.iter().all(|byte| *byte == b' ') || text == b", ";
    let mut joined = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let run = |joins: &dyn Fn(&[u8]) -> bool| {
            let mut end = at;
            while is_number(&parts[end])
                && matches!(parts.get(end + 1), Some(Part::Text(text)) if joins(text))
                && parts.get(end + 2).is_some_and(is_number)
            {
                end += 2;
            }
            end
        };
        let (tight, wide) = (run(&is_mark), run(&is_wide));
        let brackets = (at.checked_sub(1).map(|at| &parts[at]), parts.get(wide + 1));
        let is_bracketed = matches!(brackets, (Some(Part::Text(before)), Some(Part::Text(behind)))
            if before.ends_with(b"[") && behind.starts_with(b"]") || before.ends_with(b"(") && behind.starts_with(b")"));
        let wide_enough = wide - at >= if at == 0 || is_bracketed { 2 } else { 4 };
        joined.push(parts[at].clone());
        at = 1 + if wide_enough { wide } else { tight };
    }
    joined
}

fn to_text(parts: Vec<Part>) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(&String::from_utf8_lossy(&text)),
            Part::Variable { .. } | Part::Blanks => out.push_str(VARIABLE),
        }
    }
    out
}
