//! Where data objects go, built from the configuration in one place.
//!
//! ```text
//! file://   LocalStore
//! s3://     S3Store ─┬► Resilient ─► proven ─► Tier (queue and cache on the local disk) ─► settled
//!                    └► Owner
//! ```

use crate::serve::Failure;
use skald_config::{Config, S3Url, StoreUrl};
use skald_model::DiskId;
use skald_model::ErrorKind;
use skald_runtime::{Part, Runtime, chain};
use skald_store::owner::{Owner, Waiting};
use skald_store::probe::{ProbeError, prove_put_if_absent};
use skald_store::s3::{Credentials, S3Store};
use skald_store::tier::{Tier, TierMetrics, TierSettings};
use skald_store::upload::settle;
use skald_store::{CacheSizes, Catalog, LocalStore, ObjectStore, Resilient, StoreError};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// Time between attempts to reach a remote store at the start.
const RETRY: Duration = Duration::from_secs(5);

/// When the bucket is listed again: soon after the start, then now and then.
const REFRESH_FIRST: [Duration; 2] = [Duration::from_secs(120), Duration::from_secs(600)];
const REFRESH: Duration = Duration::from_secs(3600);

/// The store, and what is live in it.
pub struct Storage {
    /// What is live.
    pub catalog: Arc<Catalog>,
    /// Queue and cache, in front of a remote store.
    pub tier: Option<Tier>,
}

/// Opens the store and lists it. Waits for a remote store as long as it takes, and says so by `part`; ends with an error where waiting is of no use.
pub async fn open(runtime: &Runtime, disk: DiskId, part: &Part) -> Result<Storage, Failure> {
    let (config, seams) = (runtime.config(), runtime.seams());
    let (store, tier): (Arc<dyn ObjectStore>, _) = match config.store_url() {
        Some(StoreUrl::S3(url)) => {
            let tier = remote(runtime, &url, disk, part).await?;
            (Arc::new(tier.clone()), Some(tier))
        }
        Some(StoreUrl::File(_)) | None => {
            (Arc::new(LocalStore::open(seams.disk.clone(), seams.spawner.clone(), &config.objects_dir())?), None)
        }
    };
    // Where there is an index, few footers are asked for.
    let half = config.querier.footer_cache_size.0 / 2;
    let sizes = CacheSizes { footers: half, pages: config.querier.filter_cache_size.0, indexes: half };
    let metrics = runtime.metrics().register(|registry| skald_store::Metrics::register(registry, sizes));
    let catalog = if tier.is_some() {
        let list = || Catalog::open(store.clone(), seams.clock.clone(), sizes, metrics.clone());
        patiently(runtime, part, "list", list, StoreError::kind).await?
    } else {
        Catalog::open(store, seams.clock.clone(), sizes, metrics).await?
    };
    let catalog = Arc::new(catalog);
    if tier.is_some() {
        keep_fresh(runtime, &catalog, disk);
    }
    part.ready();
    Ok(Storage { catalog, tier })
}

/// A bucket that this process owns, behind retries, queue and cache.
async fn remote(runtime: &Runtime, url: &S3Url, disk: DiskId, part: &Part) -> Result<Tier, Failure> {
    let (config, seams) = (runtime.config(), runtime.seams());
    part.not_ready(format!("waiting for the object store {url}"));
    let s3: Arc<dyn ObjectStore> = Arc::new(
        S3Store::connect(skald_store::s3::Parts {
            url: url.clone(),
            config: config.storage.s3.clone(),
            credentials: Credentials::Found,
            clock: seams.clock.clone(),
            spawner: seams.spawner.clone(),
            metrics: runtime.metrics().register(skald_store::s3::Metrics::register),
        })
        .await?,
    );
    let metrics = runtime.metrics().register(skald_store::resilient::Metrics::register);
    let settings = skald_store::resilient::Settings::default();
    let store = Arc::new(Resilient::new(s3.clone(), settings, seams.clock.clone(), seams.random.clone(), metrics));
    let prove = || prove_put_if_absent(store.as_ref(), seams.random.as_ref());
    patiently(runtime, part, "try out", prove, ProbeError::kind).await?;
    own(runtime, s3, disk, part).await?;
    let metrics = runtime.metrics().register(TierMetrics::register);
    let tier = Tier::open(store, &tier_settings(config), seams.clone(), metrics).await?;
    patiently(runtime, part, "compare the upload queue with", || settle(&tier), StoreError::kind).await?;
    info!(store = %url, queued = tier.queued().len(), "the object store is there");
    Ok(tier)
}

/// Makes this process the one that uses the bucket, until it stops. Beats go to the bucket itself: behind retries they could wait for queries.
async fn own(runtime: &Runtime, s3: Arc<dyn ObjectStore>, disk: DiskId, part: &Part) -> Result<(), Failure> {
    let mut said = None;
    let on_wait = |waiting: &Waiting| {
        part.not_ready(waiting.to_string());
        // It waits again and again for the same: one message is enough. A race is over in a second.
        let kind = std::mem::discriminant(waiting);
        if !matches!(waiting, Waiting::Race) && said.replace(kind) != Some(kind) {
            info!(%waiting, "waiting to own the object store");
        }
    };
    let owner = Owner::take(s3, disk, &host(runtime), runtime.seams(), on_wait).await?;
    let process = runtime.clone();
    owner.keep(move |lost| {
        error!(%lost, "stopping, since two processes must not use one store");
        process.stop("another process has taken the object store over");
    });
    runtime.on_stop("object store", async move {
        if let Err(error) = owner.release().await {
            warn!(error = %chain(&error), "cannot give the object store back, the next process on another disk has to wait");
        }
    });
    Ok(())
}

/// Lists the bucket again and again: whoever owned it before may upload a last time after it was taken for dead.
fn keep_fresh(runtime: &Runtime, catalog: &Arc<Catalog>, disk: DiskId) {
    let (clock, catalog) = (runtime.seams().clock.clone(), catalog.clone());
    let task = async move {
        let pauses = REFRESH_FIRST.into_iter().chain(std::iter::repeat(REFRESH));
        for pause in pauses {
            clock.sleep(pause).await;
            match catalog.refresh(disk).await {
                Ok(0) => {}
                Ok(objects) => info!(objects, "found objects that another process put"),
                Err(error) => warn!(error = %chain(&error), "cannot look for objects that another process put, trying again later"),
            }
        }
    };
    runtime.seams().spawner.spawn("store-refresh", Box::pin(task));
}

/// Name of the machine or container, for those who look who owns the store. Not from `/proc`, whose files say that they have no bytes.
fn host(runtime: &Runtime) -> String {
    let name = runtime.seams().disk.read(Path::new("/etc/hostname")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    if name.is_empty() { "unknown".to_owned() } else { name }
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
