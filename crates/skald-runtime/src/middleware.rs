use crate::Metrics;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use skald_model::seam::Clock;
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// Upper bounds of the buckets in seconds.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0];

/// Counts requests and their durations until the head of the answer, and turns a panic into an answer with status 500. A cheap handle.
#[derive(Clone)]
pub struct RequestMetrics {
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    inflight: Family<RouteLabels, Gauge>,
    panics: Counter,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status_code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

impl RequestMetrics {
    /// Registers the metrics; once a process.
    pub fn new(metrics: &Metrics, clock: Arc<dyn Clock>) -> Self {
        let of_requests = RequestMetrics {
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            inflight: Family::default(),
            panics: Counter::default(),
            clock,
        };
        metrics.register(|registry| {
            let help = "Time from the head of a request to the head of its answer, in seconds";
            registry.register("request_duration_seconds", help, of_requests.durations.clone());
            registry.register("inflight_requests", "Requests that have no answer yet", of_requests.inflight.clone());
            registry.register("panic", "Requests that ended in a panic", of_requests.panics.clone());
        });
        of_requests
    }

    /// Wraps every route of `router`, and what answers where there is none.
    pub fn wrap(&self, router: Router) -> Router {
        let panics = self.panics.clone();
        let on_panic = move |_: Box<dyn Any + Send>| {
            panics.inc();
            tracing::error!("request ended in a panic");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
        };
        router.layer(CatchPanicLayer::custom(on_panic)).layer(from_fn_with_state(self.clone(), measure))
    }
}

/// Counts a request as waiting until it is answered or given up.
struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn measure(State(metrics): State<RequestMetrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "other".to_owned(), |path| route_label(path.as_str()));
    let labels = RouteLabels { method: method_label(request.method()), route };
    let gauge = metrics.inflight.get_or_create_owned(&labels);
    gauge.inc();
    let _waiting = Waiting(gauge);
    let before = metrics.clock.monotonic();
    let response = next.run(request).await;
    let took = metrics.clock.monotonic().saturating_sub(before);
    let labels = RequestLabels { method: labels.method, route: labels.route, status_code: response.status().as_u16() };
    metrics.durations.get_or_create(&labels).observe(took.as_secs_f64());
    tracing::debug!(method = labels.method, route = labels.route, status = labels.status_code, ?took, "request answered");
    response
}

/// Methods anyone may make up are one.
fn method_label(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS, Method::PATCH];
    let names = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    known.iter().position(|one| one == method).map_or("other", |at| names[at])
}

/// `/loki/api/v1/label/{name}/values` is `loki_api_v1_label_name_values`; that of a gRPC service stays as it is.
fn route_label(template: &str) -> String {
    if let Some(service) = template.strip_suffix("/{*rest}").filter(|service| service.contains('.')) {
        return service.to_owned();
    }
    let words = template.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    #[test]
    fn routes_are_named_by_their_template() {
        for (template, label) in [
            ("/loki/api/v1/query_range", "loki_api_v1_query_range"),
            ("/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values"),
            ("/otlp/v1/logs", "otlp_v1_logs"),
            ("/grpc.health.v1.Health/{*rest}", "/grpc.health.v1.Health"),
            ("/", ""),
        ] {
            assert_eq!(route_label(template), label);
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_and_a_panic_is_an_answer() {
        let metrics = Metrics::new("test");
        let of_requests = RequestMetrics::new(&metrics, Arc::new(SystemClock::new()));
        async fn bad() -> &'static str {
            panic!("on purpose")
        }
        let router = of_requests.wrap(Router::new().route("/a/{name}", get(|| async { "fine" })).route("/bad", get(bad)));
        let ask = |method: &'static str, path: &'static str| {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("it is a request");
            let answer = router.clone().oneshot(request);
            async { answer.await.expect("routers do not fail").status().as_u16() }
        };
        assert_eq!(ask("GET", "/a/one").await, 200);
        assert_eq!(ask("GET", "/a/two").await, 200);
        assert_eq!(ask("GET", "/bad").await, 500);
        assert_eq!(ask("BREW", "/coffee").await, 404);
        let text = metrics.encode();
        for line in [
            "skald_request_duration_seconds_count{method=\"GET\",route=\"a_name\",status_code=\"200\"} 2",
            "skald_request_duration_seconds_count{method=\"GET\",route=\"bad\",status_code=\"500\"} 1",
            "skald_request_duration_seconds_count{method=\"other\",route=\"other\",status_code=\"404\"} 1",
            "skald_inflight_requests{method=\"GET\",route=\"a_name\"} 0",
            "skald_panic_total 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
