//! Finished templates, and which of them a line belongs to.

use super::tokens::Tokens;
use rustc_hash::FxHashMap;
use skald_logql::exec::LinePattern;
use skald_model::Level;

/// A pattern and the lines that may be counted under it.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) level: Level,
    pub(super) shape: u64,
    /// Place and hash of the chunks that do not vary.
    pub(super) literals: Vec<(u32, u64)>,
    /// As users see it, and use it behind `|>`.
    pub(super) text: String,
}

/// Templates by level and shape. Several may share a pattern.
#[derive(Debug, Default)]
pub(super) struct Templates {
    groups: FxHashMap<(Level, u64), Vec<Candidate>>,
    patterns: Vec<(Level, String)>,
    by_text: FxHashMap<(Level, String), u32>,
}

#[derive(Debug)]
struct Candidate {
    literals: Vec<(u32, u64)>,
    matcher: LinePattern,
    pattern: u32,
}

impl Templates {
    /// Adds templates; what was there before is asked first. Among them the order decides, most particular first.
    pub(super) fn add(&mut self, mut templates: Vec<Template>) {
        templates.sort_by_key(|template| std::cmp::Reverse(template.literals.len()));
        for Template { level, shape, literals, text } in templates {
            // A text that does not read back as a pattern counts nothing.
            let Ok(matcher) = LinePattern::parse(&text) else { continue };
            let next = self.patterns.len() as u32;
            let pattern = *self.by_text.entry((level, text.clone())).or_insert(next);
            if pattern == next {
                self.patterns.push((level, text));
            }
            self.groups.entry((level, shape)).or_default().push(Candidate { literals, matcher, pattern });
        }
    }

    /// Number of the pattern that `line` is counted under: the first of its level and shape whose fixed chunks it has and which matches it as a
    /// line filter. `tokens` must be of this line.
    pub(super) fn classify(&self, level: Level, line: &[u8], tokens: &Tokens) -> Option<u32> {
        let has = |literals: &[(u32, u64)]| {
            literals.iter().all(|(at, hash)| tokens.chunks.get(*at as usize).is_some_and(|chunk| chunk.hash == *hash))
        };
        let candidates = self.groups.get(&(level, tokens.shape))?;
        candidates.iter().find(|candidate| has(&candidate.literals) && candidate.matcher.matches(line)).map(|found| found.pattern)
    }

    /// Level and text of a pattern.
    pub(super) fn pattern(&self, number: u32) -> (Level, &str) {
        let (level, text) = &self.patterns[number as usize];
        (*level, text)
    }
}
