use crate::body::{Content, receive};
use crate::error::PushFailure;
use crate::head::{Head, Route};
use crate::identity::IdentityCache;
use crate::inflight::{InFlight, Reservation};
use crate::intake::{Intake, Sender, Taken};
use crate::json;
use crate::metrics::{Amount, Metrics};
use crate::otlp;
use crate::protobuf;
use crate::rate::{RateLimiter, bytes_per_second};
use axum::body::Body;
use http::{HeaderMap, StatusCode, Uri, header};
use prometheus_client::registry::Registry;
use skald_config::DistributorConfig;
use skald_config::{Limits, TenantLimits};
use skald_model::TenantId;
use skald_model::seam::{Clock, CpuPool, run_on_pool};
use skald_rpc::{Ingester, PushBatch, PushError};
use skald_runtime::tenancy::tenant;
use std::sync::Arc;

/// Takes pushes: decodes, checks and normalises them and hands them to the ingester. Keeps nothing.
///
/// Cheap to clone; all clones are one distributor.
#[derive(Clone)]
pub struct Distributor(Arc<Inner>);

struct Inner {
    config: DistributorConfig,
    auth_enabled: bool,
    limits: Arc<dyn TenantLimits>,
    ingester: Arc<dyn Ingester>,
    clock: Arc<dyn Clock>,
    cpu: Arc<dyn CpuPool>,
    identities: IdentityCache,
    rates: RateLimiter,
    in_flight: Arc<InFlight>,
    metrics: Metrics,
}

/// Bodies that are this large, or may become so, are decoded on the processor pool, smaller ones at once: those take less than the way there and back.
const POOL_FROM_BYTES: usize = 64 << 10;
/// Ingesters do not know in which format came what they refuse.
const NO_FORMAT: &str = "";

impl Distributor {
    /// A distributor; its metrics are registered; the registry gives the prefix `skald`.
    pub fn new(
        config: DistributorConfig,
        auth_enabled: bool,
        limits: Arc<dyn TenantLimits>,
        ingester: Arc<dyn Ingester>,
        clock: Arc<dyn Clock>,
        cpu: Arc<dyn CpuPool>,
        registry: &mut Registry,
    ) -> Self {
        let metrics = Metrics::new(registry);
        let in_flight = Arc::new(InFlight::new(config.max_inflight_bytes.0, metrics.inflight_bytes.clone()));
        let (identities, rates) = (IdentityCache::default(), RateLimiter::default());
        Distributor(Arc::new(Inner { config, auth_enabled, limits, ingester, clock, cpu, identities, rates, in_flight, metrics }))
    }

    /// Takes one push; on success all of it is with the ingester, or was to be dropped in silence.
    ///
    /// # Errors
    /// See [`PushFailure`]. After [`PushFailure::Validation`], and [`PushFailure::Ingester`] with refusals, what was not refused is stored.
    pub async fn push(&self, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<(), PushFailure> {
        self.take(Route::Push(uri), headers, body).await
    }

    /// Takes one export of OpenTelemetry logs over HTTP.
    ///
    /// # Errors
    /// As [`Distributor::push`].
    pub async fn export(&self, headers: &HeaderMap, body: Body) -> Result<(), PushFailure> {
        self.take(Route::Export, headers, body).await
    }

    /// Takes what came in by `route`, and counts the answer.
    pub(crate) async fn take(&self, route: Route<'_>, headers: &HeaderMap, body: Body) -> Result<(), PushFailure> {
        let inner = &self.0;
        let began = inner.clock.monotonic();
        let outcome = inner.take(route, headers, body).await;
        let status = outcome.as_ref().map_or_else(|failure| failure.status(), |()| StatusCode::NO_CONTENT);
        let took = inner.clock.monotonic().saturating_sub(began);
        inner.metrics.answered(status.as_u16(), took.as_secs_f64());
        outcome
    }
}

/// A tenant, and the limits that were in force when its push came.
#[derive(Clone)]
struct Whose {
    tenant: TenantId,
    limits: Arc<Limits>,
}

impl Inner {
    async fn take(self: &Arc<Self>, route: Route<'_>, headers: &HeaderMap, body: Body) -> Result<(), PushFailure> {
        let tenant = tenant(headers, self.auth_enabled)?;
        let whose = Whose { limits: self.limits.limits(&tenant), tenant };
        let mut held = Reservation::new(&self.in_flight);
        let mut head = Head::read(route, headers)?;
        let too_large = |failure| self.count_too_large(&whose.tenant, route.sender(), headers, failure);
        let mut body = receive(headers, body, &self.config, &mut held).await.map_err(too_large)?;
        head.unframe(&mut body)?;
        // What was reserved is held until the ingester has answered.
        let (taken, _held) = self.decode(&whose, head, body, held).await.map_err(too_large)?;
        self.finish(&whose, route.sender(), taken).await
    }

