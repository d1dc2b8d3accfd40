use super::backoff::wait_before;
use super::batch::{Batch, PayloadError};
use super::config::{BackoffConfig, ClientConfig};
use super::errand::{Errand, Next};
use super::external::ExternalLabels;
use super::metrics::{ClientMetrics, DropReason};
use super::notice::Notices;
use super::push::Push;
use super::transport::{Answer, Transport};
use super::verdict::{Cause, Verdict};
use bytes::Bytes;
use skald_model::TenantId;
use skald_model::seam::{Seams, Stopped, run_on_pool};
use skald_pipeline::Text;
use skald_runtime::chain;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tracing::{error, info, warn};

/// Most requests that a client has in flight, and so most batches that it holds in memory.
const IN_FLIGHT_MAX: usize = 8;

/// Brings single batches of one client to its server.
pub(crate) struct Courier {
    name: String,
    tenant: Option<Text>,
    backoff: BackoffConfig,
    drop_rate_limited: bool,
    external: Option<Arc<ExternalLabels>>,
    transport: Arc<dyn Transport>,
    seams: Seams,
    pub metrics: ClientMetrics,
    in_flight: Semaphore,
    notices: Notices,
    /// True when no further request shall begin.
    stop: watch::Receiver<bool>,
}

/// How an errand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every entry was taken, or given up and counted.
    Settled,
    /// The agent stops; the batch is still to be sent.
    Stopped,
}

/// What keeps an errand from going on.
enum Obstacle {
    /// It may go on later.
    Wait(Pause),
    /// What the spool has of the batch is no push: nobody will ever take it.
    Damaged(String),
    /// The agent stops.
    Stop,
}

/// Why an errand waits.
struct Pause {
    cause: Cause,
    /// How long the server asks to wait.
    asked: Option<Duration>,
    /// What happened, for the log.
    what: String,
}

impl Courier {
    pub fn new(
        config: &ClientConfig,
        transport: Arc<dyn Transport>,
        seams: Seams,
        metrics: ClientMetrics,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let external = config.external_labels.0.iter().map(|(name, value)| (&**name, &**value));
        Arc::new(Courier {
            name: config.id(),
            tenant: Some(config.tenant_id.as_str()).filter(|tenant| !tenant.is_empty()).map(Text::from),
            backoff: config.backoff_config.clone(),
            drop_rate_limited: config.drop_rate_limited_batches,
            external: ExternalLabels::new(external).map(Arc::new),
            transport,
            seams,
            metrics,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            notices: Notices::default(),
            stop,
        })
    }

    /// Whose batch it is: that of its entries, or else of the client.
    pub fn tenant_of(&self, batch: &dyn Batch) -> Option<Text> {
        tenant_named_by(batch).cloned().or_else(|| self.tenant.clone())
    }

    /// Sends a batch until all of it is settled, however often that takes.
    pub async fn deliver(&self, batch: &dyn Batch) -> Ended {
        let mut errand = Errand::new(batch, self.tenant_of(batch));
        if let Some(problem) = tenant_named_by(batch).and_then(|tenant| TenantId::parse(tenant).err()) {
            self.drop_rest(&mut errand, DropReason::InvalidTenant, &problem);
        }
        while let Err(obstacle) = self.send_all(&mut errand).await {
            match obstacle {
                Obstacle::Stop => return Ended::Stopped,
                Obstacle::Damaged(why) => self.drop_rest(&mut errand, DropReason::Damaged, &why),
                Obstacle::Wait(pause) => {
                    errand.attempts += 1;
                    if self.gives_up(&errand, pause.cause) {
                        let rate_limited = pause.cause == Cause::RateLimited;
                        let reason = if rate_limited { DropReason::RateLimited } else { DropReason::IngesterError };
                        self.drop_rest(&mut errand, reason, &pause.what);
                    } else if !self.pause(&mut errand, &pause).await {
                        return Ended::Stopped;
                    }
                }
            }
        }
        self.report(&errand);
        Ended::Settled
    }

    /// Sends what is left of an errand, request after request.
    async fn send_all(&self, errand: &mut Errand<'_>) -> Result<(), Obstacle> {
        if errand.next() == Next::Nothing {
            return Ok(());
        }
        let _slot = self.slot().await?;
        loop {
            let next = errand.next();
            if next == Next::Nothing {
                return Ok(());
            }
            if *self.stop.borrow() {
                return Err(Obstacle::Stop);
            }
            let body = self.body(errand, next).await?;
            let answer = self.send(errand, body).await?;
            match answer.verdict() {
                Verdict::Accepted => errand.accepted(),
                Verdict::Later(cause) => {
                    let asked = answer.retry_after(self.seams.clock.now());
                    return Err(Obstacle::Wait(Pause { cause, asked, what: format!("status {}: {}", answer.status, answer.message) }));
                }
                verdict @ (Verdict::Refused | Verdict::TooLarge) => {
                    let push = self.push_of(errand).await?;
                    errand.refused(&push, verdict == Verdict::TooLarge);
                    (errand.refused.status, errand.refused.message) = (answer.status, answer.message);
                }
            }
            errand.attempts = 0;
        }
    }

