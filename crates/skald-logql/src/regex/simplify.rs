//! Regular expressions that are literals in disguise, by the rules that decide what label filters match.
//!
//! The rules are older than this code and observable: `al.*` on a label tests for a substring, `foo|.*` loses its second branch.

use super::translate;
use regex_syntax::ast::{self, Ast};

/// What a simple regular expression asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Simple {
    /// Anything.
    Anything,
    /// One of these.
    Any(Vec<Piece>),
}

/// One alternative of a simple regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// At least one byte.
    NonEmpty,
    /// A text.
    Literal {
        /// The text.
        text: String,
        /// Whether case is ignored.
        fold: bool,
        /// Whether a label's value has to be this text, instead of holding it.
        exact: bool,
    },
}

/// Whether filters test this pattern by plain text comparison instead of compiling it: a literal, `.*`, `.+`, nothing, an
/// alternation of these, or one literal with `.*` and alternatives around it.
pub fn simplifies(pattern: &str) -> bool {
    simplify(pattern).is_some()
}

/// The simple form of `pattern`, if it has one.
pub(crate) fn simplify(pattern: &str) -> Option<Simple> {
    let parsed = ast::parse::ParserBuilder::new().nest_limit(super::NEST_MAX).build().parse(&translate(pattern).ok()?).ok()?;
    simple(&lower(&parsed, &mut Flags::default())?)
}

/// A regular expression after the rewriting that comes before simplification.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Empty,
    AnyStar,
    AnyPlus,
    Literal {
        text: Vec<char>,
        fold: bool,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    /// Anything that no rule knows.
    Opaque,
}

#[derive(Default, Clone, Copy)]
struct Flags {
    fold: bool,
}

impl Flags {
    fn apply(&mut self, flags: &ast::Flags) -> Option<()> {
        if let Some(fold) = flags.flag_state(ast::Flag::CaseInsensitive) {
            self.fold = fold;
        }
        let known = [ast::Flag::CaseInsensitive, ast::Flag::DotMatchesNewLine, ast::Flag::MultiLine, ast::Flag::SwapGreed];
        let all_known = flags.items.iter().all(|item| match item.kind {
            ast::FlagsItemKind::Negation => true,
            ast::FlagsItemKind::Flag(flag) => known.contains(&flag),
        });
        all_known.then_some(())
    }
}

/// `None` when flags occur that are not understood.
fn lower(ast: &Ast, flags: &mut Flags) -> Option<Node> {
    Some(match ast {
        Ast::Empty(_) => Node::Empty,
        Ast::Flags(set) => {
            flags.apply(&set.flags)?;
            Node::Empty
        }
        Ast::Literal(literal) => one(literal.c, flags.fold),
        Ast::ClassBracketed(class) => bracketed(class, flags.fold),
        Ast::Repetition(repetition) => repeated(repetition),
        Ast::Group(group) => {
            let mut inner = *flags;
            if let ast::GroupKind::NonCapturing(set) = &group.kind {
                inner.apply(set)?;
            }
            lower(&group.ast, &mut inner)?
        }
        Ast::Alternation(alternation) => {
            let mut branches = Vec::new();
            for branch in &alternation.asts {
                match lower(branch, flags)? {
                    Node::Alternate(inner) => branches.extend(inner),
                    node => branches.push(node),
                }
            }
            factor(branches)
        }
        Ast::Concat(concat) => {
            let mut parts = Vec::new();
            for part in &concat.asts {
                match lower(part, flags)? {
                    Node::Concat(inner) => inner.into_iter().for_each(|node| push_part(&mut parts, node)),
                    node => push_part(&mut parts, node),
                }
            }
            concat_of(parts)
        }
        Ast::Dot(_) | Ast::Assertion(_) | Ast::ClassUnicode(_) | Ast::ClassPerl(_) => Node::Opaque,
    })
}

fn one(c: char, fold: bool) -> Node {
    let has_case = c.to_lowercase().ne([c]) || c.to_uppercase().ne([c]);
    Node::Literal { text: vec![c], fold: fold && has_case }
}

