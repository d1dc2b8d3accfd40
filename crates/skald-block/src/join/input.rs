use super::{JoinError, JoinInput, ReadAt};
use crate::block::RowWeights;
use crate::{BlockEntry, Decoder, Footer, FormatError, Part, StreamTable, Trailer};
use bytes::Bytes;
use skald_model::{Labels, Rows};
use std::ops::Range;

/// An object that is read from its beginning to its end, stream by stream, one block at a time.
pub(super) struct Input<'a> {
    name: String,
    object: &'a dyn ReadAt,
    footer: Footer,
    streams: StreamTable,
    decoder: Decoder,
    /// Number and labels of the stream that comes next.
    stream: u32,
    labels: Option<Labels>,
    loaded: Option<Loaded>,
    /// Blocks of the stream that were not come to yet.
    blocks: Range<u32>,
    /// Rows of the stream in the loaded block that are still to be taken.
    rows: Range<usize>,
}

struct Loaded {
    block: u32,
    rows: Rows,
    weights: RowWeights,
}

/// Where an input stands in a stream.
#[derive(Clone)]
pub(super) struct Position {
    blocks: Range<u32>,
    rows: Range<usize>,
}

impl<'a> Input<'a> {
    pub(super) fn open(input: &JoinInput<'a>) -> Result<Self, JoinError> {
        let (name, object) = (&input.name, input.object);
        let read = |range, part| read(name, object, range, part);
        let damaged = |source| JoinError::Damaged { name: name.clone(), source };
        let size = object.size();
        let tail = read(size.saturating_sub(Trailer::LEN as u64)..size, Part::Trailer)?;
        let trailer = Trailer::parse(&tail, size).map_err(damaged)?;
        let footer = Footer::parse(&trailer, &read(trailer.footer_range(), Part::Info)?).map_err(damaged)?;
        let streams = footer.open_streams(&read(footer.streams.range(), Part::Streams)?).map_err(damaged)?;
        let labels = (!streams.is_empty()).then(|| streams.labels(0));
        let decoder = Decoder::new();
        Ok(Input { name: name.clone(), object, footer, streams, decoder, stream: 0, labels, loaded: None, blocks: 0..0, rows: 0..0 })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Labels of the stream that comes next.
    pub(super) fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    pub(super) fn begin_stream(&mut self) {
        let mut blocks = self.footer.runs_of(self.stream).map(|(at, _)| at.block);
        self.blocks = blocks.next().map_or(0..0, |first| first..first + 1 + blocks.len() as u32);
        self.rows = 0..0;
    }

    pub(super) fn end_stream(&mut self) {
        self.stream += 1;
        self.labels = (self.stream < self.footer.stream_count).then(|| self.streams.labels(self.stream));
    }

    /// Rows of the stream that are loaded and not taken.
    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Time of the next row of the stream.
    pub(super) fn next_time(&self) -> Option<i64> {
        match &self.loaded {
            Some(loaded) if !self.rows.is_empty() => Some(loaded.rows.timestamps()[self.rows.start]),
            _ => self.next_run_time(),
        }
    }

    /// Time at which the stream's next run begins that is not loaded: all rows before it are at hand.
    pub(super) fn next_run_time(&self) -> Option<i64> {
        let block = (!self.blocks.is_empty()).then(|| &self.footer.blocks[self.blocks.start as usize])?;
        block.run_of(self.stream).map(|run| run.min_time.0)
    }

    /// Has the next rows of the stream at hand, if there are any.
    pub(super) fn load(&mut self) -> Result<(), JoinError> {
        if self.rows.is_empty() && !self.blocks.is_empty() {
            let block = self.blocks.start;
            self.load_block(block)?;
            self.blocks.start += 1;
            self.rows = self.footer.blocks[block as usize].run_of(self.stream).map_or(0..0, |run| run.row_range());
        }
        Ok(())
    }

    fn load_block(&mut self, number: u32) -> Result<(), JoinError> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.block == number) {
            return Ok(());
        }
        self.loaded = None;
        let block = &self.footer.blocks[number as usize];
        let stored = read(&self.name, self.object, block.range(), block.timestamps.part)?;
        let rows = self.decoder.block(block, &stored).and_then(|rows| check_order(block, rows));
        let rows = rows.map_err(|source| JoinError::Damaged { name: self.name.clone(), source })?;
        let weights = RowWeights::new(&rows);
        self.loaded = Some(Loaded { block: number, rows, weights });
        Ok(())
    }

    /// Loaded rows of the stream before a time; all of them without one.
    pub(super) fn rows_before(&self, time: Option<i64>) -> Range<usize> {
        let (Some(loaded), Some(time)) = (&self.loaded, time) else { return self.rows.clone() };
        let times = &loaded.rows.timestamps()[self.rows.clone()];
        self.rows.start..self.rows.start + times.partition_point(|at| *at < time)
    }

    /// A copy of loaded rows.
    pub(super) fn slice(&self, span: Range<usize>) -> Rows {
        self.loaded.as_ref().map(|loaded| loaded.rows.slice(span)).unwrap_or_default()
    }

    /// The loaded block, of which the rows up to `end` are taken.
    pub(super) fn take(&mut self, end: usize) -> (&Rows, &mut RowWeights) {
        self.rows.start = end;
        let loaded = self.loaded.as_mut().expect("what is taken is loaded");
        (&loaded.rows, &mut loaded.weights)
    }

    pub(super) fn position(&self) -> Position {
        Position { blocks: self.blocks.clone(), rows: self.rows.clone() }
    }

    /// Goes back to where the stream was before, which stands in the loaded block or begins one.
    pub(super) fn go_back(&mut self, to: &Position) -> Result<(), JoinError> {
        if !to.rows.is_empty() {
            self.load_block(to.blocks.start - 1)?;
        }
        (self.blocks, self.rows) = (to.blocks.clone(), to.rows.clone());
        Ok(())
    }

    /// Most rows that the stream can have from here on at a time.
    pub(super) fn rows_at_most(&self, time: i64) -> u64 {
        let runs = self.blocks.clone().filter_map(|block| self.footer.blocks[block as usize].run_of(self.stream));
        let later: u64 = runs.take_while(|run| run.min_time.0 == time).map(|run| u64::from(run.rows)).sum();
        self.rows.len() as u64 + later
    }
}

fn check_order(block: &BlockEntry, rows: Rows) -> Result<Rows, FormatError> {
    if block.runs.iter().all(|run| rows.timestamps()[run.row_range()].is_sorted()) {
        return Ok(rows);
    }
    Err(block.timestamps.malformed("times of a run are not sorted"))
}

fn read(name: &str, object: &dyn ReadAt, range: Range<u64>, part: Part) -> Result<Bytes, JoinError> {
    object.read_at(range).map_err(|source| JoinError::Read { name: name.to_owned(), part, source })
}
