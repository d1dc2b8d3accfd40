//! A querier over memory for tests of whole requests.

use crate::{Metrics, Parts, Querier};
use skald_block::{ObjectInfo, ObjectWriter, WriterOptions};
use skald_config::{Config, Limits};
use skald_model::{Day, DiskId, Generation, GenerationPart, Labels, Rows, TenantId, Timestamp};
use skald_rpc::{Ingester, PushBatch, PushError, SelectError, SelectRequest, Selected, TailError, TailRequest, TailStream};
use skald_store::{CacheSizes, Catalog, MemoryStore, ObjectName, ObjectStore, TableId};
use skald_testkit::{FakeIngester, SimWorld};
use std::sync::Arc;

/// A querier, and where its entries are put.
pub(crate) struct World {
    pub(crate) querier: Querier,
    pub(crate) ingester: Arc<FakeIngester>,
    catalog: Arc<Catalog>,
    store: Arc<MemoryStore>,
    generations: u64,
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a valid id")
}

impl World {
    pub(crate) fn new(config: Config, limits: Limits) -> Self {
        let sizes = CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 };
        let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
        let store = Arc::new(MemoryStore::new());
        let catalog = futures::executor::block_on(Catalog::open(store.clone(), skald_testkit::SimClock::new(Timestamp(0)), sizes, metrics))
            .expect("it is empty");
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
