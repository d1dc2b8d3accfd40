//! What is known of each stream between pushes: its newest timestamp, its rate, whether it counts as active. Pure.

use rustc_hash::FxHashMap;
use skald_config::Limits;
use skald_model::{ErrorKind, Labels, Rows, TenantId, Timestamp};
use skald_rpc::Refusal;
use std::fmt::Write;
use std::time::Duration;

/// A stream that pushed within this time counts towards the stream limit.
const ACTIVE_FOR: Duration = Duration::from_secs(3600);
/// A stream that did not push for this long is forgotten; its out-of-order window then starts open.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);
/// Most entries that one refusal lists.
const LISTED_MAX: usize = 10;

/// All streams of all tenants. Owned by the one writer, so it needs no lock.
///
/// A stream is known by a wide hash of its labels, without them: a million idle streams take less than 100 MB here.
#[derive(Default)]
pub struct StreamRegistry {
    tenants: FxHashMap<TenantId, TenantStreams>,
}

#[derive(Default)]
struct TenantStreams {
    streams: FxHashMap<StreamKey, StreamState>,
    active: usize,
}

/// Wide fingerprint of a stream's labels.
#[derive(PartialEq, Eq, Hash)]
struct StreamKey([u64; 2]);

impl StreamKey {
    fn of(labels: &Labels) -> Self {
        let hash = labels.wide_fingerprint();
        StreamKey([hash as u64, (hash >> 64) as u64])
    }
}

struct StreamState {
    newest: Timestamp,
    /// Bytes that may be pushed at `last_refill`.
    tokens: f64,
    last_refill: Moment,
    last_push: Moment,
    active: bool,
}

/// Milliseconds of the monotonic clock, modulo 2^32: good for spans of less than 49 days. Streams are forgotten after one.
#[derive(Clone, Copy)]
struct Moment(u32);

impl Moment {
    fn of(now: Duration) -> Self {
        Moment(now.as_millis() as u32)
    }

    fn until(self, now: Duration) -> Duration {
        Duration::from_millis(u64::from(Moment::of(now).0.wrapping_sub(self.0)))
    }
}

/// Which rows of a stream may be appended.
pub struct Admission {
    /// The rows that may, by number; `None` means all of them.
    pub keep: Option<Vec<u32>>,
    /// Why the others may not.
    pub refusals: Vec<Refusal>,
}

impl Admission {
    fn all() -> Self {
        Admission { keep: None, refusals: Vec::new() }
    }

    fn none(refusal: Refusal) -> Self {
        Admission { keep: Some(Vec::new()), refusals: vec![refusal] }
    }
}

impl StreamRegistry {
    /// Decides which of `rows` (of `bytes` bytes, as limits count them) may be appended at `now` of the monotonic clock.
    ///
    /// Takes rate tokens for what it admits. The newest timestamp rises only by [`StreamRegistry::appended`].
    pub fn admit(&mut self, tenant: &TenantId, labels: &Labels, rows: &Rows, bytes: usize, limits: &Limits, now: Duration) -> Admission {
        let streams = self.tenants.entry(tenant.clone()).or_default();
        let state = match streams.activate(tenant, StreamKey::of(labels), (labels, rows, bytes), limits, now) {
            Ok(state) => state,
            Err(refusal) => return Admission::none(refusal),
        };
        state.refill(limits, now);
        if limits.shard_streams.enabled {
            if !state.take(bytes, limits) {
                return Admission::none(rate_refusal(tenant, labels, rows, &all(rows), bytes, limits));
            }
            return state.window(tenant, labels, rows, limits);
        }
        state.take_each(tenant, labels, rows, limits)
    }

    /// Notes that rows up to `newest` are durable.
    pub fn appended(&mut self, tenant: &TenantId, labels: &Labels, newest: Timestamp, now: Duration) {
        let streams = self.tenants.entry(tenant.clone()).or_default();
        let state = streams.streams.entry(StreamKey::of(labels)).or_insert_with(|| StreamState::new(f64::MAX, now));
        state.newest = state.newest.max(newest);
        state.last_push = Moment::of(now);
    }

    /// Forgets streams that were idle for long and recounts the active ones.
    pub fn sweep(&mut self, now: Duration) {
        for streams in self.tenants.values_mut() {
            streams.streams.retain(|_, state| state.last_push.until(now) < FORGET_AFTER);
            if streams.streams.len() < streams.streams.capacity() / 4 {
                streams.streams.shrink_to_fit();
            }
            for state in streams.streams.values_mut() {
                state.active &= state.last_push.until(now) < ACTIVE_FOR;
            }
            streams.active = streams.streams.values().filter(|state| state.active).count();
        }
        self.tenants.retain(|_, streams| !streams.streams.is_empty());
    }

    /// Streams known, and of those the active ones.
    pub fn counts(&self) -> (usize, usize) {
        self.tenants.values().fold((0, 0), |(known, active), tenant| (known + tenant.streams.len(), active + tenant.active))
    }
}

impl TenantStreams {
    /// Makes the stream known and active, unless the tenant has too many.
    fn activate(
        &mut self,
        tenant: &TenantId,
        key: StreamKey,
        (labels, rows, bytes): (&Labels, &Rows, usize),
        limits: &Limits,
        now: Duration,
    ) -> Result<&mut StreamState, Refusal> {
        let active = self.streams.get(&key).is_some_and(|state| state.active);
        let limit = [limits.max_streams_per_user, limits.max_global_streams_per_user].into_iter().filter(|limit| *limit > 0).min();
        if !active && limit.is_some_and(|limit| self.active >= limit) {
            let message = format!(
                "maximum active stream limit exceeded when trying to create stream {labels}, reduce the number of active streams (reduce labels or \
                 reduce label values), or contact your Loki administrator to see if the limit can be increased, user: '{tenant}'"
            );
            return Err(Refusal { kind: ErrorKind::LimitExceeded, reason: "stream_limit", message, entries: rows.len(), bytes });
        }
        let burst = limits.per_stream_rate_limit_burst.0 as f64;
        let state = self.streams.entry(key).or_insert_with(|| StreamState::new(burst, now));
        if !active {
            state.active = true;
            state.last_push = Moment::of(now);
            self.active += 1;
        }
        Ok(state)
    }
}

