//! From the index before and the footers of the objects that came since to the next index.

use bytes::Bytes;
use skald_block::{Footer, StreamTable};
use skald_index::{FormatError, Index, IndexedStream, Layout, MergeError, MergeInput, Reference, merge};
use skald_model::ErrorKind;
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use skald_store::{Catalog, DataObject, IndexError, ReadError, Table, TableId};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of footers that are held at once, unless one has more.
const FOOTERS_MAX: usize = 64 << 20;

/// A new index.
pub struct Built {
    /// The file.
    pub bytes: Bytes,
    /// Streams in it.
    pub streams: usize,
    /// Live objects that it covers, and those that it would cover could they be read.
    pub considered: Vec<Arc<DataObject>>,
    /// Names of those that could not, and why. They stay live, and are found by their footers or missed with a warning.
    pub unreadable: Vec<(String, ReadError)>,
}

/// Why an index was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The index before was not read.
    #[error("read the index before")]
    Before(#[source] IndexError),
    /// The store did not give a footer.
    #[error("read a footer")]
    Footer(#[source] ReadError),
    /// What was read does not make an index.
    #[error("merge the streams of table '{table}'")]
    Merge {
        /// Which.
        table: TableId,
        /// Cause.
        #[source]
        source: MergeError,
    },
    /// An index that was just written does not open.
    #[error("open the index of table '{table}' as it was merged so far")]
    Reopen {
        /// Which.
        table: TableId,
        /// Cause.
        #[source]
        source: FormatError,
    },
    /// The process stops, or a fault of ours.
    #[error("the streams of table '{0}' were not merged to their end")]
    Stopped(TableId),
}

impl BuildError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Before(source) => source.kind(),
            Self::Footer(source) => source.kind(),
            Self::Merge { source, .. } => source.kind(),
            Self::Reopen { source, .. } => source.kind(),
            Self::Stopped(_) => ErrorKind::Internal,
        }
    }
}

/// Streams of one object.
struct Streams {
    path: String,
    footer: Footer,
    table: StreamTable,
}

/// Builds the index of all stored objects of `table`. What the index before says of those that are still live is taken over, unless it is damaged; the
/// footers of the others are read, some at a time.
///
/// Memory: the index before, the new one, and 64 MiB of footers.
///
/// # Errors
/// See [`BuildError`]. A damaged object is none.
pub async fn build_index(catalog: &Catalog, table: &Table, pool: &dyn CpuPool) -> Result<Built, BuildError> {
    let stored: Vec<Arc<DataObject>> = table.objects.iter().filter(|object| catalog.is_stored(object)).cloned().collect();
    let (before, covered) = index_before(table, pool).await?;
    if before.is_some() {
        match build(catalog, &table.id, stored.clone(), before, covered, pool).await {
            // Damage among the rows shows when they are merged. The footers say it all again.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            built => return built,
        }
    }
    build_anew(catalog, &table.id, stored, pool).await
}

/// Builds an index of these objects of a table from their footers alone.
///
/// # Errors
/// See [`BuildError`].
pub(crate) async fn build_anew(
    catalog: &Catalog,
    table: &TableId,
    objects: Vec<Arc<DataObject>>,
    pool: &dyn CpuPool,
) -> Result<Built, BuildError> {
    build(catalog, table, objects, None, HashSet::new(), pool).await
}

async fn build(
    catalog: &Catalog,
    table: &TableId,
    considered: Vec<Arc<DataObject>>,
    mut bytes: Option<Bytes>,
    covered: HashSet<String>,
    pool: &dyn CpuPool,
) -> Result<Built, BuildError> {
    let live: Arc<HashSet<String>> = Arc::new(considered.iter().map(|object| object.path.clone()).collect());
    let (mut waiting, mut waiting_bytes, mut unreadable) = (Vec::new(), 0, Vec::new());
    for object in considered.iter().filter(|object| !covered.contains(&object.path)) {
        match catalog.streams_of(object, pool).await {
            Ok((footer, streams)) => {
                waiting_bytes += footer.heap_bytes() + streams.heap_bytes();
                waiting.push(Streams { path: object.path.clone(), footer, table: streams });
            }
            Err(error) if is_lasting(&error) => unreadable.push((object.path.clone(), error)),
            Err(error) => return Err(BuildError::Footer(error)),
        }
        if waiting_bytes >= FOOTERS_MAX {
            waiting_bytes = 0;
            bytes = Some(merge_on_pool(table, bytes, std::mem::take(&mut waiting), live.clone(), pool).await?);
        }
    }
    let bytes = merge_on_pool(table, bytes, waiting, live, pool).await?;
    let streams = open(table, &bytes)?.len();
    Ok(Built { bytes, streams, considered, unreadable })
}

