//! `skald serve`: every service in one process, wired leaf first.

use crate::storage::{self, Storage};
use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;
use skald_compactor::Compactor;
use skald_config::Config;
use skald_distributor::Distributor;
use skald_ingester::{AfterFlush, Ingester};
use skald_model::Timestamp;
use skald_model::seam::{Clock, Disk};
use skald_querier::Querier;
use skald_ring::{Instance, InstanceState, View};
use skald_runtime::{Runtime, Serving};
use skald_store::tier::Tier;
use skald_store::upload::{UploadMetrics, UploadParts, UploadSettings, Uploader};
use skald_store::{Catalog, DataDir, LocalStore};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use tracing::warn;

/// Why the process does not start.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Builds the services, listens, and replays the log. Returns once everything runs.
pub async fn start(runtime: Runtime) -> Result<(), Failure> {
    let (config, seams) = (runtime.config().clone(), runtime.seams().clone());
    let data_dir = Arc::new(DataDir::open(seams.disk.as_ref(), &config.storage.data_dir, seams.random.as_ref())?);
    let locks = (lock_store(&config, seams.disk.as_ref())?, data_dir.clone());
    // The disk stays locked until everything that writes to it has stopped.
    runtime.on_stop("data directory", async move { drop(locks) });
    let limits = runtime.tenant_limits()?;
    let disk_id = data_dir.disk_id();
    let (store_ready, ingester_ready) = (runtime.readiness().register("store"), runtime.readiness().register("ingester"));
    ingester_ready.not_ready("waiting for the object store");
    let gate = runtime.listen().await?;
    let Storage { catalog, tier } = storage::open(&runtime, disk_id, &store_ready).await?;

    let parts = skald_ingester::Parts {
        seams: seams.clone(),
        config: config.clone(),
        limits: limits.clone(),
        catalog: catalog.clone(),
        disk_id,
        metrics: runtime.metrics().register(skald_ingester::Metrics::register),
        on_failure: Arc::new({
            let runtime = runtime.clone();
            move |why| runtime.stop(why)
        }),
    };
    let (ingester, found) = Ingester::open(parts)?;
    let distributor = runtime.metrics().register(|registry| {
        let settings = config.distributor.clone();
        let (clock, cpu) = (seams.clock.clone(), seams.cpu.clone());
        Distributor::new(settings, config.auth_enabled, limits.clone(), Arc::new(ingester.clone()), clock, cpu, registry)
    });
    let querier = Querier::new(skald_querier::Parts {
        seams: seams.clone(),
        config: config.clone(),
        limits: limits.clone(),
        ingester: Arc::new(ingester.clone()),
        catalog: catalog.clone(),
        metrics: runtime.metrics().register(skald_querier::Metrics::register),
    });
    let uploader = tier.map(|tier| uploader(&runtime, tier, &catalog, &data_dir, &ingester));
    let ring = Arc::new(RwLock::new(one_member(&config, &data_dir, &runtime)));
    let routes = Router::new()
        .merge(distributor.routes())
        .merge(querier.routes())
        .merge(ingester.routes(upload_all(uploader.clone())))
        .merge(ring_routes(ring.clone(), seams.clock.clone()));

    runtime.on_stop("upload queue", upload_all(uploader.clone())());
    let stopping = (ingester.clone(), ingester_ready.clone());
    runtime.on_stop("ingester", async move {
        stopping.1.stopping();
        stopping.0.stop().await;
        stopping.1.stopped();
    });
    let mut grpc = tonic::service::Routes::default();
    *grpc.axum_router_mut() = std::mem::take(grpc.axum_router_mut()).merge(distributor.grpc_routes());
    let serving = gate.open(routes, grpc);
    // Their connections are no longer those of the server, which would not wait for them.
    runtime.on_stop("live tails", async move { querier.stop_tails().await });
    ingester_ready.not_ready("replaying the write-ahead log");
    ingester.recover(found).await?;
    ring.write().instances.iter_mut().for_each(|member| member.state = InstanceState::Active);
    ingester_ready.ready();
    uploader.iter().for_each(Uploader::start);
    let metrics = runtime.metrics().register(skald_compactor::Metrics::register);
    Compactor::new(skald_compactor::Parts { config, limits, catalog, disk_id, seams, metrics }).start();
    greet(&serving);
    Ok(())
}

