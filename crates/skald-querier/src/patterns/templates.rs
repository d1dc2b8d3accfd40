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
    /// Number of the sampled lines that it was learned from.
    pub(super) weight: usize,
}

/// Templates by level and shape. Several may share a pattern.
#[derive(Debug, Default)]
pub(super) struct Templates {
    groups: FxHashMap<(Level, u64), Vec<Candidate>>,
    patterns: Vec<(Level, String)>,
}

#[derive(Debug)]
struct Candidate {
    literals: Vec<(u32, u64)>,
    matcher: LinePattern,
    pattern: u32,
}

impl Templates {
    /// The templates of each round; those of an earlier one are asked first. In a round the most particular ones come first.
    pub(super) fn new(rounds: &[Vec<Template>]) -> Self {
        let mut all = Templates::default();
        let mut by_text: FxHashMap<(Level, &str), u32> = FxHashMap::default();
        for round in rounds {
            let mut round: Vec<&Template> = round.iter().collect();
            round.sort_by_key(|template| std::cmp::Reverse(template.literals.len()));
            for Template { level, shape, literals, text, .. } in round {
                // A text that does not read back as a pattern counts nothing.
                let Ok(matcher) = LinePattern::parse(text) else { continue };
                let next = all.patterns.len() as u32;
                let pattern = *by_text.entry((*level, text)).or_insert(next);
                if pattern == next {
                    all.patterns.push((*level, text.clone()));
                }
                all.groups.entry((*level, *shape)).or_default().push(Candidate { literals: literals.clone(), matcher, pattern });
            }
        }
        all
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