/// Whether reading the object again gives nothing else.
pub(crate) fn is_lasting(error: &ReadError) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::NotImplemented)
}

/// The index that the table has and the names of the objects that it covers; nothing if there is none or it is damaged.
async fn index_before(table: &Table, pool: &dyn CpuPool) -> Result<(Option<Bytes>, HashSet<String>), BuildError> {
    let nothing = || Ok((None, HashSet::new()));
    let Some(index) = &table.index else { return nothing() };
    let read = match index.open(pool).await {
        Ok(open) => index.read_all().await.map(|bytes| (open, bytes)),
        Err(error) => Err(error),
    };
    match read {
        Ok((open, bytes)) => Ok((Some(bytes), open.objects().iter().cloned().collect())),
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(BuildError::Before(error)),
        // The footers say it all again.
        Err(_) => nothing(),
    }
}

async fn merge_on_pool(
    table: &TableId,
    before: Option<Bytes>,
    objects: Vec<Streams>,
    live: Arc<HashSet<String>>,
    pool: &dyn CpuPool,
) -> Result<Bytes, BuildError> {
    let id = table.clone();
    let work = move || merge_streams(&id, before, &objects, &live);
    run_on_pool(pool, work).await.map_err(|Stopped| BuildError::Stopped(table.clone()))?
}

fn merge_streams(table: &TableId, before: Option<Bytes>, objects: &[Streams], live: &HashSet<String>) -> Result<Bytes, BuildError> {
    let index = before.as_ref().map(|bytes| open(table, bytes)).transpose()?;
    let rows = before.unwrap_or_default();
    let read = |range: Range<u64>| Ok(rows.slice(range.start as usize..range.end as usize));
    let mut inputs: Vec<MergeInput<'_>> = index.iter().map(|index| MergeInput::of_index(index, read)).collect();
    inputs.extend(objects.iter().map(|object| MergeInput::new(vec![object.path.clone()], streams_of(object).map(Ok))));
    merge(inputs, |path| live.contains(path)).map_err(|source| BuildError::Merge { table: table.clone(), source })
}

pub(crate) fn open(table: &TableId, bytes: &Bytes) -> Result<Index, BuildError> {
    let reopen = |source| BuildError::Reopen { table: table.clone(), source };
    let layout = Layout::parse(&bytes[bytes.len().saturating_sub(Layout::TAIL_LEN)..], bytes.len() as u64).map_err(reopen)?;
    let core = layout.core();
    let core = bytes.get(core.start as usize..core.end as usize).unwrap_or_default();
    // A copy: what is opened is taken over, and the rows are still to be read.
    Index::open(&layout, Bytes::copy_from_slice(core)).map_err(reopen)
}

/// All streams of an object with what its directory says of them, ascending by labels as they are numbered.
fn streams_of(object: &Streams) -> impl Iterator<Item = IndexedStream> + '_ {
    (0..object.footer.stream_count).filter_map(|stream| {
        let mut runs = object.footer.runs_of(stream).map(|(_, run)| run);
        let first = runs.next()?;
        let mut reference = Reference {
            object: 0,
            stream,
            min_time: first.min_time,
            max_time: first.max_time,
            rows: u64::from(first.rows),
            line_bytes: u64::from(first.line_bytes),
            metadata_bytes: first.metadata_volume(),
        };
        for run in runs {
            reference.min_time = reference.min_time.min(run.min_time);
            reference.max_time = reference.max_time.max(run.max_time);
            reference.rows += u64::from(run.rows);
            reference.line_bytes += u64::from(run.line_bytes);
            reference.metadata_bytes += run.metadata_volume();
        }
        Some(IndexedStream { labels: object.table.labels(stream), references: vec![reference] })
    })
}
