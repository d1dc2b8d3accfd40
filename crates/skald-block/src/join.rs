mod input;
mod instant;

use crate::block::RowWeights;
use crate::{EncodeError, EncodedObject, FormatError, MergeError, ObjectInfo, ObjectWriter, Part, RowHasher, WriterOptions, merge_rows};
use bytes::Bytes;
use input::Input;
use skald_model::{ErrorKind, Labels, Rows};
use std::collections::HashSet;
use std::io;
use std::ops::Range;

/// Rows of one input before the next row of any other: as many are copied straight to the output; fewer go through the sort.
const STRETCH_MIN: usize = 32;
/// Rows of one instant that are compared with each other at once, where they fill whole runs: a set of so many hashes has about 32 MiB.
const INSTANT_ROWS: u64 = 1 << 20;

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    /// When they cannot be read, or are no longer wanted: whoever waits for a join ends it so.
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Number of bytes there are.
    fn size(&self) -> u64;
}

impl ReadAt for Bytes {
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.len() as u64 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(self.slice(range.start as usize..range.end as usize))
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// An object to be joined with others.
pub struct JoinInput<'a> {
    /// Its name, which the joined object records as replaced.
    pub name: String,
    /// Its bytes.
    pub object: &'a dyn ReadAt,
}

/// Why objects were not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Bytes of an input were not to be had.
    #[error("read {part} of data object '{name}'")]
    Read {
        /// The input.
        name: String,
        /// What was to be read; of several parts that stand side by side, the first.
        part: Part,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The bytes of an input are not what was written.
    #[error("data object '{name}' is damaged")]
    Damaged {
        /// The input.
        name: String,
        /// What is wrong with which part.
        #[source]
        source: FormatError,
    },
    /// An input that the output cannot hold.
    #[error("data object '{name}' is of another {what} than the joined one")]
    Foreign {
        /// The input.
        name: String,
        /// `tenant`, `day` or `retention class`.
        what: &'static str,
    },
    /// Rows that stand at the same time in very many inputs.
    #[error("bring rows of stream {labels} in order")]
    Merge {
        /// The stream.
        labels: Labels,
        /// Cause.
        #[source]
        source: MergeError,
    },
    /// All together pass what one object can hold.
    #[error("write the joined data object")]
    Write(#[source] EncodeError),
}

impl JoinError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } => ErrorKind::Unavailable,
            Self::Damaged { source, .. } => source.kind(),
            Self::Foreign { .. } => ErrorKind::InvalidInput,
            Self::Merge { source, .. } => source.kind(),
            Self::Write(source) => source.kind(),
        }
    }
}

