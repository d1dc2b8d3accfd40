use crate::body::{Format, receive};
use crate::error::PushFailure;
use crate::identity::IdentityCache;
use crate::inflight::{InFlight, Reservation};
use crate::intake::{Intake, Taken};
use crate::json::{self, Schema};
use crate::metrics::{Amount, Metrics};
use crate::protobuf;
use crate::rate::{RateLimiter, bytes_per_second};
use axum::body::Body;
use http::{HeaderMap, Uri, header};
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

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Takes one push; on success all of it is with the ingester, or was to be dropped in silence.
    ///
    /// # Errors
    /// See [`PushFailure`]. After [`PushFailure::Validation`], and [`PushFailure::Ingester`] with refusals, what was not refused is stored.
    pub async fn push(&self, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<(), PushFailure> {
        let inner = &self.0;
        let tenant = tenant(headers, inner.auth_enabled)?;
        let whose = Whose { limits: inner.limits.limits(&tenant), tenant };
        let mut held = Reservation::new(&inner.in_flight);
        let head = Head::read(uri, headers)?;
        let too_large = |failure| inner.count_too_large(&whose.tenant, headers, failure);
        let body = receive(headers, body, &inner.config, &mut held).await.map_err(too_large)?;
        // What was reserved is held until the ingester has answered.
        let (taken, _held) = inner.decode(&whose, head, body, held).await.map_err(too_large)?;
        inner.finish(&whose, taken).await
    }
}

/// A tenant, and the limits that were in force when its push came.
#[derive(Clone)]
struct Whose {
    tenant: TenantId,
    limits: Arc<Limits>,
}

/// What the request line and headers say of a push.
struct Head {
    format: Format,
    schema: Schema,
    backfill: Option<String>,
}

/// Header that marks a push as backfill.
const BACKFILL_HEADER: &str = "x-loki-backfill-shard";
const BACKFILL_LEN_MAX: usize = 128;

impl Head {
    fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, PushFailure> {
        let schema = if uri.path().to_ascii_lowercase().contains("/loki/api/v1") { Schema::V1 } else { Schema::V0 };
        let backfill = headers.get(BACKFILL_HEADER).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
        let backfill = match backfill.map(|value| (value.len() <= BACKFILL_LEN_MAX, str::from_utf8(value))) {
            None => None,
            Some((true, Ok(shard))) => Some(shard.to_owned()),
            Some(_) => return Err(PushFailure::BackfillHeader),
        };
        Ok(Head { format: Format::of(headers)?, schema, backfill })
    }
}

impl Inner {
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
        let mut intake = Intake::new(&whose.tenant, &whose.limits, &self.identities, backfill, &mut held, self.clock.now());
        if head.format.is_json {
            json::read(&opened, head.schema, &mut intake)?;
        } else {
            protobuf::read(&opened, &mut intake)?;
        }
        Ok((intake.finish()?, held))
    }

    /// From a batch to the answer.
    async fn finish(&self, whose: &Whose, taken: Taken) -> Result<(), PushFailure> {
        let tenant = &whose.tenant;
        self.metrics.received(tenant, taken.received, taken.metadata_bytes);
        taken.discarded.iter().for_each(|(reason, amount)| self.metrics.discarded(tenant, reason, *amount));
        if taken.truncated != Amount::default() {
            self.metrics.truncated(tenant, taken.truncated);
        }
        if !taken.batch.streams.is_empty() {
            self.take_tokens(whose, taken.stored)?;
            self.hand_over(tenant, taken.batch).await?;
        }
        match (taken.refusals, taken.blocked) {
            (Some(text), _) => Err(PushFailure::Validation(text)),
            (None, Some(blocked)) if blocked.status != 200 && !taken.discarded.is_empty() => {
                Err(PushFailure::Blocked { status: blocked.status, message: blocked.message })
            }
            (None, _) => Ok(()),
        }
    }

    fn take_tokens(&self, whose: &Whose, stored: Amount) -> Result<(), PushFailure> {
        let Whose { tenant, limits } = whose;
        match self.rates.take(tenant, stored.bytes, limits, self.clock.monotonic()) {
            Ok(fill) => {
                self.metrics.rate_limiter_fill(tenant, fill);
                Ok(())
            }
            Err(_) => {
                self.metrics.discarded(tenant, "rate_limited", stored);
                let (limit, Amount { entries, bytes }) = (bytes_per_second(limits) as u64, stored);
                Err(PushFailure::RateLimited(format!(
                    "ingestion rate limit exceeded for user {tenant} (limit: {limit} bytes/sec) while attempting to ingest '{entries}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
                )))
            }
        }
    }

    async fn hand_over(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), PushFailure> {
        let error = match self.ingester.push(tenant, batch).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match &error {
            PushError::Refused(refusals) => {
                for refusal in refusals {
                    let amount = Amount { entries: refusal.entries, bytes: refusal.bytes };
                    self.metrics.discarded(tenant, refusal.reason, amount);
                }
            }
            PushError::Wal(source) => tracing::error!(%tenant, error = %source, "push not acknowledged, write-ahead log failed"),
            PushError::Unavailable(reason) => tracing::debug!(%tenant, %reason, "push not taken"),
        }
        Err(PushFailure::Ingester(error))
    }

    /// Bodies that were too large count by their size on the wire.
    fn count_too_large(&self, tenant: &TenantId, headers: &HeaderMap, failure: PushFailure) -> PushFailure {
        if let PushFailure::TooLarge(_) = failure {
            let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            self.metrics.discarded(tenant, "request_body_too_large", Amount { entries: 0, bytes: declared.unwrap_or(0) });
        }
        failure
    }
}
