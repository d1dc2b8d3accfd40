use regex_syntax::hir::{Class, Hir, HirKind};

/// What every matching entry must satisfy: a question that filters of blocks can answer.
///
/// It never leaves out a matching entry; entries that satisfy it need not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// All hold; without members everything may match.
    All(Vec<Probe>),
    /// One holds; without members nothing can match.
    Any(Vec<Probe>),
    /// The line holds these bytes.
    Contains {
        /// The bytes, never empty.
        literal: Vec<u8>,
        /// Whether letters match both cases by Unicode simple folding.
        ignore_case: bool,
    },
    /// Structured metadata `name` has this value. Says nothing about streams that have a label `name`.
    MetadataEquals {
        /// Metadata name.
        name: String,
        /// Its value, never empty.
        value: String,
    },
    /// There is structured metadata `name`. Says nothing about streams that have a label `name`.
    HasMetadata {
        /// Metadata name.
        name: String,
    },
}

impl Probe {
    /// Holds for everything.
    pub(crate) const ANYTHING: Probe = Probe::All(Vec::new());

    /// Whether it holds, given answers about literals (`bytes, ignore_case`) and metadata (`name, value`; no value asks for any).
    pub fn may_match(&self, contains: &mut dyn FnMut(&[u8], bool) -> bool, metadata: &mut dyn FnMut(&str, Option<&str>) -> bool) -> bool {
        match self {
            Probe::All(members) => members.iter().all(|member| member.may_match(contains, metadata)),
            Probe::Any(members) => members.iter().any(|member| member.may_match(contains, metadata)),
            Probe::Contains { literal, ignore_case } => contains(literal, *ignore_case),
            Probe::MetadataEquals { name, value } => metadata(name, Some(value)),
            Probe::HasMetadata { name } => metadata(name, None),
        }
    }

    /// Whether it holds for everything.
    pub fn is_anything(&self) -> bool {
        matches!(self, Probe::All(members) if members.is_empty())
    }

    /// Names of metadata that it asks about, each once.
    pub fn metadata_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.add_names(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn add_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Probe::All(members) | Probe::Any(members) => members.iter().for_each(|member| member.add_names(names)),
            Probe::MetadataEquals { name, .. } | Probe::HasMetadata { name } => names.push(name),
            Probe::Contains { .. } => {}
        }
    }

    /// All of `members`, flattened.
    pub(crate) fn all(members: impl IntoIterator<Item = Probe>) -> Probe {
        let mut flat = Vec::new();
        for member in members {
            match member {
                Probe::All(inner) => flat.extend(inner),
                member => flat.push(member),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Probe::All(flat) }
    }

    /// One of `members`, flattened.
    pub(crate) fn any(members: impl IntoIterator<Item = Probe>) -> Probe {
        let mut flat = Vec::new();
        for member in members {
            match member {
                member if member.is_anything() => return Probe::ANYTHING,
                Probe::Any(inner) => flat.extend(inner),
                member => flat.push(member),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Probe::Any(flat) }
    }

    /// The literals, one of which any match holds, best choice of those that must all be there; empty when there is no useful choice.
    pub(crate) fn best_literals(&self) -> Vec<(&[u8], bool)> {
        match self {
            Probe::Contains { literal, ignore_case } => vec![(literal, *ignore_case)],
            Probe::Any(members) => {
                let each: Vec<_> = members.iter().map(Probe::best_literals).collect();
                if each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() }
            }
            Probe::All(members) => {
                let shortest = |literals: &[(&[u8], bool)]| literals.iter().map(|(literal, _)| literal.len()).min().unwrap_or(0);
                members
                    .iter()
                    .map(Probe::best_literals)
                    .filter(|l| !l.is_empty())
                    .max_by_key(|l| (shortest(l), std::cmp::Reverse(l.len())))
                    .unwrap_or_default()
            }
            Probe::MetadataEquals { .. } | Probe::HasMetadata { .. } => Vec::new(),
        }
    }
}

