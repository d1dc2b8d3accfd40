use super::RegexError;
use super::class::{self, push_char};
use std::collections::HashSet;

/// The most often that anything may be repeated, nested counts multiplied.
const REPEAT_MAX: u32 = 1000;
/// How deep groups may nest.
const NEST_MAX: usize = 200;
/// How many wide classes (`\pL`, `[\x00-\x{ffff}]`) may stand in a pattern: each takes kilobytes, and milliseconds to ignore case in.
pub const WIDE_CLASSES_MAX: usize = 100;

/// Writes a Go pattern in Rust's syntax.
///
/// # Errors
/// [`RegexError`] where Go refuses the pattern.
pub fn translate(pattern: &str) -> Result<String, RegexError> {
    Translator::read(pattern).map(|translator| translator.out)
}

/// The names of all named groups in order, one that comes twice also twice; none if Go refuses the pattern.
pub fn capture_names(pattern: &str) -> Vec<String> {
    capture_groups(pattern).into_iter().map(|(_, name)| name).collect()
}

/// The numbers and names of all named groups, in order; none if Go refuses the pattern.
pub fn capture_groups(pattern: &str) -> Vec<(usize, String)> {
    let owned = |(group, name): (usize, &str)| (group, name.to_owned());
    Translator::read(pattern).map(|translator| translator.names.into_iter().map(owned).collect()).unwrap_or_default()
}

/// How many wide classes stand in a pattern; none if Go refuses it.
pub fn wide_classes(pattern: &str) -> usize {
    Translator::read(pattern).map_or(0, |translator| translator.wide)
}

struct Translator<'a> {
    pattern: &'a str,
    rest: &'a str,
    out: String,
    /// The open groups, the whole pattern first.
    groups: Vec<Group>,
    /// Where the repetition operator starts that was read last, if nothing came after it.
    last_repeat: Option<&'a str>,
    /// Of the groups that have one, with their numbers.
    names: Vec<(usize, &'a str)>,
    /// Groups that capture.
    captures: usize,
    /// The same names for look-up.
    seen: HashSet<&'a str>,
    /// Classes of many characters.
    wide: usize,
}

/// What is known of a group that is not closed yet.
#[derive(Default)]
struct Group {
    /// How often at most something in it is repeated, for the part that a repetition operator would take next; none if it could take none.
    last: Option<u32>,
    /// The same for all of the group.
    most: u32,
}

impl<'a> Translator<'a> {
    fn read(pattern: &'a str) -> Result<Self, RegexError> {
        let mut translator = Translator {
            pattern,
            rest: pattern,
            out: String::with_capacity(pattern.len() + 16),
            groups: vec![Group::default()],
            last_repeat: None,
            names: Vec::new(),
            captures: 0,
            seen: HashSet::new(),
            wide: 0,
        };
        while let Some(c) = translator.rest.chars().next() {
            translator.step(c)?;
        }
        if translator.groups.len() > 1 {
            return Err(RegexError::MissingParen(pattern.to_owned()));
        }
        if translator.wide > WIDE_CLASSES_MAX { Err(RegexError::TooLarge(pattern.to_owned())) } else { Ok(translator) }
    }

