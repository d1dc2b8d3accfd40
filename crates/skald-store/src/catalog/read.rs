//! Footers, filter pages and other parts of live objects.

use super::{Catalog, DataObject, OpenObject, ReadError};
use bytes::Bytes;
use quick_cache::Weighter;
use skald_block::{FilterIndex, FilterPage, Footer, FormatError, Section, StreamTable, Trailer};
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes read at first from an object's end, so that most footers fit: they take about a thousandth of an object of few streams.
const TAIL_MIN: u64 = 16 * 1024;
const TAIL_MAX: u64 = 256 * 1024;
const TAIL_SHARE: u64 = 1024;

impl Catalog {
    /// The object with its footer, from the cache if it is there; else the footer is taken apart on `pool`.
    ///
    /// # Errors
    /// When the store does not give it, or it is damaged.
    pub async fn open_object(&self, object: &Arc<DataObject>, pool: &dyn CpuPool) -> Result<Arc<OpenObject>, ReadError> {
        if let Some(open) = self.cached_footer(object) {
            return Ok(open);
        }
        let (trailer, bytes) = self.read_sections(object, Section::Info).await?;
        let of_object = object.clone();
        let parse = move || Ok(Arc::new(OpenObject { footer: parse_footer(&of_object, &trailer, &bytes)?, object: of_object }));
        let open = run_on_pool(pool, parse).await.map_err(|Stopped| stopped(object))??;
        self.keep(object, FooterPart::Footer(open.clone()));
        Ok(open)
    }

    /// The object with its footer and the labels of its streams. What of them is not in the cache is read at once.
    ///
    /// # Errors
    /// As [`Catalog::open_object`].
    pub async fn open_with_streams(
        &self,
        object: &Arc<DataObject>,
        pool: &dyn CpuPool,
    ) -> Result<(Arc<OpenObject>, Arc<StreamTable>), ReadError> {
        if let Some(open) = self.cached_footer(object) {
            let streams = self.open_streams(&open, pool).await?;
            return Ok((open, streams));
        }
        let (footer, streams) = self.streams_of(object, pool).await?;
        let (open, streams) = (Arc::new(OpenObject { object: object.clone(), footer }), Arc::new(streams));
        self.keep(object, FooterPart::Footer(open.clone()));
        self.keep(object, FooterPart::Streams(streams.clone()));
        Ok((open, streams))
    }

    /// The labels of an object's streams.
    ///
    /// # Errors
    /// As [`Catalog::open_object`].
    pub async fn open_streams(&self, open: &Arc<OpenObject>, pool: &dyn CpuPool) -> Result<Arc<StreamTable>, ReadError> {
        let object = &open.object;
        if let Some(FooterPart::Streams(streams)) = self.footers.get(&(object.id, Section::Streams)) {
            return Ok(streams);
        }
        let extent = &open.footer.streams;
        let read = self.read_checked(object, vec![extent.range()], |parts| extent.check(&parts[0]).is_ok()).await?;
        let bytes = read.into_iter().next().unwrap_or_default();
        let of_object = open.clone();
        let parse = move || of_object.footer.open_streams(&bytes).map_err(|source| damaged(&of_object.object, source)).map(Arc::new);
        let streams = run_on_pool(pool, parse).await.map_err(|Stopped| stopped(object))??;
        self.keep(object, FooterPart::Streams(streams.clone()));
        Ok(streams)
    }

    fn cached_footer(&self, object: &DataObject) -> Option<Arc<OpenObject>> {
        match self.footers.get(&(object.id, Section::Info)) {
            Some(FooterPart::Footer(open)) => {
                self.metrics.footer_hits.inc();
                Some(open)
            }
            _ => {
                self.metrics.footer_misses.inc();
                None
            }
        }
    }

    fn keep(&self, object: &DataObject, part: FooterPart) {
        self.footers.insert((object.id, part.section()), part);
        self.metrics.footer_bytes.set(self.footers.weight() as i64);
    }

