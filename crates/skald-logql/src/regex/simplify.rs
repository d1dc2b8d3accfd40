use super::{Flags, parse};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Whether a label filter tests this pattern by plain text comparison instead of compiling it: a literal, `.*`, `.+`, nothing, an
/// alternation of these, or one literal with `.*` and alternatives around it.
pub fn simplifies(pattern: &str) -> bool {
    // A case-insensitive literal is a literal too.
    let plain = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    parse(plain, Flags::SEARCH).is_ok_and(|hir| is_simple(&without_captures(&hir)))
}

fn without_captures(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(capture) => without_captures(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_captures).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(without_captures).collect()),
        _ => hir.clone(),
    }
}

fn is_simple(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) => true,
        HirKind::Repetition(repetition) => repetition.max.is_none() && repetition.min <= 1 && is_any(&repetition.sub),
        HirKind::Concat(parts) => is_simple_concat(parts),
        HirKind::Alternation(branches) => literals(branches).map_or_else(|| branches.iter().all(is_simple), |texts| factors(&texts)),
        HirKind::Class(_) | HirKind::Look(_) | HirKind::Capture(_) => false,
    }
}

/// `.` without line feeds.
fn is_any(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            ranges.len() == 2 && ranges[0].start() == '\0' && ranges[0].end() == '\u{9}' && ranges[1].start() == '\u{b}'
        }
        _ => false,
    }
}

fn is_dot_star(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Repetition(repetition) if repetition.min == 0) && is_simple(hir)
}

fn is_simple_concat(parts: &[Hir]) -> bool {
    let mut literals_seen = 0;
    parts.len() <= 3
        && parts.iter().all(|part| match part.kind() {
            HirKind::Literal(_) => {
                literals_seen += 1;
                true
            }
            HirKind::Alternation(branches) => {
                literals_seen > 0
                    && literals(branches).map_or_else(
                        || {
                            branches.iter().all(|b| {
                                matches!(b.kind(), HirKind::Empty | HirKind::Literal(_) | HirKind::Concat(_)) && is_simple(b)
                                    || is_dot_star(b)
                            })
                        },
                        |texts| factors(&texts),
                    )
            }
            _ => is_dot_star(part),
        })
        && literals_seen == 1
}

/// The branches as texts, if all are.
fn literals(branches: &[Hir]) -> Option<Vec<String>> {
    let text = |branch: &Hir| match branch.kind() {
        HirKind::Empty => Some(String::new()),
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    };
    branches.iter().map(text).collect()
}

/// Whether alternatives stay texts when neighbours with a common start are drawn together, which makes a class of single characters.
fn factors(texts: &[String]) -> bool {
    let mut at = 0;
    let mut single_before = false;
    while at < texts.len() {
        let mut common = texts[at].as_str();
        let mut end = at + 1;
        while end < texts.len() {
            let shared = common_start(common, &texts[end]);
            if shared == 0 {
                break;
            }
            common = &common[..shared];
            end += 1;
        }
        if end - at > 1 {
            let rests: Vec<String> = texts[at..end].iter().map(|text| text[common.len()..].to_owned()).collect();
            if !factors(&rests) {
                return false;
            }
            single_before = false;
        } else {
            let single = texts[at].chars().count() == 1;
            if single && single_before {
                return false;
            }
            single_before = single;
        }
        at = end;
    }
    true
}

fn common_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}