    async fn decode(
        self: &Arc<Self>,
        whose: &Whose,
        head: Head,
        body: Vec<u8>,
        held: Reservation,
    ) -> Result<(Taken, Reservation), PushFailure> {
        if head.format.expanded_len(&body) < POOL_FROM_BYTES as u64 {
            return self.decode_now(whose, &head, &body, held);
        }
        let (inner, whose) = (self.clone(), whose.clone());
        let decoded = run_on_pool(&*self.cpu, move || inner.decode_now(&whose, &head, &body, held)).await;
        decoded.map_err(|_| PushFailure::Stopped)?
    }

    /// The reservation travels along, so that what a client left behind stays counted until the work on it ends.
    fn decode_now(&self, whose: &Whose, head: &Head, body: &[u8], mut held: Reservation) -> Result<(Taken, Reservation), PushFailure> {
        let opened = head.format.open(body, &self.config, &mut held)?;
        let backfill = head.backfill.as_deref();
        let now = self.clock.now();
        let sender = if matches!(head.format.content, Content::OtlpJson | Content::OtlpProtobuf) { Sender::Otlp } else { Sender::Loki };
        let mut intake = Intake::new(&whose.tenant, &whose.limits, &self.identities, backfill, sender, &mut held, now);
        match head.format.content {
            Content::Json(schema) => json::read(&opened, schema, &mut intake)?,
            Content::Protobuf => protobuf::read(&opened, &mut intake)?,
            Content::OtlpJson => otlp::read_json(&opened, &self.config, now, &mut intake)?,
            Content::OtlpProtobuf => otlp::read(&opened, &self.config, now, &mut intake)?,
        }
        Ok((intake.finish()?, held))
    }

    /// From a batch to the answer.
    async fn finish(&self, whose: &Whose, sender: Sender, taken: Taken) -> Result<(), PushFailure> {
        let (tenant, format) = (&whose.tenant, sender.format());
        self.metrics.received(tenant, format, taken.received, taken.metadata_bytes);
        taken.discarded.iter().for_each(|(reason, amount)| self.metrics.discarded(tenant, format, reason, *amount));
        if taken.truncated != Amount::default() {
            self.metrics.truncated(tenant, taken.truncated);
        }
        let refused = taken.discarded.iter().map(|(_, amount)| amount.entries).sum();
        if !taken.batch.streams.is_empty() {
            self.take_tokens(whose, sender, taken.stored)?;
            self.hand_over(tenant, taken.batch, refused).await?;
        }
        match (taken.refusals, taken.blocked) {
            (Some(message), _) => Err(PushFailure::Validation { message, entries: refused }),
            (None, Some(blocked)) if blocked.status != 200 && !taken.discarded.is_empty() => {
                Err(PushFailure::Blocked { status: blocked.status, message: blocked.message })
            }
            (None, _) => Ok(()),
        }
    }

    fn take_tokens(&self, whose: &Whose, sender: Sender, stored: Amount) -> Result<(), PushFailure> {
        let Whose { tenant, limits } = whose;
        match self.rates.take(tenant, stored.bytes, limits, self.clock.monotonic()) {
            Ok(fill) => {
                self.metrics.rate_limiter_fill(tenant, fill);
                Ok(())
            }
            Err(_) => {
                self.metrics.discarded(tenant, sender.format(), "rate_limited", stored);
                let (limit, Amount { entries, bytes }) = (bytes_per_second(limits) as u64, stored);
                Err(PushFailure::RateLimited(format!(
                    "ingestion rate limit exceeded for user {tenant} (limit: {limit} bytes/sec) while attempting to ingest '{entries}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
                )))
            }
        }
    }

    /// Entries `refused` before are told with those that ingesters refuse.
    async fn hand_over(&self, tenant: &TenantId, batch: PushBatch, refused: usize) -> Result<(), PushFailure> {
        let mut entries = refused;
        let error = match self.ingester.push(tenant, batch).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match &error {
            PushError::Refused(refusals) => {
                for refusal in refusals {
                    entries += refusal.entries;
                    let amount = Amount { entries: refusal.entries, bytes: refusal.bytes };
                    self.metrics.discarded(tenant, NO_FORMAT, refusal.reason, amount);
                }
            }
            PushError::Wal(source) => tracing::error!(%tenant, error = %source, "push not acknowledged, write-ahead log failed"),
            PushError::Unavailable(reason) => tracing::debug!(%tenant, %reason, "push not taken"),
        }
        Err(PushFailure::Ingester { error, entries })
    }

    /// Bodies that were too large count by their size on the wire.
    fn count_too_large(&self, tenant: &TenantId, sender: Sender, headers: &HeaderMap, failure: PushFailure) -> PushFailure {
        if let PushFailure::TooLarge(_) = failure {
            let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            let amount = Amount { entries: 0, bytes: declared.unwrap_or(0) };
            self.metrics.discarded(tenant, sender.format(), "request_body_too_large", amount);
        }
        failure
    }
}
