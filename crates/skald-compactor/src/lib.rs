//! The compactor: lets go of what a tenant's retention, or the size of the store, no longer keeps, and builds the indexes of tables.
//!
//! Data goes by whole UTC days of one tenant: a day goes once its last instant is older than `retention_period`. Where `retention_size` is set,
//! the oldest days go while the objects are larger than that or free space on their disk is below the floor; without it nothing goes for want of room, and
//! pushes are refused at the floor instead. Nothing goes from a remote store since the local disk is full. The day that is being written never goes for want of room.
//!
//! A table's index is built from the index before it and the footers of the objects that came since. It is put under a new name, and a manifest that
//! names it is published. Old files are removed once nobody can need them any more.

mod build;
mod indexing;
mod metrics;
mod rebuild;
mod retention;

pub use build::{BuildError, Built, build_index};
pub use metrics::Metrics;
pub use rebuild::{Inspector, RebuildError, Rebuilt};

use parking_lot::Mutex;
use skald_config::{Config, TenantLimits};
use skald_model::DiskId;
use skald_model::seam::Seams;
use skald_store::{Catalog, Publisher, TableId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Removes old days, builds indexes, tidies up. Cheap to clone.
#[derive(Clone)]
pub struct Compactor {
    catalog: Arc<Catalog>,
    limits: Arc<dyn TenantLimits>,
    config: Arc<Config>,
    seams: Seams,
    publisher: Publisher,
    metrics: Metrics,
    /// When tables were last looked through for files that nobody needs.
    tidied: Arc<Mutex<HashMap<TableId, Duration>>>,
}

/// What a compactor is made of.
pub struct Parts {
    /// Settings.
    pub config: Arc<Config>,
    /// Limits of the tenants.
    pub limits: Arc<dyn TenantLimits>,
    /// Live objects.
    pub catalog: Arc<Catalog>,
    /// Disk of the process, which stands in the manifests that it publishes.
    pub disk_id: DiskId,
    /// The world.
    pub seams: Seams,
    /// Metrics.
    pub metrics: Metrics,
}

impl Compactor {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, limits, catalog, disk_id, seams, metrics } = parts;
        let publisher = Publisher { disk: disk_id, random: seams.random.clone() };
        Compactor { catalog, limits, config, seams, publisher, metrics, tidied: Arc::default() }
    }

    /// Runs now and then every `compaction_interval`, as long as the process does.
    pub fn start(&self) {
        let compactor = self.clone();
        let task = async move {
            loop {
                compactor.run().await;
                compactor.seams.clock.sleep(compactor.config.compactor.compaction_interval).await;
            }
        };
        self.seams.spawner.spawn("compactor", Box::pin(task));
    }

    /// Does all that is due at this moment.
    pub async fn run(&self) {
        self.apply_retention().await;
        self.build_indexes().await;
        self.tidy().await;
    }
}