/// A class of one character, or of one letter in both cases, is a literal.
fn bracketed(class: &ast::ClassBracketed, fold: bool) -> Node {
    use ast::{ClassSet, ClassSetItem};
    let ClassSet::Item(item) = &class.kind else { return Node::Opaque };
    match item {
        ClassSetItem::Literal(literal) if !class.negated => one(literal.c, fold),
        ClassSetItem::Union(union) if !class.negated => match union.items.as_slice() {
            [ClassSetItem::Literal(literal)] => one(literal.c, fold),
            [ClassSetItem::Literal(a), ClassSetItem::Literal(b)] if a.c != b.c && a.c.eq_ignore_ascii_case(&b.c) => one(a.c, true),
            _ => Node::Opaque,
        },
        _ => Node::Opaque,
    }
}

fn repeated(repetition: &ast::Repetition) -> Node {
    use ast::{RepetitionKind as Kind, RepetitionRange as Range};
    if !matches!(*repetition.ast, Ast::Dot(_)) {
        return Node::Opaque;
    }
    match repetition.op.kind {
        Kind::ZeroOrMore | Kind::Range(Range::AtLeast(0)) => Node::AnyStar,
        Kind::OneOrMore | Kind::Range(Range::AtLeast(1)) => Node::AnyPlus,
        Kind::ZeroOrOne | Kind::Range(_) => Node::Opaque,
    }
}

/// Appends to a concatenation, joining literals of the same case rule.
fn push_part(parts: &mut Vec<Node>, node: Node) {
    match (parts.last_mut(), node) {
        (_, Node::Empty) => {}
        (Some(Node::Literal { text, fold }), Node::Literal { text: more, fold: same }) if *fold == same => text.extend(more),
        (_, node) => parts.push(node),
    }
}

fn concat_of(mut parts: Vec<Node>) -> Node {
    match parts.len() {
        0 => Node::Empty,
        1 => parts.remove(0),
        _ => Node::Concat(parts),
    }
}

/// An alternation whose neighbours with a common literal prefix are written once, and whose neighbouring single characters are a class.
fn factor(branches: Vec<Node>) -> Node {
    let mut factored: Vec<Node> = Vec::new();
    let mut at = 0;
    while at < branches.len() {
        let (prefix, fold) = leading(&branches[at]);
        let (mut prefix, mut end) = (prefix.to_vec(), at + 1);
        while let Some(next) = branches.get(end) {
            let (other, other_fold) = leading(next);
            let common = prefix.iter().zip(other).take_while(|(a, b)| a == b).count();
            if common == 0 || other_fold != fold {
                break;
            }
            prefix.truncate(common);
            end += 1;
        }
        if end - at == 1 {
            factored.push(branches[at].clone());
        } else {
            let rest = branches[at..end].iter().map(|branch| without_leading(branch, prefix.len())).collect();
            let mut parts = vec![Node::Literal { text: prefix, fold }];
            push_part(&mut parts, factor(rest));
            factored.push(concat_of(parts));
        }
        at = end;
    }
    merge_single_characters(&mut factored);
    factored.dedup_by(|a, b| *a == Node::Empty && *b == Node::Empty);
    if factored.len() == 1 { factored.remove(0) } else { Node::Alternate(factored) }
}

fn leading(node: &Node) -> (&[char], bool) {
    match node {
        Node::Literal { text, fold } => (text, *fold),
        Node::Concat(parts) => leading(&parts[0]),
        _ => (&[], false),
    }
}

fn without_leading(node: &Node, count: usize) -> Node {
    match node {
        Node::Literal { text, .. } if text.len() == count => Node::Empty,
        Node::Literal { text, fold } => Node::Literal { text: text[count..].to_vec(), fold: *fold },
        Node::Concat(parts) => {
            let mut rest = Vec::new();
            push_part(&mut rest, without_leading(&parts[0], count));
            parts[1..].iter().for_each(|part| push_part(&mut rest, part.clone()));
            concat_of(rest)
        }
        other => other.clone(),
    }
}

fn merge_single_characters(branches: &mut Vec<Node>) {
    let single = |node: &Node| matches!(node, Node::Literal { text, .. } if text.len() == 1);
    let mut merged: Vec<Node> = Vec::new();
    let mut at = 0;
    while at < branches.len() {
        let run = branches[at..].iter().take_while(|node| single(node)).count();
        if run >= 2 {
            merged.push(Node::Opaque);
        } else {
            merged.push(branches[at].clone());
        }
        at += run.max(1);
    }
    *branches = merged;
}

