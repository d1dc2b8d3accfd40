//! Learns templates from sampled lines: a bounded tree of level, shape, and clusters of lines whose words are mostly equal.
//!
//! It follows Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017), with what a sample at hand allows beyond
//! a stream: frequent lines come first, whatever their order, and what varies is decided by looking at all lines of a cluster.

use super::render::render;
use super::sample::Sampled;
use super::templates::Template;
use super::tokens::{Chunk, Kind, Tokens};
use rustc_hash::FxHashMap;
use skald_model::Level;
use std::collections::BTreeMap;

/// Clusters of one level and shape.
const CLUSTERS_MAX: usize = 64;
/// Templates that one sample gives.
const TEMPLATES_MAX: usize = 1000;
/// Lines that a cluster needs before a value that never changed counts as fixed, or a beginning that all values share.
pub(super) const EVIDENCE: usize = 8;
/// Most alternatives of a word that are kept apart, and least lines of each.
const ALTERNATIVES_MAX: usize = 3;
const ALTERNATIVE_LINES_MIN: usize = 10;

/// A sampled line, cut.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) tokens: Tokens,
}

impl Line<'_> {
    fn chunk(&self, at: usize) -> &Chunk {
        &self.tokens.chunks[at]
    }

    /// Bytes of chunk `at`.
    pub(super) fn text(&self, at: usize) -> &[u8] {
        self.chunk(at).of(self.bytes)
    }

    /// What stands before chunk `at`.
    pub(super) fn gap(&self, at: usize) -> &[u8] {
        self.tokens.gap(self.bytes, at)
    }

    /// The hashes of all chunks; numbers count as equal.
    fn skeleton(&self) -> impl Iterator<Item = u64> {
        self.tokens.chunks.iter().map(|chunk| chunk.hash)
    }
}

/// Templates of the sampled lines, those of most lines first. Depends on the lines alone, not on their order.
pub(super) fn learn(sampled: &[Sampled]) -> Vec<Template> {
    let mut lines: Vec<(Level, Line<'_>)> = sampled.iter().map(|sampled| (sampled.level, cut(&sampled.line))).collect();
    lines.sort_by(|a, b| (a.0, a.1.bytes).cmp(&(b.0, b.1.bytes)));
    let mut groups: BTreeMap<(Level, u64), Vec<&Line<'_>>> = BTreeMap::new();
    for (level, line) in lines.iter().filter(|(_, line)| !line.bytes.is_empty()) {
        groups.entry((*level, line.tokens.shape)).or_default().push(line);
    }
    let mut templates = Vec::new();
    for ((level, shape), lines) in groups {
        let clusters = clusters(&lines).into_iter().flat_map(split_alternatives);
        templates.extend(clusters.map(|lines| (lines.len(), template(level, shape, &lines))));
    }
    // Stable: of equal weight the order of level, shape and line stays.
    templates.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    templates.truncate(TEMPLATES_MAX);
    templates.into_iter().map(|(_, template)| template).collect()
}

fn cut(line: &[u8]) -> Line<'_> {
    let mut tokens = Tokens::default();
    tokens.read(line);
    Line { bytes: line, tokens }
}

/// Lines that are one message but for what varies, and what their words have in common.
struct Cluster<'a> {
    /// By chunk: the word that all lines have.
    words: Vec<Slot>,
    lines: Vec<&'a Line<'a>>,
}

/// What a cluster knows of a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// All lines have this word.
    Word(u64),
    /// Words that differ.
    Words,
    /// No words.
    Other,
}

fn clusters<'a>(lines: &[&'a Line<'a>]) -> Vec<Vec<&'a Line<'a>>> {
    let mut skeletons: FxHashMap<Vec<u64>, Vec<&'a Line<'a>>> = FxHashMap::default();
    for line in lines {
        skeletons.entry(line.skeleton().collect()).or_default().push(line);
    }
    let mut skeletons: Vec<_> = skeletons.into_values().collect();
    skeletons.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a[0].bytes.cmp(b[0].bytes)));
    let mut clusters: Vec<Cluster<'a>> = Vec::new();
    for lines in skeletons {
        let slots: Vec<Slot> = lines[0].tokens.chunks.iter().map(slot).collect();
        let nearest = clusters.iter_mut().filter_map(|cluster| Some((likeness(&cluster.words, &slots)?, cluster)));
        match nearest.reduce(|best, next| if next.0 > best.0 { next } else { best }) {
            Some((_, cluster)) => cluster.take(&slots, lines),
            None if clusters.len() < CLUSTERS_MAX => clusters.push(Cluster { words: slots, lines }),
            None => {}
        }
    }
    clusters.into_iter().map(|cluster| cluster.lines).collect()
}