/// What brings the queue of `tier` into its store.
fn uploader(runtime: &Runtime, tier: Tier, catalog: &Arc<Catalog>, data_dir: &DataDir, ingester: &Ingester) -> Uploader {
    let storage = &runtime.config().storage;
    let ingester = ingester.clone();
    Uploader::new(UploadParts {
        seams: runtime.seams().clone(),
        settings: UploadSettings { target_size: storage.upload_target_size.0, max_delay: storage.upload_max_delay },
        tier,
        catalog: catalog.clone(),
        disk_id: data_dir.disk_id(),
        oldest_in_log: Arc::new(move || ingester.oldest_in_log()),
        metrics: runtime.metrics().register(UploadMetrics::register),
    })
}

/// Uploads what is queued, where there is a queue.
fn upload_all(uploader: Option<Uploader>) -> AfterFlush {
    Arc::new(move || {
        let uploader = uploader.clone();
        Box::pin(async move {
            let left = match uploader {
                Some(uploader) => uploader.flush_all().await,
                None => 0,
            };
            if left > 0 {
                warn!(objects = left, "not all of the upload queue could be uploaded, it stays on the disk");
            }
        })
    })
}

/// Tells a person at a terminal what to try first.
fn greet(serving: &Serving) {
    let mut stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return;
    }
    let base = format!("http://{}", serving.http);
    // Nobody misses a greeting that cannot be written.
    let _ = writeln!(
        stderr,
        "\nSkald listens on {base} (gRPC on {}).\n  push:  skald push --addr {base} --label job=demo FILE\n  ask:   skald query --addr {base} \
         '{{job=\"demo\"}}'\n  Grafana: add a Loki data source with the URL {base}\n",
        serving.grpc
    );
}

/// The store is locked by itself, since another process may be told to use it with a data directory of its own: two on it would take each
/// other's unfinished files away.
fn lock_store(config: &Config, disk: &dyn Disk) -> Result<Box<dyn Send + Sync>, Failure> {
    let dir = config.objects_dir();
    disk.create_dir_all(&dir)?;
    let lock = disk.lock(&dir.join(LocalStore::LOCK));
    lock.map_err(|error| format!("cannot lock the store '{}', another process may use it: {error}", dir.display()).into())
}

fn one_member(config: &Config, data_dir: &DataDir, runtime: &Runtime) -> View {
    let instance = Instance {
        id: format!("skald-{}", &data_dir.disk_id().to_string()[..8]),
        address: config.grpc_address().map(|address| address.to_string()).unwrap_or_default(),
        zone: String::new(),
        state: InstanceState::Joining,
        registered: runtime.seams().clock.now(),
        disk: data_dir.disk_id(),
        tokens: Instance::draw_tokens(runtime.seams().random.as_ref()),
    };
    View { instances: vec![instance] }
}

/// `/ring`: HTML, or JSON for those who ask for it.
fn ring_routes(ring: Arc<RwLock<View>>, clock: Arc<dyn Clock>) -> Router {
    let page = move |headers: HeaderMap| {
        let (ring, now) = (ring.read().clone(), clock.now());
        async move {
            let wants_json =
                headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("application/json"));
            let page: Response = if wants_json {
                axum::Json(ring.to_json(now, rfc3339)).into_response()
            } else {
                Html(ring.to_html(now, rfc3339)).into_response()
            };
            page
        }
    };
    Router::new().route("/ring", get(page.clone())).route("/distributor/ring", get(page))
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).map_or_else(|_| String::new(), |at| at.to_string())
}
