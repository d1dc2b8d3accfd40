use crate::{Index, IndexWriter, IndexedStream, MergeError, Reference, RowBlock};
use bytes::Bytes;
use skald_model::Labels;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::ops::Range;

/// Why an input of a merge could not be read, as its reader says it.
pub type InputError = Box<dyn std::error::Error + Send + Sync>;

/// Most bytes of row blocks that are read at once, unless one block has more.
const READ_MAX: u64 = 256 << 10;

/// Streams to merge, ascending by labels, each once.
pub struct MergeInput<'a> {
    objects: Vec<String>,
    streams: Box<dyn Iterator<Item = Result<IndexedStream, InputError>> + 'a>,
}

impl<'a> MergeInput<'a> {
    /// Streams whose references give numbers to `objects`.
    pub fn new(objects: Vec<String>, streams: impl Iterator<Item = Result<IndexedStream, InputError>> + 'a) -> Self {
        MergeInput { objects, streams: Box::new(streams) }
    }

    /// All of an index, whose file `read` reads: some neighbouring row blocks at a time, from first to last.
    pub fn of_index(index: &'a Index, read: impl FnMut(Range<u64>) -> Result<Bytes, InputError> + 'a) -> Self {
        let blocks = index.row_blocks(&index.select_all());
        let mut rows = IndexRows { index, read, blocks: blocks.into_iter().peekable(), waiting: Vec::new().into_iter() };
        Self::new(index.objects().to_vec(), std::iter::from_fn(move || rows.next().transpose()))
    }
}

struct IndexRows<'a, R> {
    index: &'a Index,
    read: R,
    blocks: std::iter::Peekable<std::vec::IntoIter<RowBlock>>,
    waiting: std::vec::IntoIter<IndexedStream>,
}

impl<R: FnMut(Range<u64>) -> Result<Bytes, InputError>> IndexRows<'_, R> {
    fn next(&mut self) -> Result<Option<IndexedStream>, InputError> {
        if let Some(stream) = self.waiting.next() {
            return Ok(Some(stream));
        }
        let Some(first) = self.blocks.next() else { return Ok(None) };
        let (start, mut blocks) = (first.range.start, vec![first]);
        while let Some(block) = self.blocks.next_if(|block| block.range.end - start <= READ_MAX) {
            blocks.push(block);
        }
        let end = blocks[blocks.len() - 1].range.end;
        let bytes = (self.read)(start..end)?;
        let (all, mut streams) = (self.index.select_all(), Vec::new());
        for block in &blocks {
            let range = (block.range.start - start) as usize..(block.range.end - start) as usize;
            streams.extend(self.index.streams(block, bytes.get(range).unwrap_or_default(), &all)?);
        }
        self.waiting = streams.into_iter();
        Ok(self.waiting.next())
    }
}

/// Merges inputs into one index file over all of their objects that are to be kept, in the order of their names. References to other objects are left out, and
/// streams that have none then. What two inputs say alike of a stream and an object stands once.
///
/// Cost: holds the file, and of each input what it reads at a time.
///
/// # Errors
/// When an input cannot be read, is not in order, or contradicts another.
pub fn merge(inputs: Vec<MergeInput<'_>>, keep: impl Fn(&str) -> bool) -> Result<Bytes, MergeError> {
    let names: BTreeSet<&str> = inputs.iter().flat_map(|input| &input.objects).map(String::as_str).filter(|name| keep(name)).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let numbers: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, number)| (name.as_str(), number)).collect();
    let mut sources: Vec<Source<'_>> = inputs.into_iter().enumerate().map(|(number, input)| Source::new(number, input, &numbers)).collect();
    let mut writer = IndexWriter::new(names.clone())?;
    let mut heap = BinaryHeap::with_capacity(sources.len());
    for source in &mut sources {
        heap.extend(source.advance()?.map(|labels| Reverse((labels, source.number))));
    }
    let mut references = Vec::new();
    while let Some(Reverse((labels, first))) = heap.pop() {
        references.clear();
        let mut source = first;
        loop {
            sources[source].take(&labels, &mut references)?;
            heap.extend(sources[source].advance()?.map(|labels| Reverse((labels, source))));
            match heap.peek() {
                Some(Reverse((next, number))) if *next == labels => source = *number,
                _ => break,
            }
            heap.pop();
        }
        unite(&labels, &mut references, &names)?;
        if !references.is_empty() {
            writer.add(&labels, &references)?;
        }
    }
    Ok(writer.finish()?)
}

/// Sorts references and leaves out what stands twice.
fn unite(labels: &Labels, references: &mut Vec<Reference>, names: &[String]) -> Result<(), MergeError> {
    references.sort_by_key(|reference| reference.object);
    references.dedup();
    match references.windows(2).find(|pair| pair[0].object == pair[1].object) {
        None => Ok(()),
        Some(pair) => Err(MergeError::Disagree { labels: labels.clone(), object: names[pair[0].object as usize].clone() }),
    }
}

/// An input, and its stream that is next.
struct Source<'a> {
    number: usize,
    streams: Box<dyn Iterator<Item = Result<IndexedStream, InputError>> + 'a>,
    /// By number in the input: the number in the result, if the object is kept.
    objects: Vec<Option<u32>>,
    next: Option<IndexedStream>,
    last: Option<Labels>,
}

impl<'a> Source<'a> {
    fn new(number: usize, input: MergeInput<'a>, numbers: &HashMap<&str, u32>) -> Self {
        let objects = input.objects.iter().map(|name| numbers.get(name.as_str()).copied()).collect();
        Source { number, streams: input.streams, objects, next: None, last: None }
    }

    /// Goes to the next stream and tells its labels.
    fn advance(&mut self) -> Result<Option<Labels>, MergeError> {
        self.next = self.streams.next().transpose().map_err(|source| MergeError::Input { input: self.number, source })?;
        let Some(next) = &self.next else { return Ok(None) };
        if self.last.as_ref().is_some_and(|last| *last >= next.labels) {
            return Err(MergeError::StreamOrder { input: self.number, labels: next.labels.clone() });
        }
        self.last = Some(next.labels.clone());
        Ok(self.last.clone())
    }

    /// Appends the references of the current stream, by their new numbers.
    fn take(&mut self, labels: &Labels, out: &mut Vec<Reference>) -> Result<(), MergeError> {
        for reference in self.next.take().into_iter().flat_map(|stream| stream.references) {
            let unknown = || MergeError::UnknownObject { input: self.number, labels: labels.clone(), object: reference.object };
            if let Some(object) = *self.objects.get(reference.object as usize).ok_or_else(unknown)? {
                out.push(Reference { object, ..reference });
            }
        }
        Ok(())
    }
}
