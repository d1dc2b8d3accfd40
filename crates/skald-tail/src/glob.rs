//! Patterns of paths, cut at the separators so that only directories that can hold a match are looked at.

use crate::target::TargetError;
use globset::{GlobBuilder, GlobMatcher};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Alternatives with separators inside (`{a,b/c}`) become patterns of their own; this many at most.
const BRANCHES_MAX: usize = 1000;

/// A path or a glob.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The text as an absolute path.
    pub path: PathBuf,
    pub branches: Vec<Branch>,
}

/// One alternative.
#[derive(Debug)]
pub(crate) struct Branch {
    /// The directories that are named without wildcards.
    pub base: PathBuf,
    /// What follows, at least one part: a file is found where all of them match.
    pub parts: Vec<Part>,
}

/// What a name in a directory has to be.
#[derive(Debug)]
pub(crate) enum Part {
    /// This.
    Literal(OsString),
    /// Pieces in this order, with anything between them (`*`).
    Pieces(Vec<Box<[u8]>>),
    /// What the glob says.
    Glob(Box<GlobMatcher>),
    /// Any number of directories (`**`).
    Any,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, TargetError> {
        let problem = |problem: String| TargetError::Pattern { pattern: text.to_owned(), problem };
        if text.is_empty() {
            return Err(problem("it is empty".to_owned()));
        }
        let path = std::path::absolute(text).map_err(|error| problem(error.to_string()))?;
        let absolute = path.to_str().ok_or_else(|| problem("the working directory is not UTF-8".to_owned()))?;
        let mut branches = Vec::new();
        for text in expand(absolute).ok_or_else(|| problem(format!("more than {BRANCHES_MAX} alternatives")))? {
            branches.push(Branch::new(&text).map_err(problem)?);
        }
        Ok(Pattern { path, branches })
    }

    /// Whether it is more than a path.
    pub(crate) fn has_wildcards(&self) -> bool {
        !matches!(&self.branches[..], [Branch { parts, .. }] if matches!(&parts[..], [Part::Literal(_)]))
    }

    /// Whether a file at `path` is meant.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        path == self.path || self.branches.iter().any(|branch| branch.matches(path))
    }
}

impl Branch {
    fn new(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = components(text);
        let Some((last, before)) = names.split_last() else { return Err("it names no file".to_owned()) };
        let fixed = before.iter().take_while(|name| !has_wildcard(name)).count();
        let base = Path::new("/").join(before[..fixed].iter().map(|name| unescape(name)).collect::<PathBuf>());
        let mut parts = Vec::new();
        for name in before[fixed..].iter().chain([last]) {
            // `**` twice in a row says no more than once.
            if !(*name == "**" && matches!(parts.last(), Some(Part::Any))) {
                parts.push(Part::new(name)?);
            }
        }
        Ok(Branch { base, parts })
    }

    fn matches(&self, path: &Path) -> bool {
        let Ok(rest) = path.strip_prefix(&self.base) else { return false };
        matches_parts(&self.parts, &rest.iter().collect::<Vec<_>>())
    }
}

fn matches_parts(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([Part::Any], names) => !names.is_empty(),
        ([Part::Any, rest @ ..], names) => (0..names.len()).any(|at| matches_parts(rest, &names[at..])),
        ([part, parts @ ..], [name, names @ ..]) => part.matches(name) && matches_parts(parts, names),
        ([], _) | (_, []) => false,
    }
}

impl Part {
    fn new(name: &str) -> Result<Self, String> {
        if name == "**" {
            return Ok(Part::Any);
        }
        if !has_wildcard(name) {
            return Ok(Part::Literal(unescape(name).into()));
        }
        // Most globs need no more than this, and a compiled one costs kilobytes, for each of perhaps thousands of targets.
        if !name.contains(['?', '[', ']', '{', '}', '\\']) {
            return Ok(Part::Pieces(name.split('*').map(|piece| piece.as_bytes().into()).collect()));
        }
        let glob = GlobBuilder::new(name).literal_separator(true).backslash_escape(true).empty_alternates(true).build();
        glob.map(|glob| Part::Glob(Box::new(glob.compile_matcher()))).map_err(|error| error.kind().to_string())
    }

    /// Whether a single name matches; any does for `**`.
    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        match self {
            Part::Literal(literal) => name == literal,
            Part::Pieces(pieces) => matches_pieces(pieces, name.as_bytes()),
            Part::Glob(glob) => glob.is_match(name),
            Part::Any => true,
        }
    }
}

/// `pieces` are what a pattern has between its stars: the first begins the name, the last ends it.
fn matches_pieces(pieces: &[Box<[u8]>], name: &[u8]) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    let Some(rest) = name.strip_prefix(&**first) else { return false };
    let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
    for piece in middle {
        let Some(at) = memchr::memmem::find(rest, piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

fn has_wildcard(name: &str) -> bool {
    let mut escaped = false;
    name.chars().any(|c| {
        let wildcard = !escaped && matches!(c, '*' | '?' | '[' | '{');
        escaped = !escaped && c == '\\';
        wildcard
    })
}

fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// Calls `visit` for the characters outside of classes and escapes, with the depth of braces in front of them, until it says true.
fn find_outside(text: &str, mut visit: impl FnMut(char, usize) -> bool) -> Option<usize> {
    let (mut escaped, mut class, mut depth) = (false, false, 0_usize);
    for (at, c) in text.char_indices() {
        if escaped || (c == '\\') {
            escaped = !escaped;
            continue;
        }
        if !class && visit(c, depth) {
            return Some(at);
        }
        match c {
            '[' => class = true,
            ']' => class = false,
            '{' if !class => depth += 1,
            '}' if !class => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The names between separators; those inside braces do not separate.
fn components(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = find_outside(rest, |c, depth| c == '/' && depth == 0) {
        names.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    names.push(rest);
    names.retain(|name| !name.is_empty());
    names
}

/// One text for each alternative of the braces that hold a separator; none when these are too many.
fn expand(text: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(text) = open.pop() {
        match brace_with_separator(&text) {
            None => done.push(text),
            Some((start, end)) => {
                let options = alternatives(&text[start + 1..end]);
                open.extend(options.into_iter().rev().map(|option| format!("{}{option}{}", &text[..start], &text[end + 1..])));
            }
        }
        if done.len() + open.len() > BRANCHES_MAX {
            return None;
        }
    }
    Some(done)
}

/// Where the first outermost braces with a separator inside begin and end.
fn brace_with_separator(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let start = from + find_outside(&text[from..], |c, depth| c == '{' && depth == 0)?;
        let end = start + find_outside(&text[start..], |c, depth| c == '}' && depth == 1)?;
        if text[start..end].contains('/') {
            return Some((start, end));
        }
        from = end + 1;
    }
}

fn alternatives(inside: &str) -> Vec<&str> {
    let mut options = Vec::new();
    let mut rest = inside;
    while let Some(at) = find_outside(rest, |c, depth| c == ',' && depth == 0) {
        options.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    options.push(rest);
    options
}

#[cfg(test)]
mod tests;
