//! Data objects, manifests and index files.

use super::{Failure, Report, say};
use skald_block::verify_object;
use skald_compactor::{Inspector, Rebuilt};
use skald_config::{S3Config, S3Url};
use skald_model::DiskId;
use skald_model::seam::Disk;
use skald_runtime::{CrossbeamPool, Metrics, OsRandom, StdDisk, SystemClock, TokioSpawner, chain};
use skald_store::owner::{Owner, Waiting};
use skald_store::s3::{self, S3Store};
use skald_store::{CacheSizes, Catalog, LocalStore, ObjectStore, Publisher, Resilient, TableFile, resilient};
use std::path::Path;
use std::sync::Arc;

/// Bytes of the caches: each object is looked at once.
const CACHE_BYTES: u64 = 1 << 20;

/// A store that this process has to itself.
pub(super) struct Store {
    inspector: Inspector,
    held: Held,
}

/// What keeps others from it.
enum Held {
    Lock { _lock: Box<dyn Send + Sync> },
    Bucket(Arc<Owner>),
}

impl Store {
    /// Opens the store of local files in `root`, for reading alone unless it is to change. Manifests are put in the name of `disk_id`.
    pub(super) async fn of_files(root: &Path, disk_id: DiskId, is_to_change: bool) -> Result<Self, Failure> {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let lock = disk.lock(&root.join(LocalStore::LOCK));
        let lock = lock.map_err(|error| format!("cannot lock the store '{}', another process may use it: {error}", root.display()))?;
        let metrics = Metrics::new("skald");
        let spawner = Arc::new(TokioSpawner::new(&metrics));
        let store = if is_to_change { LocalStore::open(disk, spawner, root)? } else { LocalStore::inspect(disk, spawner, root) };
        Self::inspect(Arc::new(store), disk_id, Held::Lock { _lock: lock }, &metrics).await
    }

    /// Opens a bucket, which no other process may own meanwhile.
    pub(super) async fn of_bucket(url: &S3Url, config: &S3Config, disk_id: DiskId) -> Result<Self, Failure> {
        let metrics = Metrics::new("skald");
        let seams = skald_runtime::seams(1, &metrics)?;
        let parts = s3::Parts {
            url: url.clone(),
            config: config.clone(),
            credentials: s3::Credentials::Found,
            clock: seams.clock.clone(),
            spawner: seams.spawner.clone(),
            metrics: metrics.register(s3::Metrics::register),
        };
        let bucket: Arc<dyn ObjectStore> = Arc::new(S3Store::connect(parts).await?);
        let wait = |waiting: &Waiting| say(&waiting.to_string());
        let owner = Owner::take(bucket.clone(), disk_id, "skald fsck", &seams, wait).await?;
        owner.keep(|lost| {
            say(&format!("bad: {lost}"));
            std::process::exit(1);
        });
        let of_store = metrics.register(resilient::Metrics::register);
        let store = Resilient::new(bucket, resilient::Settings::default(), seams.clock.clone(), seams.random.clone(), of_store);
        Self::inspect(Arc::new(store), disk_id, Held::Bucket(owner), &metrics).await
    }

    async fn inspect(store: Arc<dyn ObjectStore>, disk_id: DiskId, held: Held, metrics: &Metrics) -> Result<Self, Failure> {
        let sizes = CacheSizes { footers: CACHE_BYTES, pages: CACHE_BYTES, indexes: CACHE_BYTES };
        let of_catalog = metrics.register(|registry| skald_store::Metrics::register(registry, sizes));
        let catalog = Catalog::open(store.clone(), Arc::new(SystemClock::new()), sizes, of_catalog).await?;
        let publisher = Publisher { disk: disk_id, random: Arc::new(OsRandom::new()?) };
        let pool = Arc::new(CrossbeamPool::new(1, metrics)?);
        Ok(Store { inspector: Inspector { store, catalog, publisher, pool }, held })
    }

    /// Lets others use it.
    pub(super) async fn close(self) {
        if let Held::Bucket(owner) = self.held
            && let Err(error) = owner.release().await
        {
            say(&format!("cannot give the object store back, the next process has to wait: {}", chain(&error)));
        }
    }

    /// Reads every data object through, and compares manifests and indexes with them.
    pub(super) async fn check(&self, report: &mut Report) -> Result<(), Failure> {
        for meta in self.inspector.store.list("").await? {
            match meta.name.parse() {
                Ok(TableFile::Object(_)) => {
                    report.objects += 1;
                    report.object_bytes += meta.size;
                    match self.inspector.store.get_range(&meta.name, 0..meta.size).await {
                        Ok(bytes) => report.bad.extend(verify_object(&bytes).iter().map(|error| format!("{}: {error}", meta.name))),
                        Err(error) => report.bad.push(format!("{}: {}", meta.name, chain(&error))),
                    }
                }
                Ok(TableFile::Index(_) | TableFile::Manifest(_)) => {}
                // Who owns the store, and what was tried out on it.
                Err(_) if meta.name.starts_with('~') => {}
                Err(_) => report.bad.push(format!("{}: not the name of a data object", meta.name)),
            }
        }
        for table in self.inspector.tables() {
            report.tables += 1;
            report.bad.extend(self.inspector.check(&table).await?);
        }
        Ok(())
    }

    /// Builds manifests and indexes of all tables anew. A table that fails does not stop the others.
    pub(super) async fn rebuild(&self, mut tell: impl FnMut(String)) -> Totals {
        let mut totals = Totals::default();
        for table in self.inspector.tables() {
            match self.inspector.rebuild(&table).await {
                Ok(rebuilt) => {
                    let Rebuilt { objects, streams, rows, replaced, damaged, foreign, manifest } = &rebuilt;
                    let manifest = manifest.map_or_else(|| "no manifest".to_owned(), |number| format!("manifest {number}"));
                    tell(format!("{table}: {objects} data objects, {streams} streams, {rows} entries: {manifest}"));
                    replaced.iter().for_each(|name| tell(format!("replaced: {name}")));
                    damaged.iter().for_each(|(name, why)| tell(format!("bad: {name}: {why}")));
                    foreign.iter().for_each(|name| tell(format!("not ours: {name}")));
                    totals.add(&rebuilt);
                }
                Err(error) => {
                    totals.failed += 1;
                    tell(format!("bad: {table}: not rebuilt: {}", chain(&error)));
                }
            }
        }
        totals
    }
}

/// What was rebuilt, in all.
#[derive(Default)]
pub(super) struct Totals {
    tables: usize,
    objects: usize,
    rows: u64,
    replaced: usize,
    foreign: usize,
    pub(super) damaged: usize,
    pub(super) failed: usize,
}

impl Totals {
    fn add(&mut self, rebuilt: &Rebuilt) {
        self.tables += 1;
        self.objects += rebuilt.objects;
        self.rows += rebuilt.rows;
        self.replaced += rebuilt.replaced.len();
        self.foreign += rebuilt.foreign.len();
        self.damaged += rebuilt.damaged.len();
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Totals { tables, objects, rows, replaced, foreign, damaged, failed } = self;
        write!(
            f,
            "rebuilt {tables} tables of {objects} data objects with {rows} entries: {replaced} replaced, {damaged} damaged, {foreign} not ours, \
             {failed} tables failed"
        )
    }
}
