use super::options;
use crate::stage::{Build, Compiled, Holding, Options, Run, Work};
use crate::{LabelSet, Mark, StageError};
use ::regex::bytes::Regex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of unfinished blocks that one source may hold.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Label sets that one source may have.
const LABEL_SETS_MAX: usize = 1000;

/// Joins lines into one entry: each first line with those that follow it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Multiline {
    /// What is found in each first line.
    firstline: Option<String>,
    /// How long to wait for another line: 3s.
    max_wait_time: Option<String>,
    /// Most lines of an entry: 128.
    max_lines: Option<usize>,
}

impl Options for Multiline {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let limits = Limits {
            first: options::regex("firstline", options::required("firstline", self.firstline.as_deref())?)?,
            wait: options::duration("max_wait_time", self.max_wait_time.as_deref().unwrap_or("3s"))?,
            lines: self.max_lines.filter(|lines| *lines > 0).unwrap_or(128),
        };
        Ok(Compiled::holding(move || Blocks { limits: limits.clone(), by_labels: FxHashMap::default(), bytes: 0 }))
    }
}

#[derive(Clone)]
struct Limits {
    first: Arc<Regex>,
    wait: Duration,
    lines: usize,
}

/// The unfinished blocks of one source.
struct Blocks {
    limits: Limits,
    /// Of each label set that had a first line.
    by_labels: FxHashMap<LabelSet, Block>,
    /// Of all held lines.
    bytes: usize,
}

enum Block {
    /// Nothing is held, and the next line begins anew.
    Ended,
    /// Nothing is held, but the lines that follow belong to an entry that had too many. This is its beginning, without its line.
    Continued(Box<Work>),
    /// Lines are held.
    Open { work: Box<Work>, lines: usize, deadline: Duration },
}

impl Blocks {
    /// Adds a line that is not the first to the block of its label set.
    fn add(&mut self, line: Work, now: Duration, released: &mut Vec<Work>) {
        let block = self.by_labels.get_mut(&line.entry.labels).expect("the caller has looked for it");
        self.bytes += line.entry.line.len() + 1;
        let deadline = now + self.limits.wait;
        *block = match std::mem::replace(block, Block::Ended) {
            Block::Ended => Block::Open { work: Box::new(line), lines: 1, deadline },
            Block::Continued(mut work) => {
                (work.entry.line, work.mark) = (line.entry.line, line.mark);
                Block::Open { work, lines: 1, deadline }
            }
            Block::Open { mut work, lines, .. } => {
                work.entry.line.push('\n');
                work.entry.line.push_str(&line.entry.line);
                // A stage before this one may have held the line for long.
                work.mark = work.mark.min(line.mark);
                Block::Open { work, lines: lines + 1, deadline }
            }
        };
        if let Block::Open { work, lines, .. } = block
            && *lines >= self.limits.lines
        {
            let beginning = Box::new(work.without_line());
            released.extend(block.end(&mut self.bytes));
            *block = Block::Continued(beginning);
        }
    }

    /// Lets all blocks go for which `ends` holds, in the order in which they began.
    fn end(&mut self, ends: impl Fn(&Block) -> bool, released: &mut Vec<Work>) {
        let blocks = self.by_labels.values_mut().filter(|block| ends(block));
        let mut ended: Vec<Work> = blocks.filter_map(|block| block.end(&mut self.bytes)).collect();
        ended.sort_by_key(|work| work.mark);
        released.append(&mut ended);
    }
}

impl Block {
    /// Takes what is held.
    fn end(&mut self, bytes: &mut usize) -> Option<Work> {
        match std::mem::replace(self, Block::Ended) {
            Block::Open { work, .. } => {
                // Each line counts with a line feed after it, and the last has none.
                *bytes -= work.entry.line.len() + 1;
                Some(*work)
            }
            Block::Ended | Block::Continued(_) => None,
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Block::Open { deadline, .. } => Some(*deadline),
            Block::Ended | Block::Continued(_) => None,
        }
    }

    fn mark(&self) -> Option<Mark> {
        match self {
            Block::Open { work, .. } => Some(work.mark),
            Block::Ended | Block::Continued(_) => None,
        }
    }
}

impl Holding for Blocks {
    fn process(&mut self, work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        let now = run.now.monotonic;
        if self.limits.first.is_match(work.entry.line.as_bytes()) {
            if self.by_labels.len() >= LABEL_SETS_MAX && !self.by_labels.contains_key(&work.entry.labels) {
                self.flush(run, released);
            }
            let block = self.by_labels.entry(work.entry.labels.clone()).or_insert(Block::Ended);
            released.extend(block.end(&mut self.bytes));
        } else if !self.by_labels.contains_key(&work.entry.labels) {
            return Some(work);
        }
        self.add(work, now, released);
        if self.bytes > HELD_BYTES_MAX {
            self.end(|_| true, released);
        }
        None
    }

    fn tick(&mut self, run: &mut Run, released: &mut Vec<Work>) {
        let now = run.now.monotonic;
        self.end(|block| block.deadline().is_some_and(|deadline| deadline <= now), released);
    }

    fn flush(&mut self, _run: &mut Run, released: &mut Vec<Work>) {
        self.end(|_| true, released);
        self.by_labels.clear();
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.by_labels.values().filter_map(Block::deadline).min()
    }

    fn oldest_held(&self) -> Option<Mark> {
        self.by_labels.values().filter_map(Block::mark).min()
    }
}

#[cfg(test)]
mod tests;
