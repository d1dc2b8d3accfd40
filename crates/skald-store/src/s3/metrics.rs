use super::requests::Operation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Every metric of the S3 backend.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<Ended, Counter>,
    seconds: Family<Of, Histogram, fn() -> Histogram>,
    pub(super) sent_bytes: Counter,
    pub(super) received_bytes: Counter,
    dollars: Family<Priced, Counter<f64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Priced {
    class: &'static str,
}

/// Dollars for one request of each class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    pub(super) put: f64,
    pub(super) get: f64,
}

/// What S3 asks for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriceClass {
    /// Puts, copies and lists.
    Put,
    /// Gets.
    Get,
    /// Deletes.
    Free,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 17));
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
            dollars: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("store_s3");
        registry.register("requests", "Requests to S3, by how they ended", metrics.requests.clone());
        registry.register(
            "request_seconds",
            "Time from the begin of a request to S3 to the last byte of its answer",
            metrics.seconds.clone(),
        );
        registry.register("sent_bytes", "Bytes of objects sent to S3", metrics.sent_bytes.clone());
        registry.register("received_bytes", "Bytes of objects received from S3", metrics.received_bytes.clone());
        registry.register(
            "price_dollars",
            "Estimated price of the requests to S3 in dollars, without storage and transfer",
            metrics.dollars.clone(),
        );
        metrics
    }

    /// Counts a request that ended, and what it costs unless the store did not answer or failed.
    pub(super) fn ended(&self, operation: Operation, outcome: &'static str, took: Duration, is_charged: bool, prices: Prices) {
        let name = operation.name();
        self.requests.get_or_create(&Ended { operation: name, outcome }).inc();
        self.seconds.get_or_create(&Of { operation: name }).observe(took.as_secs_f64());
        let (class, price) = match operation.price_class() {
            PriceClass::Put => ("put", prices.put),
            PriceClass::Get => ("get", prices.get),
            PriceClass::Free => return,
        };
        if is_charged {
            self.dollars.get_or_create(&Priced { class }).inc_by(price);
        }
    }
}
