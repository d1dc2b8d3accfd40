//! Learns templates from sampled lines: a bounded tree of level, shape, and clusters of lines whose words are mostly equal.
//!
//! It follows Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017), with what a sample at hand allows beyond
//! a stream: frequent lines come first, whatever their order, and what varies is decided by looking at all lines of a cluster.

use super::render::{Style, render};
use super::sample::Sampled;
use super::templates::Template;
use super::tokens::{Chunk, Kind, Tokens};
use rustc_hash::FxHashMap;
use skald_logql::exec::LinePattern;
use skald_model::Level;
use std::collections::BTreeMap;

/// Clusters of one level and shape.
const CLUSTERS_MAX: usize = 64;
/// Templates that one sample gives.
const TEMPLATES_MAX: usize = 1000;
/// Words, in place of which one varies.
const LIST_MIN: usize = 8;
/// Lines that a cluster needs before a value that never changed counts as fixed, or a beginning that all values share.
pub(super) const EVIDENCE: usize = 8;
/// Most alternatives of a word that are kept apart, and least lines of each; a twentieth of the cluster's at least, and together three quarters.
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

    /// What chunk `at` is.
    pub(super) fn kind(&self, at: usize) -> Kind {
        self.chunk(at).kind
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
        templates.extend(clusters.map(|lines| template(level, shape, &lines)));
    }
    // Stable: of equal weight the order of level, shape and line stays.
    templates.sort_by_key(|template| std::cmp::Reverse(template.weight));
    templates.truncate(TEMPLATES_MAX);
    templates
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
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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
        let like = |(at, cluster): (usize, &Cluster<'a>)| Some((likeness(&cluster.words, &slots)?, std::cmp::Reverse(at)));
        match clusters.iter().enumerate().filter_map(like).max() {
            Some((_, std::cmp::Reverse(at))) => clusters[at].take(&slots, lines),
            None if clusters.len() < CLUSTERS_MAX => clusters.push(Cluster { words: slots, lines }),
            None => {}
        }
    }
    merge_lists(clusters).into_iter().map(|cluster| cluster.lines).collect()
}

/// Merges clusters that differ in one word only, where there are many of them: names of users or hosts beside few other words.
fn merge_lists<'a>(mut clusters: Vec<Cluster<'a>>) -> Vec<Cluster<'a>> {
    for at in 0..clusters.first().map_or(0, |cluster| cluster.words.len()) {
        let mut places: FxHashMap<Vec<Slot>, usize> = FxHashMap::default();
        let mut merged: Vec<Vec<Cluster<'a>>> = Vec::new();
        for cluster in clusters {
            let mut others = cluster.words.clone();
            let differs = matches!(std::mem::replace(&mut others[at], Slot::Words), Slot::Word(_));
            let is_sure = others.iter().any(|slot| matches!(slot, Slot::Word(_)));
            let place = if differs && is_sure { *places.entry(others).or_insert(merged.len()) } else { merged.len() };
            if place == merged.len() {
                merged.push(Vec::new());
            }
            merged[place].push(cluster);
        }
        let merge = |list: Vec<Cluster<'a>>| {
            if list.len() < LIST_MIN { list } else { list.into_iter().reduce(Cluster::join).into_iter().collect() }
        };
        clusters = merged.into_iter().flat_map(merge).collect();
    }
    clusters
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

    fn join(mut self, other: Cluster<'a>) -> Self {
        self.take(&other.words, other.lines);
        self
    }
}

/// Splits a cluster where few words make up most of it, so that `Accepted` and `Failed` are two messages, and a hundred user names are one.
fn split_alternatives<'a>(lines: Vec<&'a Line<'a>>) -> Vec<Vec<&'a Line<'a>>> {
    for at in 0..lines[0].tokens.chunks.len() {
        let words = alternatives(&lines, at);
        if words.is_empty() {
            continue;
        }
        let mut parts: BTreeMap<Option<u64>, Vec<&'a Line<'a>>> = BTreeMap::new();
        for line in lines {
            let hash = line.chunk(at).hash;
            parts.entry(words.contains(&hash).then_some(hash)).or_default().push(line);
        }
        return parts.into_values().flat_map(split_alternatives).collect();
    }
    vec![lines]
}

/// Hashes of the few words that stand at chunk `at` of most lines; none when it does not vary, or varies more.
fn alternatives(lines: &[&Line<'_>], at: usize) -> Vec<u64> {
    let first = lines[0].chunk(at).hash;
    if lines.iter().all(|line| line.chunk(at).hash == first) {
        return Vec::new();
    }
    let mut counts: FxHashMap<u64, usize> = FxHashMap::default();
    for line in lines.iter().filter(|line| line.kind(at) == Kind::Word) {
        *counts.entry(line.chunk(at).hash).or_default() += 1;
    }
    let least = ALTERNATIVE_LINES_MIN.max(lines.len() / 20);
    let frequent: Vec<(u64, usize)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
    let covered: usize = frequent.iter().map(|(_, count)| count).sum();
    let few = frequent.len() <= ALTERNATIVES_MAX && covered * 4 >= lines.len() * 3;
    if few { frequent.into_iter().map(|(hash, _)| hash).collect() } else { Vec::new() }
}

fn template(level: Level, shape: u64, lines: &[&Line<'_>]) -> Template {
    let fixed: Vec<bool> = (0..lines[0].tokens.chunks.len()).map(|at| is_fixed(lines, at)).collect();
    let literal = |at: usize| (fixed[at] && lines[0].kind(at) != Kind::Key).then(|| (at as u32, lines[0].chunk(at).hash));
    let literals = (0..fixed.len()).filter_map(literal).collect();
    // The shortest text that matches all lines, else the one that matches most.
    let texts = [Style::Joined, Style::Apart, Style::Plain].map(|style| render(lines, &fixed, style));
    let matched =
        |text: &String| LinePattern::parse(text).map_or(0, |pattern| lines.iter().filter(|line| pattern.matches(line.bytes)).count());
    let best = texts.into_iter().map(|text| (matched(&text), text)).reduce(|best, next| if next.0 > best.0 { next } else { best });
    Template { level, shape, literals, text: best.map(|(_, text)| text).unwrap_or_default(), weight: lines.len() }
}

/// Whether chunk `at` is part of the message.
fn is_fixed(lines: &[&Line<'_>], at: usize) -> bool {
    let first = lines[0];
    let is_equal = || lines.iter().all(|line| line.chunk(at).hash == first.chunk(at).hash);
    match first.kind(at) {
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
