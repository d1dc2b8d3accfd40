use crate::directory::{self, BlockEntry};
use crate::extent::{Extent, Unpacker};
use crate::filter::FilterShape;
use crate::trailer::{MAGIC, Section, Trailer};
use crate::{Footer, FormatError, Part};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Every separately stored part of an object, in the order in which they stand.
///
/// # Errors
/// When the footer is damaged.
pub fn parts_of(object: &Bytes) -> Result<Vec<Part>, FormatError> {
    let (_, footer) = open(object)?;
    let blocks = footer.blocks.iter().flat_map(|block| block.extents()).map(|extent| extent.part);
    let pages = footer.filters.iter().flat_map(|filters| 0..filters.pages()).map(FilterShape::part);
    Ok(blocks.chain(pages).chain(Section::ALL.map(Section::part)).collect())
}

/// The object with the raw bytes of one part changed, every other part as it was, and all lengths, offsets and checksums right.
///
/// So tests reach what stands behind the checksums: parts that are intact and make no sense. Changed parts and sections are stored uncompressed.
///
/// # Errors
/// When the footer or the part is damaged before.
pub fn rewrite_part(object: &Bytes, part: Part, change: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes, FormatError> {
    let (trailer, footer) = open(object)?;
    let mut rewriter = Rewriter { object, part, change: Some(change), out: MAGIC.to_vec() };
    let blocks = footer.blocks.iter().map(|block| rewriter.block(block)).collect::<Result<Vec<_>, _>>()?;
    let filters = rewriter.filters(&footer)?;
    let names: BTreeSet<_> = blocks.iter().flat_map(|block| &block.columns).map(|column| (column.name.clone(), column.derived)).collect();
    let names: Vec<_> = names.into_iter().collect();
    let mut sections = Vec::new();
    for section in Section::ALL {
        let extent = trailer.section(section);
        let raw = match section {
            Section::Directory => directory::encode(&blocks, &names, footer.summary.min_time),
            Section::Filters => filters.encode(),
            Section::Streams | Section::Info => extent.open(rewriter.stored(extent), &mut Unpacker::new())?.into_owned(),
        };
        sections.push(rewriter.append(extent.part, raw));
    }
    let mut out = rewriter.out;
    out.extend_from_slice(&Trailer::new(sections.try_into().expect("one for each section")).encode());
    Ok(out.into())
}

fn open(object: &Bytes) -> Result<(Trailer, Footer), FormatError> {
    let trailer = Trailer::parse(object, object.len() as u64)?;
    let range = trailer.footer_range();
    Ok((trailer, Footer::parse(&trailer, &object[range.start as usize..range.end as usize])?))
}

struct Rewriter<'a, F> {
    object: &'a Bytes,
    part: Part,
    change: Option<F>,
    out: Vec<u8>,
}

impl<'a, F: FnOnce(&mut Vec<u8>)> Rewriter<'a, F> {
    fn stored(&self, extent: &Extent) -> &'a [u8] {
        self.object.get(extent.range().start as usize..extent.range().end as usize).unwrap_or_default()
    }

    /// Appends a part as it is, changed if it is the one.
    fn append(&mut self, part: Part, mut raw: Vec<u8>) -> Extent {
        self.change_if(part, &mut raw);
        let (offset, len, crc) = (self.out.len() as u64, raw.len() as u32, crc32fast::hash(&raw));
        self.out.extend_from_slice(&raw);
        Extent { part, offset, stored_len: len, raw_len: len, crc }
    }

    fn change_if(&mut self, part: Part, raw: &mut Vec<u8>) {
        if part == self.part
            && let Some(change) = self.change.take()
        {
            change(raw);
        }
    }

    fn block(&mut self, block: &BlockEntry) -> Result<BlockEntry, FormatError> {
        let mut block = block.clone();
        let extents = [&mut block.timestamps, &mut block.line_lengths].into_iter();
        let extents = extents.chain(block.frames.iter_mut().map(|frame| &mut frame.extent));
        for extent in extents.chain(block.columns.iter_mut().map(|column| &mut column.extent)) {
            let stored = self.stored(extent);
            if extent.part == self.part {
                let raw = extent.open(stored, &mut Unpacker::new())?.into_owned();
                *extent = self.append(extent.part, raw);
            } else {
                extent.offset = self.out.len() as u64;
                self.out.extend_from_slice(stored);
            }
        }
        Ok(block)
    }

    /// Copies the pages of filters, which then begin where they do now.
    fn filters(&mut self, footer: &Footer) -> Result<FilterShape, FormatError> {
        let filters = footer.filters.as_ref().map_err(Clone::clone)?;
        let shape = FilterShape { offset: self.out.len() as u64, ..*filters.shape() };
        for page in 0..filters.pages() {
            let range = filters.page_range(page);
            let mut bits = self.object[range.start as usize..range.end as usize - 4].to_vec();
            self.change_if(FilterShape::part(page), &mut bits);
            self.out.extend_from_slice(&bits);
            self.out.extend_from_slice(&crc32fast::hash(&bits).to_le_bytes());
        }
        Ok(shape)
    }
}
