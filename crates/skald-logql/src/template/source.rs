//! The text of nodes, as errors show it.

use gotmpl::parse::{CommandNode, Expr, PipeNode};

/// A command as it was written, with one blank between its words.
pub(super) fn command(source: &str, command: &CommandNode) -> String {
    command.args.iter().map(|arg| expr(source, arg)).collect::<Vec<_>>().join(" ")
}

pub(super) fn expr(source: &str, node: &Expr) -> String {
    let chained = |start: String, fields: &[gotmpl::parse::SmolStr]| fields.iter().fold(start, |text, field| text + "." + field);
    match node {
        Expr::Dot(_) => ".".to_owned(),
        Expr::Field(_, fields) => chained(String::new(), fields),
        Expr::Variable(_, name, fields) => chained(name.to_string(), fields),
        Expr::Identifier(_, name) => name.to_string(),
        Expr::String(pos, _) => literal(source, pos.offset, string_len),
        Expr::Number(pos, _) => literal(source, pos.offset, number_len),
        Expr::Bool(_, value) => value.to_string(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Pipe(_, inner) => format!("({})", pipe(source, inner)),
        Expr::Chain(_, inner, fields) => chained(expr(source, inner), fields),
    }
}

fn pipe(source: &str, node: &PipeNode) -> String {
    let names = node.decl.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let declared = match (names.as_str(), node.is_assign) {
        ("", _) => String::new(),
        (_, true) => names + " = ",
        (_, false) => names + " := ",
    };
    declared + &node.commands.iter().map(|one| command(source, one)).collect::<Vec<_>>().join(" | ")
}

fn literal(source: &str, from: usize, len: fn(&str) -> usize) -> String {
    let text = source.get(from..).unwrap_or_default();
    text[..len(text)].to_owned()
}

/// Length of the text in quotes at the start of `text`.
pub(super) fn string_len(text: &str) -> usize {
    let quote = text.bytes().next().unwrap_or_default();
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quote != b'`' => escaped = true,
            _ if b == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn number_len(text: &str) -> usize {
    if text.starts_with('\'') {
        return string_len(text);
    }
    let signed = |at: usize, c: char| (c == '-' || c == '+') && (at == 0 || text[..at].ends_with(['e', 'E', 'p', 'P']));
    text.char_indices().find(|(at, c)| !(c.is_alphanumeric() || matches!(c, '.' | '_') || signed(*at, *c))).map_or(text.len(), |(at, _)| at)
}

/// Where Go says that an expression stands: a chain of fields at the dot behind its first word.
pub(super) fn place(source: &str, node: &Expr) -> usize {
    let from = node.pos().offset;
    let behind = |len: usize| from + len;
    match node {
        Expr::Field(_, fields) if fields.len() > 1 => behind(1 + fields[0].len()),
        Expr::Variable(_, name, fields) if !fields.is_empty() => behind(name.len()),
        Expr::Chain(_, inner, _) => behind(match inner.as_ref() {
            Expr::Identifier(_, name) => name.len(),
            _ => paren_len(source.get(from..).unwrap_or_default()),
        }),
        _ => from,
    }
}

fn paren_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '"' | '`' | '\'' => string_len(&text[at..]),
            c => c.len_utf8(),
        };
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// `line:column` of a byte, the line from 1 and the column from 0.
pub(super) fn location(source: &str, offset: usize) -> String {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    format!("{}:{}", before.matches('\n').count() + 1, before.len() - line_start)
}
