//! A distributor with an ingester that remembers, for tests.

use crate::Distributor;
use axum::body::{Body, to_bytes};
use futures::future::BoxFuture;
use http::{HeaderMap, Request};
use prometheus_client::registry::Registry;
use skald_config::{DistributorConfig, Limits};
use skald_model::Timestamp;
use skald_model::seam::{Clock, CpuPool, Job};
use skald_rpc::StreamRows;
use skald_testkit::FakeIngester;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tower::ServiceExt;

/// 2026-01-15T00:00:00Z
pub const NOW: i64 = 1_768_435_200;
pub const NANOS: i64 = 1_000_000_000;

#[derive(Default)]
pub struct TestClock(pub AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW).plus(self.monotonic())
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Runs jobs at once and counts them.
#[derive(Default)]
pub struct InlinePool(pub AtomicUsize);

impl CpuPool for InlinePool {
    fn submit(&self, job: Job) {
        self.0.fetch_add(1, Ordering::Relaxed);
        job();
    }
    fn threads(&self) -> usize {
        1
    }
}

pub struct Server {
    pub ingester: Arc<FakeIngester>,
    pub clock: Arc<TestClock>,
    pub pool: Arc<InlinePool>,
    pub distributor: Distributor,
    registry: Registry,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
    pub bytes: Vec<u8>,
    pub headers: HeaderMap,
}

impl Server {
    pub fn new(limits: Limits) -> Self {
        Server::with_config(limits, DistributorConfig::default())
    }

    pub fn with_config(limits: Limits, config: DistributorConfig) -> Self {
        let (ingester, clock, pool) = (Arc::<FakeIngester>::default(), Arc::<TestClock>::default(), Arc::<InlinePool>::default());
        let mut registry = Registry::with_prefix("skald");
        let distributor = Distributor::new(config, true, Arc::new(limits), ingester.clone(), clock.clone(), pool.clone(), &mut registry);
        Server { ingester, clock, pool, distributor, registry }
    }

    pub fn send(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        futures::executor::block_on(async {
            let response = self.distributor.routes().oneshot(request).await.expect("routers do not fail");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("an answer in memory").to_vec();
            Answer { status, body: String::from_utf8_lossy(&bytes).into_owned(), bytes, headers }
        })
    }

    pub fn send_json(&self, body: &str) -> Answer {
        self.send("/loki/api/v1/push", &[("content-type", "application/json"), ("x-scope-orgid", "t")], body.to_owned())
    }

    pub fn send_proto(&self, body: &[u8]) -> Answer {
        let headers = [("content-type", "application/x-protobuf"), ("x-scope-orgid", "t")];
        self.send("/loki/api/v1/push", &headers, snap::raw::Encoder::new().compress_vec(body).expect("small"))
    }

    pub fn metrics(&self) -> String {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, &self.registry).expect("strings take all");
        out
    }

    #[track_caller]
    pub fn check_metric(&self, line: &str) {
        assert!(self.metrics().lines().any(|found| found == line), "{line} in {}", self.metrics());
    }

    /// What was stored since the last look, a line a row: labels, seconds since [`NOW`], line, metadata.
    pub fn stored(&self) -> Vec<String> {
        self.ingester.take_streams().iter().flat_map(show).collect()
    }
}

pub fn show(stream: &StreamRows) -> Vec<String> {
    let rows = &stream.rows;
    let metadata = |row: usize| {
        let present = rows.columns().iter().filter(|column| !column.value(row).is_empty());
        let mut pairs: Vec<_> = present
            .map(|column| {
                let mark = if column.is_derived() { "~" } else { "" };
                format!("{mark}{}={}", column.name(), String::from_utf8_lossy(column.value(row)))
            })
            .collect();
        pairs.sort();
        pairs.join(" ")
    };
    let row = |row: usize| {
        let line = String::from_utf8_lossy(rows.line(row)).into_owned();
        format!("{} {} {line} {}", stream.labels, rows.timestamps()[row] - NOW * NANOS, metadata(row))
    };
    (0..rows.len()).map(row).collect()
}
