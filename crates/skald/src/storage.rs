//! The object store of the process: files of this machine, or a bucket.

use skald_config::StoreUrl;
use skald_runtime::Runtime;
use skald_store::s3::{self, S3Store};
use skald_store::{LocalStore, ObjectStore};
use std::error::Error;
use std::sync::Arc;

/// Opens the store that `storage.url` names.
pub async fn open(runtime: &Runtime) -> Result<Arc<dyn ObjectStore>, Box<dyn Error + Send + Sync>> {
    let (config, seams) = (runtime.config(), runtime.seams());
    Ok(match config.store_url() {
        Some(StoreUrl::S3(url)) => {
            let parts = s3::Parts {
                url,
                config: config.storage.s3.clone(),
                credentials: s3::Credentials::Found,
                clock: seams.clock.clone(),
                spawner: seams.spawner.clone(),
                metrics: runtime.metrics().register(s3::Metrics::register),
            };
            Arc::new(S3Store::connect(parts).await?)
        }
        Some(StoreUrl::File(_)) | None => Arc::new(LocalStore::open(seams.disk.clone(), seams.spawner.clone(), &config.objects_dir())?),
    })
}
