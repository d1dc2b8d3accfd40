//! Footers, filter pages and other parts of live objects.

use super::{Catalog, DataObject, OpenObject, ReadError};
use crate::StoreError;
use bytes::Bytes;
use quick_cache::Weighter;
use skald_block::{FilterIndex, FilterPage, Footer, FormatError, Section, StreamTable, Trailer};
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes read at first from an object's end: most footers fit.
const TAIL_BYTES: u64 = 64 * 1024;

impl Catalog {
    /// The object with its footer, from the cache if it is there; else the footer is taken apart on `pool`.
    ///
    /// # Errors
    /// When the store does not give it, or it is damaged.
    pub async fn open_object(&self, object: &Arc<DataObject>, pool: &dyn CpuPool) -> Result<Arc<OpenObject>, ReadError> {
        if let Some(open) = self.footers.get(&object.id) {
            self.metrics.footer_hits.inc();
            return Ok(open);
        }
        self.metrics.footer_misses.inc();
        let (trailer, bytes) = self.read_sections(object, Section::Streams).await?;
        let of_object = object.clone();
        let parse = move || {
            let (streams, footer) = bytes.split_at(trailer.section(Section::Streams).stored_len as usize);
            let footer = parse_footer(&of_object, &trailer, footer)?;
            let streams = footer.open_streams(streams).map_err(|source| damaged(&of_object, source))?;
            let labels = (0..footer.stream_count).map(|stream| streams.labels(stream)).collect();
            Ok(Arc::new(OpenObject { object: of_object, footer, streams, labels }))
        };
        let stopped = |Stopped| ReadError::Stopped { path: object.path.clone() };
        let open = run_on_pool(pool, parse).await.map_err(stopped)??;
        self.footers.insert(object.id, open.clone());
        self.metrics.footer_bytes.set(self.footers.weight() as i64);
        Ok(open)
    }

    /// Footer and stream table of an object, past the cache: for those who look at each object once.
    ///
    /// # Errors
    /// When the store does not give them, or they are damaged.
    pub async fn streams_of(&self, object: &Arc<DataObject>, pool: &dyn CpuPool) -> Result<(Footer, StreamTable), ReadError> {
        let (trailer, bytes) = self.read_sections(object, Section::Streams).await?;
        let of_object = object.clone();
        let parse = move || {
            let (streams, footer) = bytes.split_at(trailer.section(Section::Streams).stored_len as usize);
            let footer = parse_footer(&of_object, &trailer, footer)?;
            let streams = footer.open_streams(streams).map_err(|source| damaged(&of_object, source))?;
            Ok((footer, streams))
        };
        run_on_pool(pool, parse).await.map_err(|Stopped| ReadError::Stopped { path: object.path.clone() })?
    }

    pub(super) async fn load_footer(&self, object: &DataObject) -> Result<Footer, ReadError> {
        let (trailer, bytes) = self.read_sections(object, Section::Info).await?;
        parse_footer(object, &trailer, &bytes)
    }

    /// The trailer, and the bytes from a section up to it.
    async fn read_sections(&self, object: &DataObject, from: Section) -> Result<(Trailer, Bytes), ReadError> {
        let tail_start = object.size.saturating_sub(TAIL_BYTES.max(Trailer::LEN as u64));
        let tail = self.read(object, tail_start..object.size).await?;
        let trailer = Trailer::parse(&tail, object.size).map_err(|source| damaged(object, source))?;
        let range = trailer.section(from).offset..trailer.footer_range().end;
        let sections = if range.start >= tail_start {
            tail.slice((range.start - tail_start) as usize..(range.end - tail_start) as usize)
        } else {
            self.read(object, range).await?
        };
        Ok((trailer, sections))
    }

    /// Bytes of an object.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read(&self, object: &DataObject, range: Range<u64>) -> Result<Bytes, ReadError> {
        let failed = |source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) };
        let bytes = self.store.get_range(&object.path, range.clone()).await.map_err(failed)?;
        if bytes.len() as u64 != range.end - range.start {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(failed(StoreError::Io { operation: "read", name: object.path.clone(), source }));
        }
        Ok(bytes)
    }

    /// Several ranges of an object's bytes at once.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read_ranges(&self, object: &DataObject, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ReadError> {
        let read = self.store.get_ranges(&object.path, ranges).await;
        read.map_err(|source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) })
    }

    /// Pages of an object's filters by number, from the cache where they are there.
    ///
    /// # Errors
    /// When the store does not give one, or it is damaged.
    pub async fn filter_pages(
        &self,
        open: &OpenObject,
        filters: &FilterIndex,
        numbers: &[u32],
    ) -> Result<HashMap<u32, FilterPage>, ReadError> {
        let object = &open.object;
        let cached = |number: &u32| self.pages.get(&(object.id, *number)).map(|page| (*number, page));
        let mut pages: HashMap<u32, FilterPage> = numbers.iter().filter_map(cached).collect();
        let missing: Vec<u32> = numbers.iter().copied().filter(|number| !pages.contains_key(number)).collect();
        if !missing.is_empty() {
            let ranges = missing.iter().map(|number| filters.page_range(*number)).collect();
            for (number, bytes) in missing.into_iter().zip(self.read_ranges(object, ranges).await?) {
                let page = filters.parse_page(number, &bytes).map_err(|source| damaged(object, source))?;
                self.pages.insert((object.id, number), page.clone());
                pages.insert(number, page);
            }
            self.metrics.page_bytes.set(self.pages.weight() as i64);
        }
        Ok(pages)
    }
}

fn parse_footer(object: &DataObject, trailer: &Trailer, bytes: &[u8]) -> Result<Footer, ReadError> {
    Footer::parse(trailer, bytes).map_err(|source| damaged(object, source))
}

fn damaged(object: &DataObject, source: FormatError) -> ReadError {
    ReadError::Damaged { path: object.path.clone(), source }
}

#[derive(Clone)]
pub(super) struct FooterWeight;

impl Weighter<u64, Arc<OpenObject>> for FooterWeight {
    fn weight(&self, _id: &u64, open: &Arc<OpenObject>) -> u64 {
        open.heap_bytes() as u64
    }
}

#[derive(Clone)]
pub(super) struct PageWeight;

impl Weighter<(u64, u32), FilterPage> for PageWeight {
    fn weight(&self, _key: &(u64, u32), page: &FilterPage) -> u64 {
        page.heap_bytes() as u64 + 64
    }
}
