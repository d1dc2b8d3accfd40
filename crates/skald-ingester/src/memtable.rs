//! The rows of a generation that are not flushed yet, as columns, by tenant and stream.

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use skald_model::{Day, GenerationPart, Labels, Rows, TenantId, Timestamp};
use skald_rpc::{SelectRequest, SelectedStream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes that a stream costs in a memtable beside its rows and label text.
const STREAM_OVERHEAD: u64 = 200;
/// Chunks below these sizes are joined with their neighbours.
const SMALL_ROWS: usize = 2048;
const SMALL_BYTES: usize = 256 * 1024;

/// Append-only rows of all tenants in one part of a generation.
///
/// One writer appends; readers take snapshots at any time. A snapshot is a list of shared chunks, nothing is copied.
pub struct Memtable {
    at: GenerationPart,
    recovered: bool,
    opened: Duration,
    tenants: RwLock<FxHashMap<TenantId, Arc<TenantTable>>>,
    bytes: AtomicU64,
    rows: AtomicU64,
    /// Distinct pairs of tenant and UTC day: each becomes a data object.
    objects: AtomicU64,
}

#[derive(Default)]
struct TenantTable {
    streams: RwLock<Streams>,
    days: Mutex<BTreeSet<Day>>,
}

#[derive(Default)]
struct Streams {
    by_labels: FxHashMap<Labels, usize>,
    list: Vec<Arc<StreamChunks>>,
}

struct StreamChunks {
    labels: Labels,
    chunks: Mutex<Vec<Arc<Rows>>>,
}

/// Rows of one stream as they arrived.
pub struct StreamSnapshot {
    /// The stream.
    pub labels: Labels,
    /// In arrival order.
    pub chunks: Vec<Arc<Rows>>,
}

impl Memtable {
    /// An empty memtable, opened at `opened` of the monotonic clock.
    pub fn new(at: GenerationPart, opened: Duration) -> Self {
        Memtable {
            at,
            recovered: false,
            opened,
            tenants: RwLock::default(),
            bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            objects: AtomicU64::new(0),
        }
    }

    /// An empty memtable for what replay finds of a generation.
    ///
    /// Data objects of that generation may hold more than the log still does (when a backup was taken while it was being removed), so it never
    /// stands in for them; what both hold is found as duplicates.
    pub fn recovered(at: GenerationPart, opened: Duration) -> Self {
        Memtable { recovered: true, ..Memtable::new(at, opened) }
    }

    /// Whether the rows are those of a generation's data objects, so that these need not be read beside it.
    pub fn covers_objects(&self) -> bool {
        !self.recovered
    }

    /// Which part of which generation this is.
    pub fn at(&self) -> GenerationPart {
        self.at
    }

    /// When it was opened, by the monotonic clock.
    pub fn opened(&self) -> Duration {
        self.opened
    }

    /// Bytes of memory held, about.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Number of data objects that a flush would write.
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Appends rows of one stream; they keep their order and follow what came before.
    pub fn append(&self, tenant: &TenantId, labels: &Labels, rows: Arc<Rows>) {
        let Some((min, max)) = rows.time_span() else { return };
        let table = self.table(tenant);
        self.note_days(&table, &rows, min, max);
        self.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let stream = self.stream(&table, labels);
        let mut chunks = stream.chunks.lock();
        self.bytes.fetch_add(rows.heap_bytes() as u64, Ordering::Relaxed);
        chunks.push(rows);
        let (gone, new) = join_small(&mut chunks);
        self.bytes.fetch_add(new, Ordering::Relaxed);
        self.bytes.fetch_sub(gone, Ordering::Relaxed);
    }

    fn note_days(&self, table: &TenantTable, rows: &Rows, min: Timestamp, max: Timestamp) {
        let mut days = table.days.lock();
        let before = days.len();
        if Day::of(min) == Day::of(max) {
            days.insert(Day::of(min));
        } else {
            days.extend(rows.timestamps().iter().map(|at| Day::of(Timestamp(*at))));
        }
        self.objects.fetch_add((days.len() - before) as u64, Ordering::Relaxed);
    }

    fn table(&self, tenant: &TenantId) -> Arc<TenantTable> {
        if let Some(table) = self.tenants.read().get(tenant) {
            return table.clone();
        }
        self.tenants.write().entry(tenant.clone()).or_default().clone()
    }

    fn stream(&self, table: &TenantTable, labels: &Labels) -> Arc<StreamChunks> {
        {
            let streams = table.streams.read();
            if let Some(at) = streams.by_labels.get(labels) {
                return streams.list[*at].clone();
            }
        }
        let stream = Arc::new(StreamChunks { labels: labels.clone(), chunks: Mutex::default() });
        let mut streams = table.streams.write();
        let at = streams.list.len();
        streams.by_labels.insert(labels.clone(), at);
        streams.list.push(stream.clone());
        self.bytes.fetch_add(labels.text_len() as u64 + STREAM_OVERHEAD, Ordering::Relaxed);
        stream
    }

    /// Adds what `request` asks for to `out`.
    pub fn select(&self, tenant: &TenantId, request: &SelectRequest, out: &mut Vec<SelectedStream>) {
        let Some(table) = self.tenants.read().get(tenant).cloned() else { return };
        let streams = table.streams.read().list.clone();
        for stream in streams {
            if !request.matcher.matches(&stream.labels) {
                continue;
            }
            let wanted = |chunk: &Arc<Rows>| chunk.time_span().is_some_and(|(min, max)| request.range.overlaps(min, max));
            let chunks: Vec<Arc<Rows>> = stream.chunks.lock().iter().filter(|chunk| wanted(chunk)).cloned().collect();
            if !chunks.is_empty() {
                let chunks = if request.labels_only { Vec::new() } else { chunks };
                out.push(SelectedStream { labels: stream.labels.clone(), generation: self.at, chunks });
            }
        }
    }

    /// Tenants with rows, in order.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.tenants.read().keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// UTC days that a tenant has rows in, in order.
    pub fn days(&self, tenant: &TenantId) -> Vec<Day> {
        self.tenants.read().get(tenant).map(|table| table.days.lock().iter().copied().collect()).unwrap_or_default()
    }

    /// All rows of a tenant, streams in label order.
    pub fn streams(&self, tenant: &TenantId) -> Vec<StreamSnapshot> {
        let Some(table) = self.tenants.read().get(tenant).cloned() else { return Vec::new() };
        let mut streams: Vec<StreamSnapshot> = table
            .streams
            .read()
            .list
            .iter()
            .map(|stream| StreamSnapshot { labels: stream.labels.clone(), chunks: stream.chunks.lock().clone() })
            .collect();
        streams.sort_by(|a, b| a.labels.cmp(&b.labels));
        streams
    }
}

/// Joins the last chunks while they are small and the last but one is not much larger than the last:
/// each row is copied a logarithmic number of times, and a stream fed line by line does not end up with a chunk a line.
/// Bytes of memory of the chunks that are gone, and of those that came.
fn join_small(chunks: &mut Vec<Arc<Rows>>) -> (u64, u64) {
    let (mut gone, mut new) = (0, 0);
    while let [.., one, two] = &chunks[..] {
        let small = |rows: &Rows| rows.len() < SMALL_ROWS && rows.heap_bytes() < SMALL_BYTES;
        if !small(one) || !small(two) || one.len() > 2 * two.len() {
            break;
        }
        let joined = Rows::concat(&[one, two]);
        gone += (one.heap_bytes() + two.heap_bytes()) as u64;
        new += joined.heap_bytes() as u64;
        chunks.truncate(chunks.len() - 2);
        chunks.push(Arc::new(joined));
    }
    (gone, new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::{Generation, RowsBuilder, TimeRange};

    struct Everything;

    impl skald_rpc::LabelMatcher for Everything {
        fn matches(&self, _labels: &Labels) -> bool {
            true
        }
    }

    fn memtable() -> Memtable {
        Memtable::new(GenerationPart { generation: Generation(1), part: 0 }, Duration::ZERO)
    }

    fn one_row(at: i64) -> Arc<Rows> {
        let mut builder = RowsBuilder::default();
        builder.push(Timestamp(at), format!("line {at}").as_bytes());
        Arc::new(builder.finish())
    }

    fn labels(app: &str) -> Labels {
        Labels::from_pairs([("app", app)]).expect("one name")
    }

    #[test]
    fn rows_appended_one_by_one_keep_their_order_in_few_chunks() {
        let (memtable, tenant) = (memtable(), TenantId::parse("t").expect("valid"));
        for at in 0..5000 {
            memtable.append(&tenant, &labels("a"), one_row(at));
        }
        let streams = memtable.streams(&tenant);
        let all: Vec<i64> = streams[0].chunks.iter().flat_map(|chunk| chunk.timestamps().to_vec()).collect();
        assert_eq!(all, (0..5000).collect::<Vec<_>>());
        assert!(streams[0].chunks.len() < 20, "{} chunks", streams[0].chunks.len());
        assert_eq!((memtable.rows(), memtable.objects()), (5000, 1));
    }

    #[test]
    fn rows_with_ever_new_metadata_names_cost_what_is_in_them() {
        let (memtable, tenant, rows, names) = (memtable(), TenantId::parse("t").expect("valid"), 3000, 5);
        for at in 0..rows {
            let mut builder = RowsBuilder::default();
            builder.push(Timestamp(at), b"line");
            (0..names).for_each(|i| builder.set_metadata(&format!("name-{at}-{i}"), b"value", false));
            memtable.append(&tenant, &labels("a"), Arc::new(builder.finish()));
        }
        let chunks = &memtable.streams(&tenant)[0].chunks;
        let held: usize = chunks.iter().map(|chunk| chunk.heap_bytes()).sum();
        assert!(held < 300 * (rows * names) as usize, "{held} bytes");
        assert!(memtable.bytes() >= held as u64);
        assert!(chunks.len() < 50, "{} chunks", chunks.len());
    }

    #[test]
    fn the_size_is_that_of_the_chunks_however_often_they_were_joined() {
        let (memtable, tenant) = (memtable(), TenantId::parse("t").expect("valid"));
        for at in 0..5000 {
            memtable.append(&tenant, &labels("a"), one_row(at));
        }
        let held: usize = memtable.streams(&tenant)[0].chunks.iter().map(|chunk| chunk.heap_bytes()).sum();
        assert_eq!(memtable.bytes(), held as u64 + labels("a").text_len() as u64 + STREAM_OVERHEAD);
    }

    #[test]
    fn a_snapshot_does_not_see_later_rows_nor_other_tenants() {
        let (memtable, tenant) = (memtable(), TenantId::parse("t").expect("valid"));
        let request = SelectRequest { matcher: Arc::new(Everything), range: TimeRange::ALL, labels_only: false };
        memtable.append(&tenant, &labels("a"), one_row(1));
        let mut before = Vec::new();
        memtable.select(&tenant, &request, &mut before);
        memtable.append(&tenant, &labels("a"), one_row(2));
        assert_eq!(before[0].chunks.iter().map(|chunk| chunk.len()).sum::<usize>(), 1);
        let mut other = Vec::new();
        memtable.select(&TenantId::parse("u").expect("valid"), &request, &mut other);
        assert!(other.is_empty());
    }

    #[test]
    fn each_tenant_and_day_is_an_object() {
        let (memtable, day) = (memtable(), 86_400_000_000_000);
        for tenant in ["t", "u"] {
            let tenant = TenantId::parse(tenant).expect("valid");
            memtable.append(&tenant, &labels("a"), Arc::new(Rows::concat(&[&one_row(0), &one_row(day), &one_row(day + 1)])));
            assert_eq!(memtable.days(&tenant), [Day(0), Day(1)]);
        }
        assert_eq!(memtable.objects(), 4);
    }
}
