//! What compiled patterns cost, known before they are compiled.

use super::{Flags, parse};
use regex_syntax::hir::{Class, Hir, HirKind};

/// What the patterns of one query may cost together. Compiling that much takes a part of a second and some ten megabytes.
pub const COST_MAX: usize = 500_000;

/// What every pattern costs, however short.
const PATTERN_COST: usize = 250;

/// About how many states the compiled `pattern` has, and more for being one; nothing if Go refuses it.
pub fn cost(pattern: &str) -> usize {
    parse(pattern, Flags::SEARCH).map_or(0, |hir| states(&hir).saturating_add(PATTERN_COST))
}

fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Class(Class::Unicode(class)) => match class.ranges().iter().filter(|range| !range.end().is_ascii()).count() {
            0 => 1,
            // A range of characters is some ranges of bytes behind each other.
            wide => wide.saturating_mul(2).saturating_add(8),
        },
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            states(&repetition.sub).saturating_add(1).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(parts.len(), |sum, part| sum.saturating_add(states(part)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, want: usize) {
        assert_eq!(cost(pattern), PATTERN_COST + want, "{pattern}");
    }

    #[test]
    fn what_is_repeated_counts_as_often() {
        check("", 1);
        check("abc", 3);
        check("[a-z]", 1);
        check("[a-z]{30}", 60);
        check("([a-z]{10}){10}", 230);
        check(".", 10);
        check("(.{30}){30}", 9_990);
        check("a*", 2);
        assert_eq!(cost("("), 0, "what is refused is not compiled");
    }
}
