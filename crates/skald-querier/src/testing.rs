//! A querier over memory for tests of whole requests.

use crate::{Metrics, Parts, Querier};
use bytes::Bytes;
use parking_lot::Mutex;
use skald_block::{ObjectInfo, ObjectWriter, WriterOptions};
use skald_config::{Config, Limits};
use skald_index::{IndexWriter, Reference};
use skald_model::{Day, DiskId, Generation, GenerationPart, Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, PushBatch, PushError, SelectError, SelectRequest, Selected, TailError, TailRequest, TailStream};
use skald_store::{CacheSizes, Catalog, MemoryStore, ObjectMeta, ObjectName, ObjectStore, Publisher, StoreError, TableId};
use skald_testkit::{FakeIngester, InlinePool, SeededRandom, SimWorld};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A querier, and where its entries are put.
pub(crate) struct World {
    pub(crate) querier: Querier,
    pub(crate) ingester: Arc<FakeIngester>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) store: Arc<WatchedStore>,
    generations: u64,
}

/// A store that remembers what was read.
#[derive(Default)]
pub(crate) struct WatchedStore {
    pub(crate) inner: MemoryStore,
    reads: Mutex<Vec<(String, Vec<Range<u64>>)>>,
}

impl WatchedStore {
    /// Names and ranges of each request since the last call.
    pub(crate) fn take_reads(&self) -> Vec<(String, Vec<Range<u64>>)> {
        std::mem::take(&mut *self.reads.lock())
    }
}

#[async_trait::async_trait]
impl ObjectStore for WatchedStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put_if_absent(name, bytes).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.reads.lock().push((name.to_owned(), vec![range.clone()]));
        self.inner.get_range(name, range).await
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        self.reads.lock().push((name.to_owned(), ranges.clone()));
        self.inner.get_ranges(name, ranges).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a valid id")
}

impl World {
    pub(crate) fn new(config: Config, limits: Limits) -> Self {
        Self::over(WatchedStore::default(), config, limits)
    }

    /// Over what is in a store already.
    pub(crate) fn over(store: WatchedStore, config: Config, limits: Limits) -> Self {
        let sizes = CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 };
        let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
        let store = Arc::new(store);
        let clock = skald_testkit::SimClock::new(Timestamp(0));
        let catalog = futures::executor::block_on(Catalog::open(store.clone(), clock, sizes, metrics)).expect("it can be listed");
        let (catalog, ingester) = (Arc::new(catalog), Arc::new(FakeIngester::default()));
        let querier = Querier::new(Parts {
            seams: SimWorld::new(1).seams(),
            config: Arc::new(config),
            limits: Arc::new(limits),
            ingester: ingester.clone(),
            catalog: catalog.clone(),
            metrics: Metrics::register(&mut Default::default()),
        });
        World { querier, ingester, catalog, store, generations: 0 }
    }

    /// Puts rows into memory.
    pub(crate) fn remember(&self, tenant: &TenantId, labels: &Labels, rows: Rows) {
        let stream = skald_rpc::StreamRows { labels: labels.clone(), rows };
        let batch = skald_rpc::PushBatch { streams: vec![stream] };
        futures::executor::block_on(skald_rpc::Ingester::push(self.ingester.as_ref(), tenant, batch)).expect("it takes all");
    }

    /// Puts streams (in the order of their labels, rows of one day, by time) into an object, with blocks of so many bytes of lines.
    pub(crate) fn store(&mut self, tenant: &TenantId, streams: &[(Labels, Rows)], block_bytes: usize) {
        self.generations += 1;
        let at = GenerationPart { generation: Generation(self.generations), part: 0 };
        let first = streams.iter().find_map(|(_, rows)| rows.timestamps().first());
        let (day, disk) = (Day::of(Timestamp(*first.expect("there are rows"))), DiskId(1));
        let (tenant, class) = (tenant.clone(), "default".to_owned());
        let name = ObjectName::incoming(TableId { tenant: tenant.clone(), day }, disk, at, &class);
        let info = ObjectInfo { tenant, day, class, disk, generation: at.generation, part: at.part, replaces: Vec::new() };
        let mut writer = ObjectWriter::new(info, WriterOptions { block_bytes, ..WriterOptions::default() }).expect("a valid object");
        streams.iter().for_each(|(labels, rows)| writer.add_stream(labels, rows).expect("rows in order"));
        let object = writer.finish().expect("it is small");
        futures::executor::block_on(self.catalog.publish(name, object)).expect("a new name");
    }

    /// Builds and publishes the indexes of a tenant's tables, over all objects that there are.
    pub(crate) fn index(&self, tenant: &TenantId) {
        futures::executor::block_on(async {
            for table in self.catalog.tables(tenant, TimeRange::ALL).await {
                let mut streams = BTreeMap::<Labels, Vec<Reference>>::new();
                for (number, object) in (0..).zip(&table.objects) {
                    let (footer, labels) = self.catalog.streams_of(object, &InlinePool).await.expect("it is there");
                    for stream in 0..footer.stream_count {
                        let runs: Vec<_> = footer.runs_of(stream).map(|(_, run)| run).collect();
                        let reference = Reference {
                            object: number,
                            stream,
                            min_time: runs.iter().map(|run| run.min_time).min().expect("it has rows"),
                            max_time: runs.iter().map(|run| run.max_time).max().expect("it has rows"),
                            rows: runs.iter().map(|run| u64::from(run.rows)).sum(),
                            line_bytes: runs.iter().map(|run| u64::from(run.line_bytes)).sum(),
                            metadata_bytes: runs.iter().map(|run| run.metadata_volume()).sum(),
                        };
                        streams.entry(labels.labels(stream)).or_default().push(reference);
                    }
                }
                let names = table.objects.iter().map(|object| object.path.clone()).collect();
                let mut writer = IndexWriter::new(names).expect("names differ");
                streams.iter().for_each(|(labels, references)| writer.add(labels, references).expect("in order"));
                let publisher = Publisher { disk: DiskId(1), random: Arc::new(SeededRandom::new(self.generations)) };
                let index = writer.finish().expect("it is small");
                self.catalog.publish_index(&table.id, &table.objects, index, &publisher).await.expect("nobody else publishes");
            }
        });
        self.store.take_reads();
    }

    /// Leaves nothing of the objects but their names.
    pub(crate) fn damage_objects(&self) {
        let damage = async {
            for object in self.store.list("").await.expect("it is in memory") {
                self.store.put(&object.name, vec![0; object.size as usize].into()).await.expect("it is in memory");
            }
        };
        futures::executor::block_on(damage);
    }
}

/// An ingester that never answers.
pub(crate) struct Silent;

#[async_trait::async_trait]
impl Ingester for Silent {
    async fn push(&self, _tenant: &TenantId, _batch: PushBatch) -> Result<(), PushError> {
        futures::future::pending().await
    }

    async fn select(&self, _tenant: &TenantId, _request: SelectRequest) -> Result<Selected, SelectError> {
        futures::future::pending().await
    }

    async fn tail(&self, _tenant: &TenantId, _request: TailRequest) -> Result<TailStream, TailError> {
        futures::future::pending().await
    }
}