fn simple(node: &Node) -> Option<Simple> {
    Some(match node {
        Node::Empty | Node::AnyStar => Simple::Anything,
        Node::AnyPlus => Simple::Any(vec![Piece::NonEmpty]),
        Node::Literal { text, fold } => Simple::Any(vec![Piece::Literal { text: text.iter().collect(), fold: *fold, exact: true }]),
        Node::Concat(parts) => Simple::Any(concat_pieces(parts)?),
        Node::Alternate(branches) => {
            let mut pieces = Vec::new();
            for branch in branches {
                match simple(branch)? {
                    Simple::Anything => {}
                    Simple::Any(more) => pieces.extend(more),
                }
            }
            if pieces.is_empty() { Simple::Anything } else { Simple::Any(pieces) }
        }
        Node::Opaque => return None,
    })
}

/// At most three parts: one literal, `.*` around it, and one alternation directly after it.
fn concat_pieces(parts: &[Node]) -> Option<Vec<Piece>> {
    if parts.len() > 3 {
        return None;
    }
    let mut literal: Option<(&[char], bool)> = None;
    let mut pieces = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match (part, literal) {
            (Node::AnyStar | Node::Empty, _) => {}
            (Node::Literal { text, fold }, None) => literal = Some((text, *fold)),
            (Node::Alternate(branches), Some((prefix, fold))) if pieces.is_empty() && matches!(parts[at - 1], Node::Literal { .. }) => {
                for branch in branches {
                    extend_prefix(prefix, fold, branch, &mut pieces)?;
                }
            }
            _ => return None,
        }
    }
    let (text, fold) = literal?;
    if pieces.is_empty() {
        pieces.push(Piece::Literal { text: text.iter().collect(), fold, exact: false });
    }
    Some(pieces)
}

fn extend_prefix(prefix: &[char], fold: bool, branch: &Node, pieces: &mut Vec<Piece>) -> Option<()> {
    let whole = |text: &[char]| Piece::Literal { text: prefix.iter().chain(text).collect(), fold, exact: false };
    match branch {
        Node::Empty | Node::AnyStar => pieces.push(whole(&[])),
        Node::Literal { text, fold: same } if *same == fold => pieces.push(whole(text)),
        Node::Concat(parts) => {
            let Node::Literal { text, fold: same } = &parts[0] else { return None };
            if *same != fold {
                return None;
            }
            for piece in concat_pieces(parts)? {
                let Piece::Literal { text: rest, .. } = piece else { return None };
                debug_assert!(rest.starts_with(&text.iter().collect::<String>()), "pieces of a concatenation begin with its literal");
                pieces.push(whole(&rest.chars().collect::<Vec<_>>()));
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, want: &str) {
        let shown = match simplify(pattern) {
            None => "whole".to_owned(),
            Some(Simple::Anything) => "anything".to_owned(),
            Some(Simple::Any(pieces)) => pieces.iter().map(show).collect::<Vec<_>>().join(" or "),
        };
        assert_eq!(shown, want, "{pattern}");
    }

    fn show(piece: &Piece) -> String {
        match piece {
            Piece::NonEmpty => "non-empty".to_owned(),
            Piece::Literal { text, fold, exact } => format!("{}{text}{}", if *exact { "=" } else { "~" }, if *fold { "/i" } else { "" }),
        }
    }

    #[test]
    fn literals_lose_their_anchors_only_in_concatenations() {
        check("lit", "=lit");
        check("xx|yy", "=xx or =yy");
        check("al.*", "~al");
        check(".*al", "~al");
        check(".*al.*", "~al");
        check("(?i)AL.*", "~AL/i");
        check("(?i)al", "=al/i");
        check("foo(bar|qux)", "~foobar or ~fooqux");
        check("foobar|fooqux", "~foobar or ~fooqux");
        check("foo|foobar", "~foo or ~foobar");
        check("warn|warning", "~warn or ~warning");
        check("[.]x", "=.x");
    }

    #[test]
    fn branches_that_match_anything_are_discarded() {
        check("foo|.*", "=foo");
        check("foobar|", "=foobar");
        check(".*", "anything");
        check("", "anything");
        check(".+", "non-empty");
        check("foo|.+", "=foo or non-empty");
    }

    #[test]
    fn all_else_stays_whole() {
        for pattern in ["al.+", "x?al", "foo.*bar", "foo(a|b)", "(foo|bar).*", "^x$", "x|y", "a\\d", "foo.*(bar|qux)", "5.."] {
            check(pattern, "whole");
        }
    }
}