    /// Takes the footer of an object out of the cache.
    pub(super) fn forget(&self, object: &DataObject) {
        [Section::Info, Section::Streams].iter().for_each(|section| drop(self.footers.remove(&(object.id, *section))));
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

    /// The trailer, and the bytes from a section up to it. Once more where a copy proves damaged.
    async fn read_sections(&self, object: &DataObject, from: Section) -> Result<(Trailer, Bytes), ReadError> {
        match self.try_sections(object, from).await {
            Ok((trailer, bytes)) if !self.may_read_copy(object) || are_whole(&trailer, from, &bytes) => Ok((trailer, bytes)),
            Ok(_) | Err(ReadError::Damaged { .. }) if self.forget_copy(object).await => self.try_sections(object, from).await,
            read => read,
        }
    }

    async fn try_sections(&self, object: &DataObject, from: Section) -> Result<(Trailer, Bytes), ReadError> {
        let tail_start = object.size.saturating_sub((object.size / TAIL_SHARE).clamp(TAIL_MIN, TAIL_MAX));
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
        self.store.note_size(&object.path, object.size);
        let read = self.store.get_range(&object.path, range).await;
        read.map_err(|source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) })
    }

    /// Several ranges of an object's bytes at once.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read_ranges(&self, object: &DataObject, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ReadError> {
        self.store.note_size(&object.path, object.size);
        let read = self.store.get_ranges(&object.path, ranges).await;
        read.map_err(|source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) })
    }

    /// As [`Catalog::read_ranges`]; once more where the bytes may be those of a copy and `are_whole` finds them damaged.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read_checked(
        &self,
        object: &DataObject,
        ranges: Vec<Range<u64>>,
        are_whole: impl Fn(&[Bytes]) -> bool + Send,
    ) -> Result<Vec<Bytes>, ReadError> {
        let parts = self.read_ranges(object, ranges.clone()).await?;
        let is_damaged = self.may_read_copy(object) && !are_whole(&parts);
        if is_damaged && self.forget_copy(object).await { self.read_ranges(object, ranges).await } else { Ok(parts) }
    }

    /// Whether reads of an object may be answered from a copy, whose damage costs nothing but another read.
    fn may_read_copy(&self, object: &DataObject) -> bool {
        self.store.may_read_copy(&object.path)
    }

    /// Of an object of which bytes proved damaged: `true` when they may have been those of a copy, which is not read again.
    async fn forget_copy(&self, object: &DataObject) -> bool {
        let may_be_copy = self.may_read_copy(object);
        if may_be_copy {
            self.store.forget_copy(&object.path).await;
        }
        may_be_copy
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
            let are_whole = |parts: &[Bytes]| missing.iter().zip(parts).all(|(number, part)| filters.parse_page(*number, part).is_ok());
            let read = self.read_checked(object, ranges, are_whole).await?;
            for (number, bytes) in missing.into_iter().zip(read) {
                let page = filters.parse_page(number, &bytes).map_err(|source| damaged(object, source))?;
                self.pages.insert((object.id, number), page.clone());
                pages.insert(number, page);
            }
            self.metrics.page_bytes.set(self.pages.weight() as i64);
        }
        Ok(pages)
    }
}

/// Whether the sections from `from` on are what was written.
fn are_whole(trailer: &Trailer, from: Section, bytes: &[u8]) -> bool {
    let sections = [Section::Streams, Section::Info, Section::Directory, Section::Filters].into_iter();
    let mut rest = bytes;
    sections.skip_while(|section| *section != from).all(|section| {
        let extent = trailer.section(section);
        let (part, behind) = rest.split_at(rest.len().min(extent.stored_len as usize));
        rest = behind;
        extent.check(part).is_ok()
    })
}

fn parse_footer(object: &DataObject, trailer: &Trailer, bytes: &[u8]) -> Result<Footer, ReadError> {
    Footer::parse(trailer, bytes).map_err(|source| damaged(object, source))
}

fn damaged(object: &DataObject, source: FormatError) -> ReadError {
    ReadError::Damaged { path: object.path.clone(), source }
}

fn stopped(object: &DataObject) -> ReadError {
    ReadError::Stopped { path: object.path.clone() }
}

/// What the cache has of an object.
#[derive(Clone)]
pub(super) enum FooterPart {
    Footer(Arc<OpenObject>),
    Streams(Arc<StreamTable>),
}

impl FooterPart {
    fn section(&self) -> Section {
        match self {
            FooterPart::Footer(_) => Section::Info,
            FooterPart::Streams(_) => Section::Streams,
        }
    }
}

#[derive(Clone)]
pub(super) struct FooterWeight;

impl Weighter<(u64, Section), FooterPart> for FooterWeight {
    fn weight(&self, _key: &(u64, Section), part: &FooterPart) -> u64 {
        match part {
            FooterPart::Footer(open) => open.heap_bytes() as u64,
            FooterPart::Streams(streams) => streams.heap_bytes() as u64,
        }
    }
}

#[derive(Clone)]
pub(super) struct PageWeight;

impl Weighter<(u64, u32), FilterPage> for PageWeight {
    fn weight(&self, _key: &(u64, u32), page: &FilterPage) -> u64 {
        page.heap_bytes() as u64 + 64
    }
}
