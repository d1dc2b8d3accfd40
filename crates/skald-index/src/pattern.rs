use crate::{QueryError, Test};
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::hir::{Dot, Hir, HirKind, Look, literal};
use tantivy_fst::Automaton;

/// Bytes that one compiled program may take.
const PROGRAM_SIZE_MAX: usize = 10 << 20;
/// Bytes that an automaton may take, and its making; what is larger is asked value by value. Finding out costs some milliseconds.
const AUTOMATON_SIZE_MAX: usize = 512 << 10;
const DETERMINIZE_SIZE_MAX: usize = 1 << 20;
/// How deep groups may nest.
const NEST_MAX: u32 = 250;

/// A test, made ready to be asked. Negation is the caller's.
pub(crate) enum Compiled {
    /// One of these texts, in any order.
    OneOf(Vec<String>),
    /// Every text.
    Everything,
    /// Every text but the empty one.
    NotEmpty,
    /// What a small automaton accepts.
    Automaton(Box<Dfa>),
    /// What needs more than an automaton of bounded size.
    Regex(Box<meta::Regex>),
}

impl Compiled {
    /// # Errors
    /// When a pattern is none, or too large.
    pub(crate) fn new(test: &Test) -> Result<Self, QueryError> {
        match test {
            Test::Equals(text) => Ok(Compiled::OneOf(vec![text.clone()])),
            Test::OneOf(texts) => Ok(Compiled::OneOf(texts.clone())),
            Test::Pattern(pattern) => Self::pattern(pattern),
        }
    }

    fn pattern(pattern: &str) -> Result<Self, QueryError> {
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).dot_matches_new_line(true).nest_limit(NEST_MAX).build();
        let hir = parser.parse(pattern).map_err(|err| refused(pattern, &err))?;
        if let Some(simple) = simplify(&hir) {
            return Ok(simple);
        }
        let too_large = || QueryError::PatternTooLarge { pattern: pattern.to_owned() };
        let config = thompson::Config::new().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(PROGRAM_SIZE_MAX));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir).map_err(|_| too_large())?;
        if let Some(dfa) = Dfa::new(&nfa) {
            return Ok(Compiled::Automaton(Box::new(dfa)));
        }
        let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(PROGRAM_SIZE_MAX));
        let regex = meta::Builder::new().configure(config).build_from_hir(&whole).map_err(|_| too_large())?;
        Ok(Compiled::Regex(Box::new(regex)))
    }

    /// Whether a value passes.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match self {
            Compiled::OneOf(texts) => texts.iter().any(|text| text == value),
            Compiled::Everything => true,
            Compiled::NotEmpty => !value.is_empty(),
            Compiled::Automaton(dfa) => dfa.matches(value.as_bytes()),
            Compiled::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Patterns that need no machine: `.*`, `.+`, and those that only a few texts match.
fn simplify(hir: &Hir) -> Option<Compiled> {
    if let HirKind::Capture(capture) = hir.kind() {
        return simplify(&capture.sub);
    }
    if let HirKind::Repetition(repetition) = hir.kind()
        && repetition.max.is_none()
        && *repetition.sub == Hir::dot(Dot::AnyChar)
    {
        match repetition.min {
            0 => return Some(Compiled::Everything),
            1 => return Some(Compiled::NotEmpty),
            _ => {}
        }
    }
    if !hir.properties().look_set().is_empty() {
        return None;
    }
    let texts = literal::Extractor::new().extract(hir);
    let texts = texts.literals().filter(|_| texts.is_exact())?;
    let text = |literal: &literal::Literal| String::from_utf8(literal.as_bytes().to_vec()).ok();
    Some(Compiled::OneOf(texts.iter().filter_map(text).collect()))
}

fn refused(pattern: &str, err: &regex_syntax::Error) -> QueryError {
    let reason = match err {
        regex_syntax::Error::Parse(err) => err.kind().to_string(),
        regex_syntax::Error::Translate(err) => err.kind().to_string(),
        _ => "it is not understood".to_owned(),
    };
    QueryError::Pattern { pattern: pattern.to_owned(), reason }
}

/// A deterministic automaton that accepts whole texts.
pub(crate) struct Dfa {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Dfa {
    fn new(nfa: &NFA) -> Option<Self> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(AUTOMATON_SIZE_MAX))
            .determinize_size_limit(Some(DETERMINIZE_SIZE_MAX));
        let dfa = dense::Builder::new().configure(config).build_from_nfa(nfa).ok()?;
        let start = dfa.start_state_forward(&Input::new("").anchored(Anchored::Yes)).ok()?;
        Some(Dfa { dfa, start })
    }

    fn accepts(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }

    fn matches(&self, text: &[u8]) -> bool {
        let mut state = self.start;
        for byte in text {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_dead_state(state) {
                return false;
            }
        }
        self.accepts(state)
    }
}

/// Accepts terms that begin with a prefix, and whose rest a [`Dfa`] accepts. The automaton itself begins behind the prefix, since the pattern may have anchors.
pub(crate) struct PrefixedDfa<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) dfa: &'a Dfa,
}

/// How far a [`PrefixedDfa`] has read.
#[derive(Clone, Copy)]
pub(crate) enum Progress {
    /// So much of the prefix; never all of it.
    Prefix(usize),
    /// All of the prefix, and some of the value.
    Value(StateID),
    /// Nothing can match any more.
    Dead,
}

impl Automaton for PrefixedDfa<'_> {
    type State = Progress;

    fn start(&self) -> Progress {
        Progress::Prefix(0)
    }

    fn is_match(&self, state: &Progress) -> bool {
        matches!(state, Progress::Value(state) if self.dfa.accepts(*state))
    }

    fn can_match(&self, state: &Progress) -> bool {
        !matches!(state, Progress::Dead)
    }

    fn accept(&self, state: &Progress, byte: u8) -> Progress {
        match *state {
            Progress::Prefix(read) if self.prefix.get(read) != Some(&byte) => Progress::Dead,
            Progress::Prefix(read) if read + 1 == self.prefix.len() => Progress::Value(self.dfa.start),
            Progress::Prefix(read) => Progress::Prefix(read + 1),
            Progress::Value(state) => match self.dfa.dfa.next_state(state, byte) {
                next if self.dfa.dfa.is_dead_state(next) => Progress::Dead,
                next => Progress::Value(next),
            },
            Progress::Dead => Progress::Dead,
        }
    }
}

#[cfg(test)]
mod tests;