/// For people: `(word & (other | name=value))`; `/i` marks what is looked for in any case, `name=?` metadata of any value.
impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut join = |members: &[Probe], by: &str| {
            f.write_str("(")?;
            for (at, member) in members.iter().enumerate() {
                write!(f, "{}{member}", if at == 0 { "" } else { by })?;
            }
            f.write_str(")")
        };
        match self {
            Probe::All(members) => join(members, " & "),
            Probe::Any(members) => join(members, " | "),
            Probe::Contains { literal, ignore_case } => {
                write!(f, "{}{}", String::from_utf8_lossy(literal), if *ignore_case { "/i" } else { "" })
            }
            Probe::MetadataEquals { name, value } => write!(f, "{name}={value}"),
            Probe::HasMetadata { name } => write!(f, "{name}=?"),
        }
    }
}

/// What every text that `pattern` matches holds. `pattern` is known to compile.
pub(crate) fn required(pattern: &str) -> Probe {
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern);
    parsed.map_or(Probe::ANYTHING, |hir| of_hir(&hir))
}

fn of_hir(hir: &Hir) -> Probe {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Probe::ANYTHING,
        HirKind::Literal(_) | HirKind::Class(_) => concat(std::slice::from_ref(hir)),
        HirKind::Repetition(repetition) if repetition.min > 0 => of_hir(&repetition.sub),
        HirKind::Repetition(_) => Probe::ANYTHING,
        HirKind::Capture(capture) => of_hir(&capture.sub),
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(branches) => Probe::any(branches.iter().map(of_hir)),
    }
}

#[derive(Default)]
struct Run {
    literal: Vec<u8>,
    fold: bool,
    done: Vec<Probe>,
}

impl Run {
    fn end(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            self.done.push(Probe::Contains { literal, ignore_case: self.fold });
        }
        self.fold = false;
    }

    fn push(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Literal(literal) => self.literal.extend_from_slice(&literal.0),
            HirKind::Capture(capture) => self.push(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.push(part)),
            HirKind::Class(class) => match folded_letter(class) {
                Some(letter) => {
                    self.literal.push(letter);
                    self.fold = true;
                }
                None => self.end(),
            },
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Repetition(_) | HirKind::Alternation(_) => {
                self.end();
                self.done.push(of_hir(hir));
            }
        }
    }
}

fn concat(parts: &[Hir]) -> Probe {
    let mut run = Run::default();
    parts.iter().for_each(|part| run.push(part));
    run.end();
    Probe::all(run.done)
}

/// The ASCII letter, lower case, that a class holds in its cases and nothing else.
fn folded_letter(class: &Class) -> Option<u8> {
    let fold = |c: char| match c {
        '\u{212a}' => Some(b'k'),
        '\u{17f}' => Some(b's'),
        c if c.is_ascii_alphabetic() => Some(c.to_ascii_lowercase() as u8),
        _ => None,
    };
    let chars: Vec<char> = match class {
        Class::Unicode(class) if class.ranges().len() <= 4 => class.ranges().iter().flat_map(|r| [r.start(), r.end()]).collect(),
        Class::Bytes(class) if class.ranges().len() <= 4 => {
            class.ranges().iter().flat_map(|r| [char::from(r.start()), char::from(r.end())]).collect()
        }
        _ => return None,
    };
    let wide = match class {
        Class::Unicode(class) => class.ranges().iter().any(|r| r.start() != r.end()),
        Class::Bytes(class) => class.ranges().iter().any(|r| r.start() != r.end()),
    };
    let letter = fold(*chars.first()?)?;
    (!wide && chars.iter().all(|c| fold(*c) == Some(letter))).then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, want: &str) {
        assert_eq!(required(pattern).to_string(), want, "{pattern}");
    }

    #[test]
    fn literals_that_a_match_must_hold() {
        check(r"status=5\d\d .*timeout", "(status=5 &   & timeout)");
        check("(foo|bar)+x", "((foo | bar) & x)");
        check("(?i)skid", "skid/i");
        check("a*", "()");
        check("foo|b*", "()");
        check("^abc$", "abc");
        check("(?i:error): [a-z]+", "error: /i");
    }

    #[test]
    fn the_longest_of_the_needed_literals_is_searched() {
        let probe = required("(foo|bar).*longer");
        assert_eq!(probe.best_literals(), [(&b"longer"[..], false)]);
        let probe = required("(first|other).*x");
        assert_eq!(probe.best_literals(), [(&b"first"[..], false), (b"other", false)]);
    }
}
