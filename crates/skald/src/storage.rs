//! Where data objects go, built from the configuration in one place.
//!
//! ```text
//! file://   LocalStore
//! s3://     S3Store ─► Resilient ─► Tier (queue and cache on the local disk), settled
//! ```

use crate::serve::Failure;
use skald_config::{Config, S3Url, StoreUrl};
use skald_model::ErrorKind;
use skald_runtime::{Part, Runtime, chain};
use skald_store::s3::{Credentials, S3Store};
use skald_store::tier::{Tier, TierMetrics, TierSettings};
use skald_store::upload::settle;
use skald_store::{CacheSizes, Catalog, LocalStore, ObjectStore, Resilient, StoreError};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Time between attempts to reach a remote store at the start.
const RETRY: Duration = Duration::from_secs(5);

/// The store, and what is live in it.
pub struct Storage {
    /// What is live.
    pub catalog: Arc<Catalog>,
    /// Queue and cache, in front of a remote store.
    pub tier: Option<Tier>,
}

/// Opens the store and lists it. Waits for a remote store as long as it takes, and says so by `part`; ends with an error where waiting is of no use.
pub async fn open(runtime: &Runtime, part: &Part) -> Result<Storage, Failure> {
    let (config, seams) = (runtime.config(), runtime.seams());
    let (store, tier): (Arc<dyn ObjectStore>, _) = match config.store_url() {
        Some(StoreUrl::S3(url)) => {
            let tier = remote(runtime, &url, part).await?;
            (Arc::new(tier.clone()), Some(tier))
        }
        Some(StoreUrl::File(_)) | None => {
            (Arc::new(LocalStore::open(seams.disk.clone(), seams.spawner.clone(), &config.objects_dir())?), None)
        }
    };
    let sizes = CacheSizes { footers: config.querier.footer_cache_size.0, pages: config.querier.filter_cache_size.0 };
    let metrics = runtime.metrics().register(|registry| skald_store::Metrics::register(registry, sizes));
    let catalog = if tier.is_some() {
        let list = || Catalog::open(store.clone(), sizes, metrics.clone());
        patiently(runtime, part, "list", list, StoreError::kind).await?
    } else {
        Catalog::open(store, sizes, metrics).await?
    };
    part.ready();
    Ok(Storage { catalog: Arc::new(catalog), tier })
}

/// A bucket behind retries, queue and cache.
async fn remote(runtime: &Runtime, url: &S3Url, part: &Part) -> Result<Tier, Failure> {
    let (config, seams) = (runtime.config(), runtime.seams());
    part.not_ready(format!("waiting for the object store {url}"));
    let s3 = S3Store::connect(skald_store::s3::Parts {
        url: url.clone(),
        config: config.storage.s3.clone(),
        credentials: Credentials::Found,
        clock: seams.clock.clone(),
        spawner: seams.spawner.clone(),
        metrics: runtime.metrics().register(skald_store::s3::Metrics::register),
    })
    .await?;
    let metrics = runtime.metrics().register(skald_store::resilient::Metrics::register);
    let settings = skald_store::resilient::Settings::default();
    let store = Arc::new(Resilient::new(Arc::new(s3), settings, seams.clock.clone(), seams.random.clone(), metrics));
    let metrics = runtime.metrics().register(TierMetrics::register);
    let tier = Tier::open(store, &tier_settings(config), seams.clone(), metrics).await?;
    patiently(runtime, part, "compare the upload queue with", || settle(&tier), StoreError::kind).await?;
    info!(store = %url, queued = tier.queued().len(), "the object store is there");
    Ok(tier)
}

fn tier_settings(config: &Config) -> TierSettings {
    TierSettings {
        queue_dir: config.objects_dir(),
        cache_dir: config.cache_dir(),
        cache_size: config.storage.cache_size.map(|size| size.0),
        free_space_floor: config.storage.free_space_floor.0,
        fill_memory: config.fill_memory(),
    }
}

/// Does `work` until it succeeds, or fails in a way that no waiting helps.
async fn patiently<T, E, Fut>(
    runtime: &Runtime,
    part: &Part,
    verb: &str,
    work: impl Fn() -> Fut,
    kind: impl Fn(&E) -> ErrorKind,
) -> Result<T, E>
where
    E: Error + 'static,
    Fut: Future<Output = Result<T, E>>,
{
    loop {
        let error = match work().await {
            Err(error) if kind(&error) == ErrorKind::Unavailable => error,
            done => return done,
        };
        let why = chain(&error).to_string();
        warn!(error = why, "cannot {verb} the object store yet, trying again");
        part.not_ready(format!("cannot {verb} the object store, trying again: {why}"));
        runtime.seams().clock.sleep(RETRY).await;
    }
}
