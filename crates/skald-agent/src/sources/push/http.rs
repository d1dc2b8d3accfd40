//! The routes.

use super::body::{BodyError, Budget, content, receive, unpack};
use super::decode::Content;
use super::intake::{Made, MakeError, Making};
use super::{PushConfig, PushMetrics};
use crate::sink::{SinkParts, offer_all};
use crate::sources::{Stamps, label_set};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::future::{Either, select};
use http::{HeaderMap, StatusCode, header};
use skald_model::TenantId;
use skald_model::seam::{CpuPool, Seams, run_on_pool};
use skald_pipeline::LabelSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How long a push waits for room before it is refused, and then shall wait to be sent again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_AFTER_SECONDS: &str = "5";
/// Longest that a stage which limits the rate holds back an answer.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Bodies of this many times the limit are worked on at a time.
const BUDGET_FACTOR: u64 = 3;
const TENANT_HEADER: &str = "x-scope-orgid";

/// What requests share.
struct Server {
    config: PushConfig,
    labels: LabelSet,
    sink: SinkParts,
    metrics: PushMetrics,
    cpu: Arc<dyn CpuPool>,
    stamps: Stamps,
    budget: Arc<Budget>,
}

/// Why a push is not taken, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("X-Scope-OrgID: {0}")]
    Tenant(skald_model::TenantIdError),
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error("no room for more")]
    NoRoom,
    #[error("stopping")]
    Stopping,
    #[error("{0}")]
    Partial(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Body(error) => error.status(),
            Self::Tenant(_) | Self::Make(_) | Self::Partial(_) => StatusCode::BAD_REQUEST,
            Self::NoRoom | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

pub(super) fn router(config: PushConfig, sink: SinkParts, metrics: PushMetrics, seams: &Seams) -> Router {
    let labels = label_set(&config.labels);
    let budget = Budget::new(config.max_send_msg_size.0.saturating_mul(BUDGET_FACTOR));
    let prefix = config.server.http_path_prefix.trim_end_matches('/').to_owned();
    let server = Server { config, labels, sink, metrics, cpu: Arc::clone(&seams.cpu), stamps: Stamps::default(), budget };
    let router = Router::new()
        .route("/loki/api/v1/push", post(push))
        .route("/promtail/api/v1/raw", post(raw))
        .route("/ready", get(async || "ready\n"))
        .with_state(Arc::new(server));
    if prefix.is_empty() { router } else { Router::new().nest(&format!("/{}", prefix.trim_start_matches('/')), router) }
}

async fn push(State(server): State<Arc<Server>>, request: Request) -> Response {
    let content = content(request.headers());
    server.answer(content, request).await
}

async fn raw(State(server): State<Arc<Server>>, request: Request) -> Response {
    server.answer(Content::Raw, request).await
}

impl Server {
    async fn answer(self: &Arc<Self>, content: Content, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Err(refusal) = self.take(content, head.headers, body).await else { return StatusCode::NO_CONTENT.into_response() };
        debug!(%refusal, "push refused");
        let status = refusal.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.metrics.refused.inc();
            return (status, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)], format!("{refusal}\n")).into_response();
        }
        self.metrics.parsing_errors.inc();
        (status, format!("{refusal}\n")).into_response()
    }

    /// Takes a push, and returns once it is on disk.
    async fn take(self: &Arc<Self>, content: Content, headers: HeaderMap, body: Body) -> Result<(), Refusal> {
        let tenant = headers.get(TENANT_HEADER).map(|tenant| String::from_utf8_lossy(tenant.as_bytes()).into_owned());
        let tenant =
            tenant.filter(|tenant| !tenant.is_empty()).map(|tenant| TenantId::parse(&tenant)).transpose().map_err(Refusal::Tenant)?;
        let mut held = self.budget.hold_none();
        let max = self.config.max_send_msg_size.0;
        let body = self.in_time(receive(body, max, &mut held)).await?;
        let server = Arc::clone(self);
        let work = move || -> Result<_, Refusal> {
            let body = unpack(body, content, &headers, max, &mut held)?;
            Ok((server.make(content, &body, tenant.as_ref())?, held))
        };
        let (made, _held) = run_on_pool(&*self.cpu, work).await.map_err(|_| Refusal::Stopping)??;
        self.offer(made).await
    }

    fn make(&self, content: Content, body: &[u8], tenant: Option<&TenantId>) -> Result<Made, MakeError> {
        let making = Making {
            sink: &self.sink,
            stamps: &self.stamps,
            labels: &self.labels,
            tenant: tenant.map(TenantId::as_str),
            use_incoming_timestamp: self.config.use_incoming_timestamp,
        };
        making.make(content, body)
    }

    async fn offer(&self, made: Made) -> Result<(), Refusal> {
        let refusal = (made.refused > 0).then(|| partial(&made));
        let offer = pin!(offer_all(&*self.sink.intake, made.entries));
        let Either::Left((ticket, _)) = select(offer, self.sink.clock.sleep(ROOM_TIMEOUT)).await else { return Err(Refusal::NoRoom) };
        self.metrics.entries.inc_by(made.read as u64);
        if let Some(ticket) = ticket {
            self.sink.intake.durable(ticket).await;
        }
        self.sink.clock.sleep(made.pause.min(PAUSE_MAX)).await;
        refusal.map_or(Ok(()), Err)
    }

    async fn in_time<T>(&self, receiving: impl Future<Output = Result<T, BodyError>>) -> Result<T, BodyError> {
        let timeout = self.config.server.http_server_read_timeout.0;
        if timeout.is_zero() {
            return receiving.await;
        }
        match select(pin!(receiving), self.sink.clock.sleep(timeout)).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => Err(BodyError::Late),
        }
    }
}

/// What an answer says of streams that were refused while the others were taken.
fn partial(made: &Made) -> Refusal {
    let named: Vec<_> = made.named.iter().map(ToString::to_string).collect();
    let more = made.refused - named.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Refusal::Partial(format!("{} refused, the others were taken: {}{more}", made.refused, named.join("; ")))
}