    /// True when no further request shall begin.
    pub fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    async fn slot(&self) -> Result<SemaphorePermit<'_>, Obstacle> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(Obstacle::Stop),
            slot = self.in_flight.acquire() => slot.map_err(|_| Obstacle::Stop),
        }
    }

    /// The request that is next. A whole batch goes as it stands in the spool where it needs no external labels.
    async fn body(&self, errand: &mut Errand<'_>, next: Next) -> Result<Bytes, Obstacle> {
        let first_try = errand.attempts == 0;
        let body = match next {
            Next::Whole if self.external.is_none() => self.payload(errand).await?,
            _ => {
                let push = self.push_of(errand).await?;
                let entries = if let Next::Part(part) = next { part } else { 0..push.len() };
                let external = self.external.clone();
                self.compute(move || push.encode(entries, external.as_deref())).await?
            }
        };
        if first_try {
            self.metrics.encoded(body.len());
        }
        Ok(body)
    }

    /// One request; counts what comes of it.
    async fn send(&self, errand: &Errand<'_>, body: Bytes) -> Result<Answer, Obstacle> {
        let (began, bytes) = (self.seams.clock.monotonic(), body.len());
        let answered = self.transport.push(errand.tenant.as_deref(), body).await;
        let took = self.seams.clock.monotonic().saturating_sub(began);
        match answered {
            Ok(answer) => {
                self.metrics.answered(Some(answer.status), took);
                if answer.verdict() == Verdict::Accepted {
                    self.metrics.sent(bytes, errand.next_entries());
                }
                Ok(answer)
            }
            Err(error) => {
                self.metrics.answered(None, took);
                Err(Obstacle::Wait(Pause { cause: error.cause(), asked: None, what: chain(&error) }))
            }
        }
    }

    /// The batch, taken apart.
    async fn push_of(&self, errand: &mut Errand<'_>) -> Result<Arc<Push>, Obstacle> {
        if let Some(push) = &errand.push {
            return Ok(push.clone());
        }
        let payload = self.payload(errand).await?;
        let push = self.compute(move || Push::open(&payload)).await?.map_err(|error| Obstacle::Damaged(chain(&error)))?;
        Ok(errand.push.insert(Arc::new(push)).clone())
    }

    async fn payload(&self, errand: &Errand<'_>) -> Result<Bytes, Obstacle> {
        errand.batch.payload().await.map_err(|error| match &error {
            PayloadError::Unreadable(_) => Obstacle::Wait(Pause { cause: Cause::Local, asked: None, what: chain(&error) }),
            PayloadError::Damaged(_) => Obstacle::Damaged(chain(&error)),
        })
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Obstacle> {
        let stopped = |error: Stopped| Obstacle::Wait(Pause { cause: Cause::Local, asked: None, what: error.to_string() });
        run_on_pool(&*self.seams.cpu, work).await.map_err(stopped)
    }

    fn gives_up(&self, errand: &Errand<'_>, cause: Cause) -> bool {
        let retries_max = self.backoff.max_retries.filter(|max| *max > 0);
        (cause == Cause::RateLimited && self.drop_rate_limited) || retries_max.is_some_and(|max| errand.attempts > max)
    }

    fn drop_rest(&self, errand: &mut Errand<'_>, reason: DropReason, error: &dyn Display) {
        let (entries, bytes) = errand.give_up();
        self.metrics.dropped(errand.tenant.as_deref(), reason, entries, bytes);
        let (client, tenant, tries) = (&self.name, errand.tenant.as_deref().unwrap_or_default(), errand.attempts);
        warn!(client, tenant, group = errand.batch.group(), entries, reason = reason.name(), tries, %error, "entries dropped");
    }

    /// Waits for the next try; false when the agent stops meanwhile.
    async fn pause(&self, errand: &mut Errand<'_>, pause: &Pause) -> bool {
        // What waits takes no memory.
        errand.push = None;
        errand.waited_for = Some(pause.cause);
        let wait = wait_before(&self.backoff, errand.attempts, pause.asked, &*self.seams.random);
        self.metrics.retried(errand.tenant.as_deref());
        self.notice(errand, pause, wait);
        let _waiting = self.metrics.waiting(pause.cause);
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => false,
            () = self.seams.clock.sleep(wait) => true,
        }
    }

    fn notice(&self, errand: &Errand<'_>, pause: &Pause, wait: Duration) {
        let Some(unsaid) = self.notices.failed(pause.cause, self.seams.clock.monotonic()) else { return };
        let (client, tenant, cause) = (&self.name, errand.tenant.as_deref().unwrap_or_default(), pause.cause.name());
        let (tries, error) = (errand.attempts, &pause.what);
        match pause.cause {
            Cause::Unauthorized | Cause::Misrouted | Cause::Local => {
                error!(client, tenant, cause, error, tries, ?wait, unsaid, "batches are not taken and wait for a repair")
            }
            Cause::Connection | Cause::Server | Cause::RateLimited => {
                warn!(client, tenant, cause, error, tries, ?wait, unsaid, "batch not taken, trying again")
            }
        }
    }

    /// Says what came of an errand, where that is not just what was to be expected.
    fn report(&self, errand: &Errand<'_>) {
        if let Some(cause) = errand.waited_for.filter(|cause| self.notices.recovered(*cause)) {
            info!(client = self.name, cause = cause.name(), "batches are taken again");
        }
        let refused = &errand.refused;
        if refused.entries > 0 {
            self.metrics.dropped(errand.tenant.as_deref(), DropReason::IngesterError, refused.entries, refused.line_bytes);
            let (client, tenant, entries) = (&self.name, errand.tenant.as_deref().unwrap_or_default(), refused.entries);
            let (of, status, error) = (errand.batch.entries(), refused.status, &refused.message);
            warn!(client, tenant, entries, of, status, error, "entries refused by the server and dropped");
        }
    }
}

/// The tenant that a batch's entries name; an empty name is none.
fn tenant_named_by(batch: &dyn Batch) -> Option<&Text> {
    batch.tenant().filter(|tenant| !tenant.is_empty())
}

/// Completes when no further request shall begin.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could stop us in order.
    let _ = stop.wait_for(|stop| *stop).await;
}