    fn step(&mut self, c: char) -> Result<(), RegexError> {
        let before = self.last_repeat.take();
        match c {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.take(1);
                self.out.push('|');
                self.group().last = None;
                Ok(())
            }
            '[' => {
                let class = class::translate_class(self.rest)?;
                self.wide += class.wide;
                self.atom(&class.text, class.len);
                Ok(())
            }
            '*' | '+' | '?' => {
                self.take(1);
                self.out.push(c);
                {
                    let from = self.rest_before(1);
                    self.repeat(before, from, 1)
                }
            }
            '{' => match read_count(self.rest) {
                Some(count) => self.counted(before, count),
                None => {
                    self.atom("\\{", 1);
                    Ok(())
                }
            },
            '\\' => self.escape(),
            '^' | '$' | '.' => {
                self.atom(c.encode_utf8(&mut [0; 4]), 1);
                Ok(())
            }
            c => {
                self.literal(c, c.len_utf8());
                Ok(())
            }
        }
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole pattern is always open")
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// The pattern from `len` bytes before what is left.
    fn rest_before(&self, len: usize) -> &'a str {
        &self.pattern[self.pattern.len() - self.rest.len() - len..]
    }

    /// Writes something that can be repeated, for `len` bytes of the pattern.
    fn atom(&mut self, text: &str, len: usize) {
        self.take(len);
        self.out.push_str(text);
        let group = self.group();
        group.last = Some(1);
        group.most = group.most.max(1);
    }

    fn literal(&mut self, c: char, len: usize) {
        let mut text = String::new();
        push_char(&mut text, c);
        self.atom(&text, len);
    }

    /// After an operator that starts at `from` was taken: its lazy mark, and what Go refuses.
    fn repeat(&mut self, before: Option<&'a str>, from: &'a str, most: u32) -> Result<(), RegexError> {
        if self.rest.starts_with('?') {
            self.take(1);
            self.out.push('?');
        }
        let until_here = |text: &str| text[..text.len() - self.rest.len()].to_owned();
        if let Some(before) = before {
            return Err(RegexError::NestedRepeat(until_here(before)));
        }
        let operator = until_here(from);
        let Some(last) = self.group().last else {
            return Err(RegexError::MissingRepeatArgument(operator));
        };
        let nested = last.saturating_mul(most.max(1));
        if most >= 2 && nested > REPEAT_MAX {
            return Err(RegexError::RepeatCount(operator));
        }
        self.last_repeat = Some(from);
        let group = self.group();
        group.last = Some(nested);
        group.most = group.most.max(nested);
        Ok(())
    }

    fn counted(&mut self, before: Option<&'a str>, count: Count) -> Result<(), RegexError> {
        let from = self.rest;
        let text = self.take(count.len);
        let most = count.max.unwrap_or(count.min);
        if count.min > REPEAT_MAX || most > REPEAT_MAX || most < count.min {
            return Err(RegexError::RepeatCount(text.to_owned()));
        }
        self.out.push_str(text);
        self.repeat(before, from, most)
    }

    fn open(&mut self) -> Result<(), RegexError> {
        if self.rest.starts_with("(?") {
            return self.open_special();
        }
        self.take(1);
        self.captures += 1;
        self.push_group("(")
    }

    fn push_group(&mut self, text: &str) -> Result<(), RegexError> {
        if self.groups.len() > NEST_MAX {
            return Err(RegexError::NestsTooDeeply(self.pattern.to_owned()));
        }
        self.out.push_str(text);
        self.groups.push(Group::default());
        Ok(())
    }

    fn close(&mut self) -> Result<(), RegexError> {
        self.take(1);
        if self.groups.len() == 1 {
            return Err(RegexError::UnexpectedParen(self.pattern.to_owned()));
        }
        let closed = self.groups.pop().expect("more than one is open");
        self.out.push(')');
        let group = self.group();
        group.last = Some(closed.most.max(1));
        group.most = group.most.max(closed.most.max(1));
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)` and `(?flags:`.
    fn open_special(&mut self) -> Result<(), RegexError> {
        let from = self.rest;
        for start in ["(?P<", "(?<"] {
            if from.len() > start.len() && from.starts_with(start) {
                return self.open_named(start.len());
            }
        }
        let (mut seen_minus, mut seen_flag) = (false, false);
        for (at, c) in from.char_indices().skip(2) {
            match c {
                'i' | 'm' | 's' | 'U' => seen_flag = true,
                '-' if !seen_minus => (seen_minus, seen_flag) = (true, false),
                ':' | ')' if !seen_minus || seen_flag => {
                    let flags = self.take(at + 1);
                    if c == ':' {
                        return self.push_group(flags);
                    }
                    if flags != "(?)" {
                        self.out.push_str(flags);
                    }
                    self.group().last = None;
                    return Ok(());
                }
                _ => return Err(RegexError::PerlSyntax(from[..at + c.len_utf8()].to_owned())),
            }
        }
        Err(RegexError::MissingParen(self.pattern.to_owned()))
    }

    fn open_named(&mut self, name_at: usize) -> Result<(), RegexError> {
        let from = self.rest;
        let end = from.find('>').ok_or_else(|| RegexError::NamedCapture(from.to_owned()))?;
        let name = &from[name_at..end];
        if name.is_empty() || !name.bytes().all(|c| c == b'_' || c.is_ascii_alphanumeric()) {
            return Err(RegexError::NamedCapture(from[..=end].to_owned()));
        }
        self.take(end + 1);
        // Rust refuses a name that comes twice or starts with a digit; such a group is kept without its name.
        let named = !name.starts_with(|c: char| c.is_ascii_digit()) && self.seen.insert(name);
        self.captures += 1;
        self.names.push((self.captures, name));
        if named { self.push_group(&format!("(?P<{name}>")) } else { self.push_group("(") }
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let Some(c) = self.rest[1..].chars().next() else {
            return Err(RegexError::TrailingBackslash);
        };
        match c {
            'A' | 'z' => self.atom(if c == 'A' { "\\A" } else { "\\z" }, 2),
            'b' => self.atom("(?-u:\\b)", 2),
            'B' => self.atom("(?-u:\\B)", 2),
            'Q' => self.quoted(),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.atom(&format!("[{}]", class::perl(c)), 2),
            'p' | 'P' => {
                let class = class::translate_unicode(self.rest)?;
                self.wide += class.wide;
                self.atom(&class.text, class.len);
            }
            _ => {
                let (c, len) = class::read_escape(self.rest)?;
                self.literal(c, len);
            }
        }
        Ok(())
    }

    /// `\Q…\E`: everything in between is plain.
    fn quoted(&mut self) {
        self.take(2);
        let (text, end) = match self.rest.find("\\E") {
            Some(end) => (&self.rest[..end], 2),
            None => (self.rest, 0),
        };
        for c in text.chars() {
            self.literal(c, c.len_utf8());
        }
        self.take(end);
    }
}

/// `{2}`, `{2,}` or `{2,5}`.
struct Count {
    min: u32,
    max: Option<u32>,
    len: usize,
}

fn read_count(text: &str) -> Option<Count> {
    let end = text.find('}')?;
    let inside = &text[1..end];
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some(Count { min, max, len: end + 1 })
}