/// Makes one data object of several of one tenant, day and retention class: streams merged by their labels, rows by their time, repeated entries left out as
/// [`merge_rows`] does. Rows of one time stand in the order of the inputs' generations and parts, then of the inputs as given, then of their rows; so does which
/// of equal entries stays. Each input has each entry once, as flushes and joins leave it.
///
/// The joined object replaces what `info.replaces` says, the inputs, and all that they replaced. Equal inputs give equal bytes: those that an
/// [`ObjectWriter`] would have made of all rows at once, unless blocks are cut for having very many metadata names.
///
/// Memory: the output; of each input its footer and its labels, one decoded block, and a copy of some rows of it. How many rows a stream has, or an
/// instant, does not matter. Every block is read and decoded once, but for blocks that hold one single instant of a stream which stands in several inputs.
///
/// # Errors
/// When an input cannot be read, is damaged or of another table, or there is no row at all.
pub fn join_objects(inputs: &[JoinInput<'_>], info: ObjectInfo, options: WriterOptions) -> Result<EncodedObject, JoinError> {
    join(inputs, info, options, INSTANT_ROWS)
}

fn join(inputs: &[JoinInput<'_>], info: ObjectInfo, options: WriterOptions, instant_rows: u64) -> Result<EncodedObject, JoinError> {
    let mut opened = inputs.iter().map(Input::open).collect::<Result<Vec<_>, _>>()?;
    if let Some((input, what)) = opened.iter().find_map(|input| Some((input, foreign(&info, &input.footer().info)?))) {
        return Err(JoinError::Foreign { name: input.name().to_owned(), what });
    }
    let replaces = replaced(&info, &opened);
    opened.sort_by_key(|input| {
        let info = &input.footer().info;
        (info.generation, info.part, info.disk)
    });
    let hasher = RowHasher::new(&info.tenant);
    let writer = ObjectWriter::new(ObjectInfo { replaces, ..info }, options).map_err(JoinError::Write)?;
    let mut joining = Joining { inputs: opened, writer, hasher, instant_rows };
    while let Some(labels) = joining.inputs.iter().filter_map(Input::labels).min().cloned() {
        joining.join_stream(&labels)?;
    }
    joining.writer.finish().map_err(JoinError::Write)
}

/// What of `found` is not as in `want`.
fn foreign(want: &ObjectInfo, found: &ObjectInfo) -> Option<&'static str> {
    let differs = [(want.tenant != found.tenant, "tenant"), (want.day != found.day, "day"), (want.class != found.class, "retention class")];
    differs.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
}

/// Names that the output replaces, each once.
fn replaced(info: &ObjectInfo, inputs: &[Input<'_>]) -> Vec<String> {
    let of_inputs =
        inputs.iter().flat_map(|input| std::iter::once(input.name()).chain(input.footer().info.replaces.iter().map(String::as_str)));
    let mut seen = HashSet::new();
    let all = info.replaces.iter().map(String::as_str).chain(of_inputs);
    all.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

struct Joining<'a> {
    /// By rank: of equal rows, that of the earlier input stays.
    inputs: Vec<Input<'a>>,
    writer: ObjectWriter,
    hasher: RowHasher,
    /// Rows of one instant that are compared with each other at once, where they fill whole runs.
    instant_rows: u64,
}

impl Joining<'_> {
    fn join_stream(&mut self, labels: &Labels) -> Result<(), JoinError> {
        let having: Vec<usize> = (0..self.inputs.len()).filter(|i| self.inputs[*i].labels() == Some(labels)).collect();
        having.iter().for_each(|i| self.inputs[*i].begin_stream());
        // Which input has the earliest row, and when the others go on.
        while let Some((at, first)) = having.iter().filter_map(|i| Some((self.inputs[*i].next_time()?, *i))).min() {
            let rest = having.iter().filter(|i| **i != first).filter_map(|i| self.inputs[*i].next_time()).min();
            self.inputs[first].load()?;
            let stretch = self.inputs[first].rows_before(rest);
            let is_alone = rest.is_none() || stretch.end == self.inputs[first].rows().end;
            if stretch.len() >= STRETCH_MIN || !stretch.is_empty() && is_alone {
                self.take(first, labels, stretch)?;
                continue;
            }
            // Inputs that begin a run now have rows of this instant too.
            for i in &having {
                if self.inputs[*i].next_time() == Some(at) {
                    self.inputs[*i].load()?;
                }
            }
            match having.iter().filter_map(|i| self.inputs[*i].next_run_time()).min() {
                Some(border) if border == at => self.join_instant(labels, at, &having)?,
                border => self.sort(labels, border, &having)?,
            }
        }
        having.iter().for_each(|i| self.inputs[*i].end_stream());
        Ok(())
    }

    /// Writes rows of one input as they are.
    fn take(&mut self, i: usize, labels: &Labels, span: Range<usize>) -> Result<(), JoinError> {
        let (rows, weights) = self.inputs[i].take(span.end);
        self.writer.add_span(labels, rows, weights, span).map_err(JoinError::Write)
    }

    /// Merges all rows before `border`, the time at which the first run begins that is not loaded.
    fn sort(&mut self, labels: &Labels, border: Option<i64>, having: &[usize]) -> Result<(), JoinError> {
        let mut chunks = Vec::new();
        for i in having {
            let span = self.inputs[*i].rows_before(border);
            if !span.is_empty() {
                let end = span.end;
                chunks.push(self.inputs[*i].slice(span));
                self.inputs[*i].take(end);
            }
        }
        let chunks: Vec<&Rows> = chunks.iter().collect();
        let rows = merge_rows(&chunks).map_err(|source| JoinError::Merge { labels: labels.clone(), source })?.rows;
        self.writer.add_span(labels, &rows, &mut RowWeights::new(&rows), 0..rows.len()).map_err(JoinError::Write)
    }
}

#[cfg(test)]
mod tests;