fn slot(chunk: &Chunk) -> Slot {
    if chunk.kind == Kind::Word { Slot::Word(chunk.hash) } else { Slot::Other }
}

/// How many of the words are equal, in thousandths; `None` when too few are.
fn likeness(cluster: &[Slot], line: &[Slot]) -> Option<usize> {
    let (mut equal, mut words) = (0, 0);
    for (a, b) in cluster.iter().zip(line) {
        if (*a, *b) != (Slot::Other, Slot::Other) {
            words += 1;
            equal += usize::from(a == b && *a != Slot::Words);
        }
    }
    if words == 0 {
        return Some(1000);
    }
    // Three of five.
    (equal * 5 >= words * 3).then(|| equal * 1000 / words)
}

impl<'a> Cluster<'a> {
    fn take(&mut self, slots: &[Slot], lines: Vec<&'a Line<'a>>) {
        for (mine, theirs) in self.words.iter_mut().zip(slots) {
            if mine != theirs {
                *mine = Slot::Words;
            }
        }
        self.lines.extend(lines);
    }
}

/// Splits a cluster by a word of which there are few, so that `Accepted` and `Failed` are two messages and a hundred user names are one.
fn split_alternatives<'a>(lines: Vec<&'a Line<'a>>) -> Vec<Vec<&'a Line<'a>>> {
    for at in 0..lines[0].tokens.chunks.len() {
        let mut by_word: BTreeMap<&[u8], Vec<&'a Line<'a>>> = BTreeMap::new();
        for line in &lines {
            if line.chunk(at).kind != Kind::Word || by_word.len() > ALTERNATIVES_MAX {
                by_word.clear();
                break;
            }
            by_word.entry(line.text(at)).or_default().push(line);
        }
        let few = (2..=ALTERNATIVES_MAX).contains(&by_word.len());
        if few && by_word.values().all(|lines| lines.len() >= ALTERNATIVE_LINES_MIN) {
            return by_word.into_values().flat_map(split_alternatives).collect();
        }
    }
    vec![lines]
}

fn template(level: Level, shape: u64, lines: &[&Line<'_>]) -> Template {
    let fixed: Vec<bool> = (0..lines[0].tokens.chunks.len()).map(|at| is_fixed(lines, at)).collect();
    let literal = |at: usize| (fixed[at] && lines[0].chunk(at).kind != Kind::Key).then(|| (at as u32, lines[0].chunk(at).hash));
    let literals = (0..fixed.len()).filter_map(literal).collect();
    Template { level, shape, literals, text: render(lines, &fixed) }
}

/// Whether chunk `at` is part of the message.
fn is_fixed(lines: &[&Line<'_>], at: usize) -> bool {
    let first = lines[0];
    let is_equal = || lines.iter().all(|line| line.chunk(at).hash == first.chunk(at).hash);
    match first.chunk(at).kind {
        Kind::Number => false,
        Kind::Key => true,
        Kind::Word | Kind::Mark => is_equal(),
        Kind::Value | Kind::Mixed => (lines.len() >= EVIDENCE || is_level(first, at)) && is_equal(),
    }
}

/// Whether chunk `at` is the level that the line states: a template is of one level.
fn is_level(line: &Line<'_>, at: usize) -> bool {
    let key = at.checked_sub(1).map(|at| line.chunk(at)).filter(|chunk| chunk.kind == Kind::Key);
    key.is_some_and(|key| [&b"level"[..], b"lvl", b"severity"].iter().any(|name| key.of(line.bytes).eq_ignore_ascii_case(name)))
}
