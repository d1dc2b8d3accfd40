use crate::block::{count_levels, weigh_metadata};
use crate::directory::BlockEntry;
use crate::filter::{FilterIndex, block_bits};
use crate::trailer::{MAGIC, Section, Trailer};
use crate::{Decoder, Footer, FormatError, Part, RowDigest, RowHasher, Run};
use bytes::Bytes;
use skald_model::Rows;

/// Reads every part of an object and names each that is damaged or disagrees with another; nothing for a sound object.
pub fn verify_object(object: &Bytes) -> Vec<FormatError> {
    let mut found = Vec::new();
    if !object.starts_with(&MAGIC) {
        found.push(FormatError::Magic { part: Part::Header, offset: 0 });
    }
    let trailer = match Trailer::parse(object, object.len() as u64) {
        Ok(trailer) => trailer,
        Err(error) => {
            found.push(error);
            return found;
        }
    };
    let range = trailer.footer_range();
    match Footer::parse(&trailer, &object[range.start as usize..range.end as usize]) {
        Ok(footer) => verify_parts(object, &trailer, &footer, &mut found),
        Err(_) => verify_sections(object, &trailer, &mut found),
    }
    found
}

/// Without a whole footer only the sections can be told apart.
fn verify_sections(object: &Bytes, trailer: &Trailer, found: &mut Vec<FormatError>) {
    for section in Section::ALL {
        let extent = trailer.section(section);
        found.extend(extent.check(slice(object, extent.range())).err());
    }
    let range = trailer.footer_range();
    if let Err(error) = Footer::parse(trailer, slice(object, range))
        && !found.contains(&error)
    {
        found.push(error);
    }
}

fn verify_parts(object: &Bytes, trailer: &Trailer, footer: &Footer, found: &mut Vec<FormatError>) {
    let filters = match &footer.filters {
        Ok(filters) => filters.shape().width_log2,
        Err(error) => {
            found.push(error.clone());
            0
        }
    };
    let pages = footer.filters.as_ref().ok().and_then(|filters| verify_pages(object, filters, found));
    let (mut decoder, mut digest, before) = (Decoder::new(), RowDigest::default(), found.len());
    let streams = footer.open_streams(slice(object, footer.streams.range())).map_err(|error| found.push(error)).ok();
    let hasher = RowHasher::new(&footer.info.tenant);
    for block in &footer.blocks {
        match verify_block(object, block, &mut decoder) {
            Ok(rows) => {
                if let Some(streams) = &streams {
                    let of_run = |run: &Run| hasher.digest(&streams.labels(run.stream), &rows, run.row_range());
                    digest = block.runs.iter().map(of_run).fold(digest, RowDigest::plus);
                }
                if let Some(pages) = &pages {
                    verify_filter(trailer, block, &rows, pages, (filters, footer.blocks.len()), found);
                }
            }
            Err(errors) => found.extend(errors),
        }
    }
    let stored = footer.summary.digest;
    if found.len() == before && digest != stored {
        found.push(trailer.section(Section::Info).malformed("the digest is not that of the rows"));
    }
}

/// Rows of all pages, end to end, if every page is sound.
fn verify_pages(object: &Bytes, filters: &FilterIndex, found: &mut Vec<FormatError>) -> Option<Vec<u8>> {
    let (mut rows, mut sound) = (Vec::new(), true);
    for page in 0..filters.pages() {
        let range = filters.page_range(page);
        let stored = slice(object, range);
        match filters.parse_page(page, &object.slice_ref(stored)) {
            Ok(_) => rows.extend_from_slice(&stored[..stored.len() - 4]),
            Err(error) => {
                found.push(error);
                sound = false;
            }
        }
    }
    sound.then_some(rows)
}

fn verify_block(object: &Bytes, block: &BlockEntry, decoder: &mut Decoder) -> Result<Rows, Vec<FormatError>> {
    let damaged: Vec<FormatError> = block.extents().filter_map(|extent| extent.check(slice(object, extent.range())).err()).collect();
    if !damaged.is_empty() {
        return Err(damaged);
    }
    let rows = decoder.block(block, slice(object, block.range())).map_err(|error| vec![error])?;
    let wrong = |what| Err(vec![block.timestamps.malformed(what)]);
    for run in &block.runs {
        let range = run.row_range();
        let bytes: usize = range.clone().map(|row| rows.line(row).len()).sum();
        if !rows.timestamps()[range.clone()].is_sorted() {
            return wrong("times of a run are not sorted");
        }
        let metadata = (run.derived_values, run.metadata_bytes);
        if bytes != run.line_bytes as usize || count_levels(&rows, &range) != run.levels || weigh_metadata(&rows, &range) != metadata {
            return wrong("a run has other bytes, levels or metadata than the directory says");
        }
    }
    Ok(rows)
}

/// Every gram of the block must be in the filters; more may be.
fn verify_filter(
    trailer: &Trailer,
    block: &BlockEntry,
    rows: &Rows,
    stored: &[u8],
    (width_log2, blocks): (u32, usize),
    found: &mut Vec<FormatError>,
) {
    let bits = block_bits(rows.line_bytes(), rows.line_ends(), rows.columns(), width_log2);
    let set = |row: &usize| bits[row / 64] >> (row % 64) & 1 == 1;
    let at = |row: usize| row * blocks + block.number as usize;
    if (0..1usize << width_log2).filter(set).any(|row| stored[at(row) / 8] >> (at(row) % 8) & 1 == 0) {
        found.push(trailer.section(Section::Filters).malformed("a block has a gram that its filter lacks"));
    }
}

fn slice(object: &Bytes, range: std::ops::Range<u64>) -> &[u8] {
    object.get(range.start as usize..range.end as usize).unwrap_or_default()
}