impl StreamState {
    fn new(tokens: f64, now: Duration) -> Self {
        let now = Moment::of(now);
        StreamState { newest: Timestamp::MIN, tokens, last_refill: now, last_push: now, active: false }
    }

    fn refill(&mut self, limits: &Limits, now: Duration) {
        let gained = self.last_refill.until(now).as_secs_f64() * limits.per_stream_rate_limit.0 as f64;
        self.tokens = (self.tokens + gained).min(limits.per_stream_rate_limit_burst.0 as f64);
        self.last_refill = Moment::of(now);
    }

    fn take(&mut self, bytes: usize, limits: &Limits) -> bool {
        let enough = limits.per_stream_rate_limit.0 == 0 || self.tokens >= bytes as f64;
        if enough {
            self.tokens -= bytes as f64;
        }
        enough
    }

    fn oldest_accepted(&self, limits: &Limits) -> Timestamp {
        if self.newest == Timestamp::MIN || limits.out_of_order_time_window.is_zero() {
            return Timestamp::MIN;
        }
        self.newest.minus(limits.out_of_order_time_window)
    }

    /// Refuses what lies too far behind the newest durable entry.
    fn window(&self, tenant: &TenantId, labels: &Labels, rows: &Rows, limits: &Limits) -> Admission {
        let oldest = self.oldest_accepted(limits);
        let (keep, late): (Vec<u32>, Vec<u32>) = all(rows).into_iter().partition(|row| rows.timestamps()[*row as usize] >= oldest.0);
        if late.is_empty() {
            return Admission::all();
        }
        Admission { keep: Some(keep), refusals: vec![late_refusal(tenant, labels, rows, &late, oldest)] }
    }

    /// Takes tokens entry by entry, for tenants whose streams are not sharded.
    fn take_each(&mut self, tenant: &TenantId, labels: &Labels, rows: &Rows, limits: &Limits) -> Admission {
        let mut admission = self.window(tenant, labels, rows, limits);
        let wanted = admission.keep.take().unwrap_or_else(|| all(rows));
        let sizes = rows.pushed_bytes_by_row();
        let (keep, fast): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(|row| self.take(sizes[*row as usize], limits));
        if !fast.is_empty() {
            let bytes = fast.iter().map(|row| sizes[*row as usize]).sum();
            admission.refusals.push(rate_refusal(tenant, labels, rows, &fast, bytes, limits));
        }
        if !admission.refusals.is_empty() {
            admission.keep = Some(keep);
        }
        admission
    }
}

fn all(rows: &Rows) -> Vec<u32> {
    (0..rows.len() as u32).collect()
}

fn rate_refusal(tenant: &TenantId, labels: &Labels, rows: &Rows, refused: &[u32], bytes: usize, limits: &Limits) -> Refusal {
    let reason = |_| {
        format!(
            "Per stream rate limit exceeded (limit: {}/sec) while attempting to ingest for stream '{labels}' totaling {}, consider splitting a stream \
             via additional labels or contact your Loki administrator to see if the limit can be increased",
            size_text(limits.per_stream_rate_limit.0),
            size_text(bytes as u64)
        )
    };
    let message = entries_text(tenant, labels, rows, refused, reason);
    Refusal { kind: ErrorKind::LimitExceeded, reason: "per_stream_rate_limit", message, entries: refused.len(), bytes }
}

fn late_refusal(tenant: &TenantId, labels: &Labels, rows: &Rows, refused: &[u32], oldest: Timestamp) -> Refusal {
    let reason = |at| {
        let (entry, oldest) = (rfc3339(at), rfc3339(oldest));
        format!("entry too far behind, entry timestamp is: {entry}, oldest acceptable timestamp is: {oldest}")
    };
    let message = entries_text(tenant, labels, rows, refused, reason);
    let bytes = rows.gather(refused).pushed_bytes();
    Refusal { kind: ErrorKind::InvalidInput, reason: "too_far_behind", message, entries: refused.len(), bytes }
}

/// The text that lists refused entries, as Loki's ingester words it.
fn entries_text(tenant: &TenantId, labels: &Labels, rows: &Rows, refused: &[u32], reason: impl Fn(Timestamp) -> String) -> String {
    let mut text = String::new();
    for row in refused.iter().take(LISTED_MAX) {
        let at = Timestamp(rows.timestamps()[*row as usize]);
        let _ = writeln!(text, "entry with timestamp {} ignored, reason: '{}',", go_time(at), reason(at));
    }
    let _ = write!(text, "user '{tenant}', total ignored: {} out of {} for stream: {labels}", refused.len(), rows.len());
    text
}

/// A size as an integer with the largest binary unit that divides it.
fn size_text(bytes: u64) -> String {
    let units = [(1u64 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn civil(at: Timestamp) -> jiff::civil::DateTime {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(at.0)).expect("64 bits of nanoseconds are within jiff's range");
    instant.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

fn rfc3339(at: Timestamp) -> String {
    civil(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-15 00:00:00.5 +0000 UTC`, as Go prints a time.
fn go_time(at: Timestamp) -> String {
    civil(at).strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

#[cfg(test)]
mod tests;
