//! Data objects, manifests and index files.

use super::{Failure, Report};
use skald_block::verify_object;
use skald_compactor::{Inspector, Rebuilt};
use skald_config::{S3Config, S3Url, StoreUrl};
use skald_model::DiskId;
use skald_model::seam::Seams;
use skald_runtime::{Metrics, chain, seams};
use skald_store::owner::{Owner, Waiting};
use skald_store::s3::{Credentials, S3Store};
use skald_store::{CacheSizes, Catalog, LocalStore, ObjectStore, Publisher, Resilient, TableFile};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of the caches: each object is looked at once.
const CACHE_BYTES: u64 = 1 << 20;

/// A store that this process has to itself.
pub(super) struct Store {
    inspector: Inspector,
    hold: Hold,
}

/// What keeps other processes away.
enum Hold {
    Lock(Box<dyn Send + Sync>),
    Owner(Arc<Owner>),
}

impl Store {
    /// Opens the store at `url`, for reading alone unless it is to change. Manifests are put in the name of `disk_id`.
    pub(super) async fn open(url: &StoreUrl, disk_id: DiskId, is_to_change: bool) -> Result<Self, Failure> {
        let metrics = Metrics::new("skald");
        let seams = seams(1, &metrics)?;
        let (store, hold) = match url {
            StoreUrl::File(root) => open_files(root, &seams, is_to_change)?,
            StoreUrl::S3(url) => open_bucket(url, disk_id, &seams, &metrics).await?,
        };
        let sizes = CacheSizes { footers: CACHE_BYTES, pages: CACHE_BYTES, indexes: CACHE_BYTES };
        let of_catalog = metrics.register(|registry| skald_store::Metrics::register(registry, sizes));
        let catalog = Catalog::open(store.clone(), seams.clock.clone(), sizes, of_catalog).await?;
        let publisher = Publisher { disk: disk_id, random: seams.random.clone() };
        Ok(Store { inspector: Inspector { store, catalog, publisher, pool: seams.cpu }, hold })
    }

    /// Lets other processes use the store.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self.hold {
            Hold::Lock(lock) => drop(lock),
            Hold::Owner(owner) => owner.release().await?,
        }
        Ok(())
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

fn open_files(root: &Path, seams: &Seams, is_to_change: bool) -> Result<(Arc<dyn ObjectStore>, Hold), Failure> {
    let lock = seams.disk.lock(&root.join(LocalStore::LOCK));
    let lock = lock.map_err(|error| format!("cannot lock the store '{}', another process may use it: {error}", root.display()))?;
    let (disk, spawner) = (seams.disk.clone(), seams.spawner.clone());
    let store = if is_to_change { LocalStore::open(disk, spawner, root)? } else { LocalStore::inspect(disk, spawner, root) };
    Ok((Arc::new(store), Hold::Lock(lock)))
}

/// A bucket with the settings of the environment. It is owned in the name of the data directory, whose process does not run.
async fn open_bucket(url: &S3Url, disk: DiskId, seams: &Seams, metrics: &Metrics) -> Result<(Arc<dyn ObjectStore>, Hold), Failure> {
    let parts = skald_store::s3::Parts {
        url: url.clone(),
        config: S3Config::default(),
        credentials: Credentials::Found,
        clock: seams.clock.clone(),
        spawner: seams.spawner.clone(),
        metrics: metrics.register(skald_store::s3::Metrics::register),
    };
    let s3: Arc<dyn ObjectStore> = Arc::new(S3Store::connect(parts).await?);
    // A store that fails is waited for by who has something to serve; here somebody looks.
    s3.list(skald_store::owner::FOLDER).await?;
    let tell = |waiting: &Waiting| {
        let _ = writeln!(std::io::stderr(), "fsck: {waiting}");
    };
    let owner = Owner::take(s3.clone(), disk, "fsck", seams, tell).await?;
    owner.keep(|lost| {
        let _ = writeln!(std::io::stderr(), "fsck: {lost}; what is found may be out of date");
    });
    let settings = skald_store::resilient::Settings::default();
    let (clock, random) = (seams.clock.clone(), seams.random.clone());
    let store = Resilient::new(s3, settings, clock, random, metrics.register(skald_store::resilient::Metrics::register));
    Ok((Arc::new(store), Hold::Owner(owner)))
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
