//! What a template uses, and that its blocks close.

use super::Dialect;
use super::source::string_len;
use gotmpl::parse::{CommandNode, Expr, ListNode, Node, PipeNode};
use std::collections::HashSet;

/// What a template uses.
#[derive(Debug, Default)]
pub(super) struct Names {
    dialect: Dialect,
    /// Labels.
    pub(super) fields: Vec<String>,
    known: HashSet<String>,
    /// Whether it uses the dot, or `$`, as a whole.
    pub(super) sees_all: bool,
    pub(super) sees_line: bool,
    /// Whether it may use the current time.
    pub(super) sees_clock: bool,
    /// Functions that do not exist, with their lines.
    pub(super) unknown: Vec<(usize, String)>,
    /// Regular expressions that are written out.
    pub(super) patterns: Vec<String>,
    /// Printing functions and their numbers of arguments.
    pub(super) printed: Vec<(String, usize)>,
}

impl Names {
    pub(super) fn of(dialect: Dialect) -> Self {
        Names { dialect, ..Names::default() }
    }

    pub(super) fn list(&mut self, list: &ListNode) {
        for node in &list.nodes {
            match node {
                Node::List(inner) => self.list(inner),
                Node::Action(action) => self.pipe(&action.pipe),
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                    self.pipe(&branch.pipe);
                    self.list(&branch.body);
                    branch.else_body.iter().for_each(|body| self.list(body));
                }
                Node::Template(call) => match &call.pipe {
                    Some(pipe) => self.pipe(pipe),
                    None => self.sees_all = true,
                },
                Node::Define(define) => self.list(&define.body),
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            }
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) {
        for (at, command) in pipe.commands.iter().enumerate() {
            self.command(command, at > 0);
        }
    }

    fn command(&mut self, command: &CommandNode, piped: bool) {
        if let Some(Expr::Identifier(_, name)) = command.args.first() {
            let count = command.args.len() - 1 + usize::from(piped);
            if self.dialect.prints(name) && !self.printed.iter().any(|(known, n)| known == name.as_str() && *n == count) {
                self.printed.push((name.to_string(), count));
            }
            if let (Some(Expr::String(_, pattern)), true) = (command.args.get(1), self.dialect.takes_pattern(name)) {
                self.patterns.push(pattern.to_string());
            }
        }
        command.args.iter().for_each(|arg| self.expr(arg));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Dot(_) => self.sees_all = true,
            Expr::Field(_, fields) => self.field(&fields[0]),
            Expr::Variable(_, name, fields) if name == "$" => match fields.first() {
                Some(field) => self.field(field),
                None => self.sees_all = true,
            },
            Expr::Identifier(pos, name) => {
                self.sees_line |= name == "__line__";
                self.sees_clock |= self.dialect.sees_clock(name);
                if self.dialect.signature(name).is_none() {
                    self.unknown.push((pos.line, name.to_string()));
                }
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expr(inner),
            Expr::Variable(..) | Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => {}
        }
    }

    fn field(&mut self, name: &str) {
        if !self.known.contains(name) {
            self.known.insert(name.to_owned());
            self.fields.push(name.to_owned());
        }
    }
}

/// Whether a pipeline is a field of the dot and nothing else.
pub(super) fn is_field(pipe: &PipeNode) -> bool {
    let [command] = pipe.commands.as_slice() else { return false };
    matches!(command.args.as_slice(), [Expr::Field(_, fields)] if fields.len() == 1)
}

/// How deep blocks and parentheses of a template may nest.
const NEST_MAX: usize = 100;

/// Refuses what nests so deeply that reading it would take too much of the stack. The error is the line and what is wrong.
pub(super) fn nests_little(source: &str) -> Result<(), (usize, String)> {
    // Depths at which open blocks began; an `else if` is a block in the one before it.
    let (mut depth, mut open) = (0, Vec::new());
    each_action(source, |at, action| {
        match word(action) {
            "if" | "range" | "with" | "define" | "block" => {
                open.push(depth);
                depth += 1;
            }
            "else" if !word(action["else".len()..].trim_start()).is_empty() => depth += 1,
            "end" => depth = open.pop().unwrap_or(0),
            _ => {}
        }
        if depth + parentheses(action) <= NEST_MAX {
            return Ok(());
        }
        Err((line_of(source, at), format!("the template nests too deeply (limit {NEST_MAX})")))
    })
}

/// How deep the parentheses of an action nest.
fn parentheses(action: &str) -> usize {
    let (mut at, mut depth, mut deepest) = (0, 0usize, 0);
    while let Some(c) = action[at..].chars().next() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        at += if matches!(c, '"' | '`' | '\'') { string_len(&action[at..]) } else { c.len_utf8() };
    }
    deepest
}

/// Refuses a block that does not end, and an end or else outside of one: the library's parser takes them.
/// The error is the line and what is wrong.
pub(super) fn blocks_close(source: &str) -> Result<(), (usize, String)> {
    let mut open = 0usize;
    each_action(source, |at, action| {
        match word(action) {
            "if" | "range" | "with" | "define" | "block" => open += 1,
            word @ ("end" | "else") if open == 0 => return Err((line_of(source, at), format!("unexpected {{{{{word}}}}}"))),
            "end" => open -= 1,
            _ => {}
        }
        Ok(())
    })?;
    if open == 0 { Ok(()) } else { Err((line_of(source, source.len()), "unexpected EOF".to_owned())) }
}

fn line_of(source: &str, at: usize) -> usize {
    source[..at].matches('\n').count() + 1
}

/// The word at the start of `action`.
fn word(action: &str) -> &str {
    &action[..action.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(action.len())]
}

/// Calls `visit` with the place and text of each action; comments are none.
fn each_action<E>(source: &str, mut visit: impl FnMut(usize, &str) -> Result<(), E>) -> Result<(), E> {
    let mut at = 0;
    while let Some(start) = source[at..].find("{{").map(|found| at + found + 2) {
        let trimmed =
            source[start..].strip_prefix('-').filter(|rest| rest.starts_with([' ', '\t', '\r', '\n'])).unwrap_or(&source[start..]);
        if let Some(comment) = trimmed.strip_prefix("/*").or_else(|| trimmed.trim_start().strip_prefix("/*")) {
            at = comment.find("*/").map_or(source.len(), |end| source.len() - comment.len() + end);
            continue;
        }
        let action = trimmed.trim_start();
        let begin = source.len() - action.len();
        at = begin;
        while !source[at..].is_empty() && !source[at..].starts_with("}}") {
            at += match source[at..].chars().next() {
                Some('"' | '`' | '\'') => string_len(&source[at..]),
                other => other.map_or(1, char::len_utf8),
            };
        }
        visit(start, &source[begin..at])?;
    }
    Ok(())
}
